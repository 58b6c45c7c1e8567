"""What a service's tasks have written, and go on writing, on any node, as one stream of lines.

Every node is asked the same way, this manager's own too. A task's log is read on where it broke off: a container's
lines have times of their own that go up, so a time is a place in a log.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import msgspec
from msgspec.structs import replace

from shoal.aio.broadcast import Lagged
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import FailedPrecondition, ShoalError, Unavailable
from shoal.manager.merge import Merge, Source
from shoal.objects.results import LogLine, LogQuery
from shoal.objects.service import Service
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task
from shoal.store.store import Store
from shoal.wire.cluster import ReadLog
from shoal.wire.logs import LogLines, unpack_lines

_log = logging.getLogger(__name__)
# Before a log that is followed is asked for again, in seconds.
_AGAIN = 0.5
# SwarmKit's words (manager/logbroker), and before them gRPC's, as clients have them from dockerd.
_INCOMPLETE = (
    "rpc error: code = Unknown desc = warning: incomplete log stream. some logs could not be retrieved for the "
    "following reasons: "
)


class Incoming(Protocol):
    """A stream that a node has opened."""

    def messages(self) -> AsyncGenerator[bytes, None]:
        """What comes, to its end. Raises ShoalError when it breaks off."""
        ...

    def close(self) -> None:
        """Have the node stop."""
        ...


class Nodes(Protocol):
    """The way to the nodes."""

    async def open_stream(self, node_id: str, ask: Callable[[str], ReadLog]) -> Incoming:
        """A stream from a node. Raises Unavailable, soon, when the node cannot be reached."""
        ...


@dataclass(frozen=True, slots=True)
class TaskLine:
    """A line, and whose it is."""

    line: LogLine
    task: Task

    @property
    def time(self) -> int:
        return self.line.time


class TaskLog:
    """One task's log, and how far it has been read."""

    def __init__(self, task: Task, query: LogQuery, nodes: Nodes) -> None:
        self.task = task
        self.is_current = False
        self._query = query
        self._nodes = nodes

    async def batches(self) -> AsyncGenerator[list[TaskLine], None]:
        """The lines that have not been read yet, to the end of the log or, if it is followed, of the container;
        ``is_current`` says once what was there at first has come. Raises ShoalError when they break off: what comes
        after the last line is read the next time."""
        node_id, query = str(self.task.node_id), self._query
        stream = await self._nodes.open_stream(
            node_id, lambda stream_id: ReadLog(stream_id=stream_id, task_id=self.task.id, query=query)
        )
        began = 0
        try:
            async with aclosing(stream.messages()) as messages:
                async for data in messages:
                    told = _unpacked(node_id, data)
                    if not began:
                        began = told.now
                        self._begin(began)
                        continue
                    if told.lines:
                        last = told.lines[-1].time
                        self._query = replace(self._query, tail=None, since=last + 1)
                    self.is_current |= not told.lines or last >= began
                    yield [TaskLine(line, self.task) for line in told.lines]
        finally:
            stream.close()

    def _begin(self, now: int) -> None:
        """Without old lines, the place to go on from is the node's time when it began to read."""
        if self._query.tail == 0:
            self._query = replace(self._query, tail=None, since=max(now, self._query.since or 0))


def _unpacked(node_id: str, data: bytes) -> LogLines:
    try:
        return unpack_lines(data)
    except msgspec.DecodeError as error:
        raise Unavailable(f"node {node_id} sent what is no log") from error


class Logs:
    """Reads the logs of tasks; belongs to one manager."""

    def __init__(self, *, store: Store, nodes: Nodes, clock: Clock) -> None:
        self._store = store
        self._nodes = nodes
        self._clock = clock
        self._open: set[Merge[TaskLine]] = set()

    async def of(self, target: Service | Task, query: LogQuery) -> AsyncIterator[TaskLine]:
        """The lines of a task, or of all tasks of a service, in the order of their times as far as they are there;
        with ``query.follow`` also those that come, from tasks that come too, until :meth:`close`.

        Without, raises Unavailable in Docker's words at the end when there may be more that nobody could get at.
        """
        merge: Merge[TaskLine] = Merge()
        missing: dict[str, None] = {}
        feed = self._follow(target, query, merge) if query.follow else self._read(target, query, merge, missing)
        self._open.add(merge)
        feeding = spawn(feed, name=f"logs of {target.id}")
        try:
            async with aclosing(merge.lines()) as lines:
                async for line in lines:
                    yield line
        finally:
            self._open.discard(merge)
            await cancel(feeding)
        if missing:
            raise Unavailable(_INCOMPLETE + ", ".join(missing))

    def close(self) -> None:
        """Nothing is followed any more."""
        for merge in self._open:
            merge.finish()

    def _tasks(self, target: Service | Task) -> list[Task]:
        view = self._store.view
        if isinstance(target, Service):
            return view.tasks_of_service(target.id)
        task = view.get(Task, target.id)
        return [] if task is None else [task]

    async def _read(
        self, target: Service | Task, query: LogQuery, merge: Merge[TaskLine], missing: dict[str, None]
    ) -> None:
        """What is there, once; ``missing`` gets the reasons why some of it is not."""
        tasks = self._tasks(target)
        missing |= {f"task {t.id} has not been scheduled": None for t in tasks if _waits_for_a_node(t)}

        async def pump(log: TaskLog, source: Source[TaskLine]) -> None:
            try:
                async with aclosing(log.batches()) as batches:
                    async for lines in batches:
                        await source.give(lines)
            except ShoalError as error:
                missing[str(error)] = None
            source.settle()

        logs = [TaskLog(task, query, self._nodes) for task in tasks if _has_begun(task)]
        pumps = [spawn(pump(log, merge.source()), name=f"log of {log.task.id}") for log in logs]
        try:
            await asyncio.gather(*pumps)
        finally:
            await cancel(*pumps)
            merge.finish()

    async def _follow(self, target: Service | Task, query: LogQuery, merge: Merge[TaskLine]) -> None:
        """What is there, and what comes, also of tasks that begin later."""
        pumps: dict[str, asyncio.Task[None]] = {}

        def begin(asked: LogQuery) -> None:
            tasks = self._tasks(target)
            for key in [key for key, pump in pumps.items() if pump.done()]:
                if all(task.id != key for task in tasks):
                    del pumps[key]
            for task in tasks:
                if task.id not in pumps and _has_begun(task):
                    log, source = TaskLog(task, asked, self._nodes), merge.source()
                    if asked is not query:  # a task that comes holds up nobody who is there
                        source.settle()
                    pumps[task.id] = spawn(self._keep_reading(log, source), name=f"log of {task.id}")

        try:
            with self._store.watch() as events:
                begin(query)
                while True:
                    try:
                        if not (batches := await events.drain()):
                            return
                    except Lagged:
                        begin(replace(query, tail=None))
                        continue
                    if any(_concerns(event.obj, target) for batch in batches for event in batch):
                        begin(replace(query, tail=None))
        finally:
            await cancel(*pumps.values())
            merge.finish()

    async def _keep_reading(self, log: TaskLog, source: Source[TaskLine]) -> None:
        """A task's log, on and on over lines that break, until all has been read that it wrote in its life."""
        told = ""
        while True:
            task = self._store.view.get(Task, log.task.id)
            has_ended = task is None or is_terminal(task.state)
            try:
                async with aclosing(log.batches()) as batches:
                    async for lines in batches:
                        if log.is_current:
                            source.settle()
                        await source.give(lines)
            except ShoalError as error:
                if str(error) != told:
                    _log.info("the log of task %s breaks off: %s", log.task.id, error)
                told = str(error)
                # The node may be back; what it cannot do now, it cannot do later.
                has_ended = task is None or isinstance(error, FailedPrecondition)
            source.settle()
            if has_ended:
                return
            await self._clock.sleep(_AGAIN)


def _has_begun(task: Task) -> bool:
    """Whether a node has, or has had, a container of it."""
    return task.node_id is not None and task.state >= TaskState.STARTING


def _waits_for_a_node(task: Task) -> bool:
    return task.node_id is None and task.desired <= TaskState.RUNNING


def _concerns(obj: object, target: Service | Task) -> bool:
    return isinstance(obj, Task) and target.id in (obj.id, obj.service_id)
