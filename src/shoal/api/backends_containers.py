"""What the routes of containers, execs, images and volumes need of the node's engine.

``ref`` is an id, a name or the beginning of an id. Errors are the kinds of :mod:`shoal.errors` with Docker's texts.
What is to be streamed is awaited first, so that an error comes before the answer has begun.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from shoal.objects.container import Container, ContainerConfig, HostConfig, NetworkingConfig
from shoal.objects.exec import ExecConfig, ExecInspect
from shoal.objects.image import HistoryStep, ImagePruneResult, ImageRecord, ImageRemoval
from shoal.objects.results import Change, Created, ExitResult, LogLine, LogQuery, PathStat, PruneResult, StatsSample
from shoal.objects.update import UpdateConfig
from shoal.objects.volume import Volume, VolumeCreateOptions
from shoal.wire.docker.auth import AuthConfig

FilterValues = Mapping[str, Sequence[str]]
"""What a list or prune is narrowed to: the values that are allowed for each key."""
Report = Callable[[msgspec.Struct], None]
"""Takes one message of the progress stream, as it is to be encoded; never waits and never raises."""


class Attachment(Protocol):
    """A process's standard streams: iterate over what it writes, as (1 stdout or 2 stderr, bytes), until it ends."""

    def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]: ...

    async def write(self, data: bytes) -> None:
        """Give it input; waits while the process does not read. What nobody will read any more is dropped."""
        ...

    async def close_stdin(self) -> None:
        """No more input will come."""
        ...

    async def aclose(self) -> None:
        """Let go; the process goes on."""
        ...


class ContainerBackend(Protocol):
    """The node's containers."""

    async def create(
        self,
        name: str | None,
        config: ContainerConfig,
        host: HostConfig,
        networking: NetworkingConfig,
        platform: str | None,
    ) -> Created: ...

    def get(self, ref: str) -> Container: ...

    def list(self) -> Sequence[Container]:
        """Every container, the newest first."""
        ...

    def execs_of(self, container_id: str) -> Sequence[str]:
        """The ids of the execs in a container that have not ended."""
        ...

    async def start(self, ref: str) -> None: ...

    async def stop(self, ref: str, *, timeout: int | None, signal: str | None) -> None:
        """Seconds until it is killed: None is the container's own grace, -1 for ever."""
        ...

    async def restart(self, ref: str, *, timeout: int | None, signal: str | None) -> None: ...

    async def kill(self, ref: str, signal: str) -> None: ...

    async def pause(self, ref: str) -> None: ...

    async def unpause(self, ref: str) -> None: ...

    async def rename(self, ref: str, name: str) -> None: ...

    async def remove(self, ref: str, *, force: bool, volumes: bool) -> None: ...

    def waiter(self, ref: str, condition: str) -> Awaitable[ExitResult]:
        """What ends when the container is ``not-running``, at its ``next-exit``, or when it is ``removed``. It counts
        from this call on, not from when it is awaited."""
        ...

    async def resize(self, ref: str, height: int, width: int) -> None: ...

    async def update(self, ref: str, body: UpdateConfig) -> Sequence[str]:
        """Returns warnings."""
        ...

    async def top(self, ref: str, ps_args: str) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """The titles and, for each process, as many columns."""
        ...

    async def logs(self, ref: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """The lines that are there, then, if asked to follow, those that come until the container ends."""
        ...

    async def attach(self, ref: str, *, stdin: bool, stdout: bool, stderr: bool, logs: bool) -> Attachment:
        """Join its streams; with ``logs``, what it has written so far comes first."""
        ...

    async def stats(self, ref: str) -> StatsSample: ...

    async def disk_usage(self, ref: str) -> tuple[int, int]:
        """Bytes that the container has written, and those of all it sees."""
        ...

    async def changes(self, ref: str) -> Sequence[Change]: ...

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """Its file system as a tar."""
        ...

    async def archive_stat(self, ref: str, path: str) -> PathStat: ...

    async def archive_get(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """A path and all below it, as a tar whose names start with the path's last part."""
        ...

    async def archive_put(
        self, ref: str, path: str, body: AsyncIterator[bytes], *, no_overwrite_dir_non_dir: bool, copy_uid_gid: bool
    ) -> None:
        """Unpack a tar, plain or compressed, into the directory ``path``."""
        ...

    async def prune(self, filters: FilterValues) -> PruneResult: ...


class ExecBackend(Protocol):
    """Processes put into running containers."""

    async def exec_create(self, ref: str, config: ExecConfig) -> str:
        """Returns the exec's id."""
        ...

    async def exec_start(
        self, exec_id: str, *, tty: bool, detach: bool, console_size: tuple[int, int] | None
    ) -> Attachment | None:
        """Run it; its streams unless detached. ``console_size`` is height and width."""
        ...

    async def exec_resize(self, exec_id: str, height: int, width: int) -> None: ...

    async def exec_inspect(self, exec_id: str) -> ExecInspect: ...


class VolumeBackend(Protocol):
    """The node's volumes."""

    async def list(self, filters: FilterValues) -> Sequence[Volume]: ...

    async def create(self, options: VolumeCreateOptions) -> Volume: ...

    async def get(self, name: str) -> Volume: ...

    async def remove(self, name: str, force: bool) -> None: ...

    async def prune(self, filters: FilterValues) -> PruneResult: ...


class ImageBackend(Protocol):
    """The node's images.

    ``name`` and ``tag`` are the API's pair: the tag may be empty, or a digest. ``platform`` is ``os/arch/variant``,
    empty for the node's own.
    """

    async def images(self) -> Sequence[ImageRecord]:
        """All of them, the newest first."""
        ...

    async def inspect(self, ref: str) -> ImageRecord: ...

    async def history(self, ref: str) -> Sequence[HistoryStep]: ...

    async def pull(self, name: str, tag: str, *, platform: str, auth: AuthConfig | None, report: Report) -> None: ...

    async def push(self, name: str, tag: str, *, auth: AuthConfig | None, report: Report) -> None: ...

    async def load(self, body: AsyncIterator[bytes], *, platform: str, report: Report) -> None: ...

    async def import_(
        self,
        body: AsyncIterator[bytes],
        *,
        name: str,
        tag: str,
        changes: Sequence[str],
        message: str,
        platform: str,
        report: Report,
    ) -> None:
        """Make an image of a root file system's tar; without a name, one that only has an id."""
        ...

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]: ...

    async def tag(self, ref: str, name: str, tag: str) -> None: ...

    async def remove(self, ref: str, *, force: bool) -> Sequence[ImageRemoval]: ...

    async def prune(self, filters: FilterValues) -> ImagePruneResult: ...
