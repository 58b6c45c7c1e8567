"""A node's containers and execs in memory: calls are written down, streams are what the test puts in."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from shoal.container.cgroups import DiskUse, Usage
from shoal.errors import Conflict, NotFound, NotModified
from shoal.objects.container import Container, ContainerConfig, HostConfig, NetworkingConfig
from shoal.objects.exec import ExecConfig, ExecInspect, ExecProcess
from shoal.objects.results import (
    Change,
    Created,
    ExitResult,
    InterfaceCounters,
    LogLine,
    LogQuery,
    PathStat,
    PruneResult,
    StatsSample,
)
from shoal.objects.update import UpdateConfig


@dataclass(frozen=True)
class Line:
    """A log line."""

    stream: Literal["stdout", "stderr"]
    time: int
    data: bytes


class EchoAttachment:
    """A process that writes what it reads, says ``bye`` on stderr when its input ends, and ends."""

    def __init__(self, greeting: bytes = b"") -> None:
        self._pieces: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.let_go = asyncio.Event()
        if greeting:
            self._pieces.put_nowait((1, greeting))

    async def write(self, data: bytes) -> None:
        self._pieces.put_nowait((1, data))

    async def close_stdin(self) -> None:
        self._pieces.put_nowait((2, b"bye"))
        self._pieces.put_nowait(None)

    async def aclose(self) -> None:
        self.let_go.set()

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        while (piece := await self._pieces.get()) is not None:
            yield piece


async def each(items: Sequence[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


@dataclass
class FakeContainers:
    """A :class:`shoal.api.backends_containers.ContainerBackend` and ``ExecBackend``."""

    containers: list[Container] = field(default_factory=list)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    attachment: EchoAttachment = field(default_factory=EchoAttachment)
    exits: "asyncio.Future[ExitResult] | None" = None
    running: bool = True
    sampled: int = 0
    first_sample: asyncio.Event = field(default_factory=asyncio.Event)
    start_error: Exception | None = None
    execs: dict[str, ExecConfig] = field(default_factory=dict)

    def get(self, ref: str) -> Container:
        for one in self.containers:
            if ref == one.name or one.id.startswith(ref):
                return one
        raise NotFound(f"No such container: {ref}")

    def list(self) -> Sequence[Container]:
        return self.containers

    def execs_of(self, container_id: str) -> Sequence[str]:
        return list(self.execs)

    async def create(
        self,
        name: str | None,
        config: ContainerConfig,
        host: HostConfig,
        networking: NetworkingConfig,
        platform: str | None,
    ) -> Created:
        self.calls.append(("create", name, config, host, networking, platform))
        return Created(id="c" * 64, warnings=["careful"])

    async def start(self, ref: str) -> None:
        self._did("start", ref)
        if self.get(ref).is_running:
            raise NotModified("container already started")

    async def stop(self, ref: str, *, timeout: int | None, signal: str | None) -> None:
        self._did("stop", ref, timeout, signal)

    async def restart(self, ref: str, *, timeout: int | None, signal: str | None) -> None:
        self._did("restart", ref, timeout, signal)

    async def kill(self, ref: str, signal: str) -> None:
        self._did("kill", ref, signal)

    async def pause(self, ref: str) -> None:
        self._did("pause", ref)

    async def unpause(self, ref: str) -> None:
        self._did("unpause", ref)

    async def rename(self, ref: str, name: str) -> None:
        self._did("rename", ref, name)

    async def remove(self, ref: str, *, force: bool, volumes: bool) -> None:
        self._did("remove", ref, force, volumes)

    def waiter(self, ref: str, condition: str) -> Awaitable[ExitResult]:
        self._did("wait", ref, condition)
        self.exits = asyncio.get_running_loop().create_future()
        return self.exits

    async def resize(self, ref: str, height: int, width: int) -> None:
        self._did("resize", ref, height, width)

    async def update(self, ref: str, body: UpdateConfig) -> Sequence[str]:
        self._did("update", ref, body)
        return ["no swap"]

    async def top(self, ref: str, ps_args: str) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        self._did("top", ref, ps_args)
        return ["PID", "CMD"], [["1", "sleep"]]

    async def logs(self, ref: str, query: LogQuery) -> AsyncIterator[LogLine]:
        self._did("logs", ref, query)
        lines = self.lines if query.tail is None else self.lines[len(self.lines) - query.tail :]
        return each(lines)

    async def attach(self, ref: str, *, stdin: bool, stdout: bool, stderr: bool, logs: bool) -> EchoAttachment:
        self._did("attach", ref, stdin, stdout, stderr, logs)
        return self.attachment

    async def stats(self, ref: str) -> StatsSample:
        self.get(ref)
        self.sampled += 1
        self.first_sample.set()
        usage = Usage(
            cpu_total=self.sampled * 1000,
            per_cpu=(1, 2),
            memory=5,
            memory_detail={"cache": 1},
            pids=1,
            disks=(DiskUse(8, 0, 1, 2, 3, 4),),
        )
        return StatsSample(
            read=datetime(2026, 1, 1, 0, 0, self.sampled, tzinfo=UTC),
            usage=usage if self.running else None,
            system_cpu=self.sampled * 10_000,
            online_cpus=2,
            memory_total=4096,
            networks={"eth0": InterfaceCounters(rx_bytes=7)},
        )

    async def disk_usage(self, ref: str) -> tuple[int, int]:
        return 7, 1000

    async def changes(self, ref: str) -> Sequence[Change]:
        return [Change("/t", 1)]

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        self._did("export", ref)
        return each([b"one", b"two"])

    async def archive_stat(self, ref: str, path: str) -> PathStat:
        self.get(ref)
        if path != "/bin/sh":
            raise NotFound(f"Could not find the file {path} in container {ref}")
        return PathStat("sh", 7, 134218239, "2026-11-23T19:15:36Z", "/bin/busybox")

    async def archive_get(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        return await self.archive_stat(ref, path), each([b"ta", b"r"])

    async def archive_put(
        self, ref: str, path: str, body: AsyncIterator[bytes], *, no_overwrite_dir_non_dir: bool, copy_uid_gid: bool
    ) -> None:
        content = b"".join([piece async for piece in body])
        self._did("put", ref, path, content, no_overwrite_dir_non_dir, copy_uid_gid)

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> PruneResult:
        self.calls.append(("prune", dict(filters)))
        return PruneResult(["c" * 64], 12)

    async def exec_create(self, ref: str, config: ExecConfig) -> str:
        self.get(ref)
        self.execs["e1"] = config
        return "e1"

    async def exec_start(
        self, exec_id: str, *, tty: bool, detach: bool, console_size: tuple[int, int] | None
    ) -> EchoAttachment | None:
        self.calls.append(("exec_start", exec_id, tty, detach, console_size))
        if self.start_error is not None:
            raise self.start_error
        return None if detach else self.attachment

    async def exec_resize(self, exec_id: str, height: int, width: int) -> None:
        self.calls.append(("exec_resize", exec_id, height, width))

    async def exec_inspect(self, exec_id: str) -> ExecInspect:
        if (config := self.execs.get(exec_id)) is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        program, *arguments = config.cmd or [""]
        return ExecInspect(
            id=exec_id,
            running=False,
            exit_code=None,
            process_config=ExecProcess(config.tty, program, arguments, config.privileged),
            open_stdin=config.attach_stdin,
            container_id="c",
        )

    def _did(self, name: str, ref: str, *more: Any) -> None:
        self.get(ref)
        self.calls.append((name, ref, *more))


def already_run(exec_id: str) -> Conflict:
    """What a second start of an exec raises."""
    return Conflict(f"Error: Exec command {exec_id} has already run")
