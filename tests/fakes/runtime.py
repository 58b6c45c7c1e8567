"""A runtime in memory, which fails, stands still and ends processes when a test says so."""

import asyncio
import signal as signals
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from shoal.container.cgroups import Usage
from shoal.container.oci import OciSpec, Process, Resources
from shoal.container.rootfs import RootMount, SnapshotUsage
from shoal.container.runtime import ContainerState, ExitStatus, ProcessState, ProcessStatus, RuntimeEvent, Stdio
from shoal.errors import Conflict, FailedPrecondition, NotFound, ShoalError

_ENDED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeTask:
    """A container's first process."""

    pid: int
    status: ProcessStatus = ProcessStatus.CREATED
    exit: ExitStatus | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class FakeContainer:
    """A container of the runtime's."""

    spec: OciSpec
    labels: Mapping[str, str]
    task: FakeTask | None = None
    signals: list[int] = field(default_factory=list)


class FakeRuntime:
    """A :class:`shoal.container.runtime.Runtime`. ``fails`` has errors by the method's name, each raised once, those
    in ``late`` at its end; ``held`` events that a method waits for; processes end on the signals in ``deadly``."""

    def __init__(self) -> None:
        self.containers: dict[str, FakeContainer] = {}
        self.fails: dict[str, ShoalError] = {}
        self.late: dict[str, ShoalError] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.calls: Counter[str] = Counter()
        self.deadly = {signals.SIGTERM, signals.SIGKILL, signals.SIGQUIT}
        self.ends_at_once: int | None = None
        self._pid = 1000

    def hold(self, method: str) -> asyncio.Event:
        """Have the method wait until the event is set."""
        return self.held.setdefault(method, asyncio.Event())

    def end(self, container_id: str, code: int = 0) -> None:
        """The process ends by itself."""
        task = self._task(container_id)
        task.status, task.exit = ProcessStatus.STOPPED, ExitStatus(code, _ENDED)
        task.ended.set()

    def copied(self) -> "FakeRuntime":
        """What it has at this moment, for a shoald that is started after another was killed."""
        copy = FakeRuntime()
        copy._pid = self._pid
        for key, container in self.containers.items():
            task = container.task
            copy.containers[key] = FakeContainer(container.spec, container.labels)
            if task is not None:
                copy.containers[key].task = FakeTask(task.pid, task.status, task.exit)
                if task.exit is not None:
                    copy.end(key, task.exit.code)
        return copy

    @property
    def alive(self) -> list[str]:
        """The containers whose process lives."""
        return [
            key
            for key, container in self.containers.items()
            if container.task is not None and container.task.status in (ProcessStatus.RUNNING, ProcessStatus.PAUSED)
        ]

    @property
    def tasks(self) -> list[str]:
        """The containers that have a task."""
        return [key for key, container in self.containers.items() if container.task is not None]

    async def _step(self, method: str) -> None:
        self.calls[method] += 1
        self.reached[method].set()
        if (error := self.fails.pop(method, None)) is not None:
            raise error
        if (event := self.held.get(method)) is not None:
            await event.wait()
        if (error := self.late.pop(method, None)) is not None:
            raise error
        await asyncio.sleep(0)

    def _container(self, container_id: str) -> FakeContainer:
        if (found := self.containers.get(container_id)) is None:
            raise NotFound(f"container {container_id}: not found")
        return found

    def _task(self, container_id: str) -> FakeTask:
        if (task := self._container(container_id).task) is None:
            raise NotFound(f"task {container_id}: not found")
        return task

    async def create(
        self, container_id: str, spec: OciSpec, *, parent: str, labels: Mapping[str, str], image: str = ""
    ) -> None:
        await self._step("create")
        if container_id in self.containers:
            raise Conflict(f"container {container_id}: already exists")
        self.containers[container_id] = FakeContainer(spec, labels)

    async def remove(self, container_id: str) -> None:
        await self._step("remove")
        container = self.containers.get(container_id)
        assert container is None or container.task is None, "removed with its task"
        self.containers.pop(container_id, None)

    async def create_task(self, container_id: str, stdio: Stdio, *, spec: OciSpec | None = None) -> int:
        await self._step("create_task")
        container = self._container(container_id)
        if container.task is not None:
            raise Conflict(f"task {container_id}: already exists")
        self._pid += 1
        container.task = FakeTask(self._pid)
        return self._pid

    async def start(self, container_id: str, exec_id: str = "") -> int:
        await self._step("start")
        task = self._task(container_id)
        task.status = ProcessStatus.RUNNING
        if self.ends_at_once is not None:
            self.end(container_id, self.ends_at_once)
        return task.pid

    async def kill(self, container_id: str, signal: int, *, exec_id: str = "", everything: bool = False) -> None:
        await self._step("kill")
        task = self._task(container_id)
        self._container(container_id).signals.append(signal)
        if task.status is ProcessStatus.STOPPED:
            raise NotFound("process already finished")
        if signal in self.deadly and (task.status is not ProcessStatus.PAUSED):
            self.end(container_id, 128 + signal)

    async def wait(self, container_id: str, exec_id: str = "") -> ExitStatus:
        task = self._task(container_id)
        await task.ended.wait()
        assert task.exit is not None
        return task.exit

    async def delete_task(self, container_id: str, exec_id: str = "") -> ExitStatus | None:
        await self._step("delete_task")
        container = self.containers.get(container_id)
        if container is None or container.task is None:
            return None
        if container.task.status in (ProcessStatus.RUNNING, ProcessStatus.PAUSED):
            raise FailedPrecondition("cannot delete a running process")
        task, container.task = container.task, None
        return task.exit

    async def exec(self, container_id: str, exec_id: str, process: Process, stdio: Stdio) -> None:
        raise AssertionError("not tried with this fake")

    async def pause(self, container_id: str) -> None:
        await self._step("pause")
        self._task(container_id).status = ProcessStatus.PAUSED

    async def resume(self, container_id: str) -> None:
        await self._step("resume")
        task = self._task(container_id)
        if task.status is not ProcessStatus.PAUSED:
            raise FailedPrecondition("cannot resume a running process")
        task.status = ProcessStatus.RUNNING

    async def resize(self, container_id: str, *, height: int, width: int, exec_id: str = "") -> None:
        self._task(container_id)

    async def close_stdin(self, container_id: str, exec_id: str = "") -> None:
        self._task(container_id)

    async def update(self, container_id: str, resources: Resources) -> None:
        self._task(container_id)

    async def state(self, container_id: str, exec_id: str = "") -> ProcessState:
        task = self._task(container_id)
        return ProcessState(task.pid, task.status, task.exit)

    async def list(self) -> list[ContainerState]:
        await self._step("list")
        return [
            ContainerState(
                key, dict(c.labels), ProcessState(c.task.pid, c.task.status, c.task.exit) if c.task else None
            )
            for key, c in self.containers.items()
        ]

    async def pids(self, container_id: str) -> tuple[int, ...]:
        return (self._task(container_id).pid,)

    async def usage(self, container_id: str) -> Usage:
        raise AssertionError("not tried with this fake")

    async def rootfs(self, container_id: str) -> tuple[RootMount, ...]:
        return (RootMount("bind", "/dev"),)

    async def disk_usage(self, container_id: str) -> SnapshotUsage:
        raise AssertionError("not tried with this fake")

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        for event in ():
            yield event
