"""The engine's parts that concern a container, as the one backend that the API has for it."""

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence

from shoal.engine.engine import Engine
from shoal.engine.streams import LiveStreams
from shoal.objects.container import Container, ContainerConfig, HostConfig, NetworkingConfig
from shoal.objects.results import Change, Created, ExitResult, LogLine, LogQuery, PathStat, PruneResult, StatsSample
from shoal.objects.update import UpdateConfig


class ContainerParts:
    """See :class:`shoal.api.backends_containers.ContainerBackend`; each call goes to the part that knows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(
        self,
        name: str | None,
        config: ContainerConfig,
        host: HostConfig,
        networking: NetworkingConfig,
        platform: str | None,
    ) -> Created:
        return await self._engine.containers.create(name, config, host, networking, platform)

    def get(self, ref: str) -> Container:
        return self._engine.records.get(ref)

    def list(self) -> Sequence[Container]:
        return self._engine.records.all()

    def execs_of(self, container_id: str) -> Sequence[str]:
        return self._engine.execs.execs_of(container_id)

    async def start(self, ref: str) -> None:
        await self._engine.lifecycle.start(ref)

    async def stop(self, ref: str, *, timeout: int | None, signal: str | None) -> None:
        await self._engine.lifecycle.stop(ref, timeout=timeout, signal_name=signal)

    async def restart(self, ref: str, *, timeout: int | None, signal: str | None) -> None:
        await self._engine.lifecycle.restart(ref, timeout=timeout, signal_name=signal)

    async def kill(self, ref: str, signal: str) -> None:
        await self._engine.lifecycle.kill(ref, signal)

    async def pause(self, ref: str) -> None:
        await self._engine.lifecycle.pause(ref, paused=True)

    async def unpause(self, ref: str) -> None:
        await self._engine.lifecycle.pause(ref, paused=False)

    async def rename(self, ref: str, name: str) -> None:
        await self._engine.containers.rename(ref, name)

    async def remove(self, ref: str, *, force: bool, volumes: bool) -> None:
        await self._engine.containers.remove(ref, force=force, volumes=volumes)

    def waiter(self, ref: str, condition: str) -> Awaitable[ExitResult]:
        return self._engine.containers.wait(ref, condition)

    async def resize(self, ref: str, height: int, width: int) -> None:
        await self._engine.streams.resize(ref, height, width)

    async def update(self, ref: str, body: UpdateConfig) -> Sequence[str]:
        return await self._engine.updates.update(ref, body)

    async def top(self, ref: str, ps_args: str) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        return await self._engine.stats.top(ref, ps_args)

    async def logs(self, ref: str, query: LogQuery) -> AsyncIterator[LogLine]:
        return await self._engine.streams.logs(ref, query)

    async def attach(self, ref: str, *, stdin: bool, stdout: bool, stderr: bool, logs: bool) -> LiveStreams:
        return await self._engine.streams.attach(ref, stdin=stdin, stdout=stdout, stderr=stderr, logs=logs)

    async def stats(self, ref: str) -> StatsSample:
        return await self._engine.stats.stats(ref)

    async def disk_usage(self, ref: str) -> tuple[int, int]:
        return await self._engine.sizes.of(ref)

    async def changes(self, ref: str) -> Sequence[Change]:
        return await self._engine.archives.changes(ref)

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        return await self._engine.archives.export(ref)

    async def archive_stat(self, ref: str, path: str) -> PathStat:
        return await self._engine.archives.archive_stat(ref, path)

    async def archive_get(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        return await self._engine.archives.archive_get(ref, path)

    async def archive_put(
        self, ref: str, path: str, body: AsyncIterator[bytes], *, no_overwrite_dir_non_dir: bool, copy_uid_gid: bool
    ) -> None:
        await self._engine.archives.archive_put(
            ref, path, body, no_overwrite_dir_non_dir=no_overwrite_dir_non_dir, copy_uid_gid=copy_uid_gid
        )

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> PruneResult:
        return await self._engine.container_pruner.prune(filters)
