"""What a service's tasks have written, and go on writing, as one stream of lines."""

import asyncio
import heapq
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from shoal.aio.broadcast import Lagged
from shoal.aio.tasks import cancel, spawn
from shoal.engine.events import Events
from shoal.engine.records import Records
from shoal.engine.streams import Streams
from shoal.errors import NotFound, ShoalError
from shoal.manager.manager import Manager
from shoal.objects.container import Container
from shoal.objects.results import LogLine, LogQuery
from shoal.objects.service import Service
from shoal.objects.task import Task

_log = logging.getLogger(__name__)
_AHEAD = 1000


@dataclass(frozen=True)
class TaskLine:
    """A line, and whose it is."""

    line: LogLine
    task: Task


class SwarmLogs:
    """Reads the logs of tasks. Those of this node's containers only, so far: other nodes' come with their sessions."""

    def __init__(self, *, records: Records, streams: Streams, events: Events) -> None:
        self._records = records
        self._streams = streams
        self._events = events

    async def of(self, manager: Manager, target: Service | Task, query: LogQuery) -> AsyncIterator[TaskLine]:
        """The lines of a task, or of all tasks of a service, in the order of their times as far as they are there;
        with ``query.follow`` also those that come, from tasks that come too."""
        tasks = [target] if isinstance(target, Task) else _tasks_of(manager, target)
        if query.follow:
            return self._follow(manager, target, tasks, query)
        return self._merged(tasks, query)

    def _container(self, task_id: str) -> Container | None:
        return next((c for c in self._records.all() if c.task_id == task_id), None)

    async def _merged(self, tasks: list[Task], query: LogQuery) -> AsyncIterator[TaskLine]:
        lines: list[list[tuple[int, int, TaskLine]]] = []
        for number, task in enumerate(tasks):
            if (container := self._container(task.id)) is not None:
                source = await self._streams.logs(container.id, query)
                lines.append([(line.time, number, TaskLine(line, task)) async for line in source])
        for _, _, found in heapq.merge(*lines, key=lambda entry: entry[:2]):
            yield found

    async def _follow(
        self, manager: Manager, target: Service | Task, tasks: list[Task], query: LogQuery
    ) -> AsyncIterator[TaskLine]:
        queue: asyncio.Queue[TaskLine | None] = asyncio.Queue(_AHEAD)
        known: set[str] = {task.id for task in tasks if self._container(task.id) is not None}
        pumps = [spawn(self._pump(task, query, queue), name=f"log of {task.id}") for task in tasks if task.id in known]
        pumps.append(spawn(self._newcomers(manager, target, known, query, queue), name="logs of new tasks"))
        try:
            while (line := await queue.get()) is not None:
                yield line
        finally:
            await cancel(*pumps)

    async def _pump(self, task: Task, query: LogQuery, queue: "asyncio.Queue[TaskLine | None]") -> None:
        container = self._container(task.id)
        if container is None:
            return
        try:
            async for line in await self._streams.logs(container.id, query):
                await queue.put(TaskLine(line, task))
        except ShoalError:
            # The container went away while it was read: there is no more to come of it.
            return

    async def _newcomers(
        self,
        manager: Manager,
        target: Service | Task,
        known: set[str],
        query: LogQuery,
        queue: "asyncio.Queue[TaskLine | None]",
    ) -> None:
        """Join the logs of tasks that start from now on; their lines count from their beginning."""
        later = LogQuery(stdout=query.stdout, stderr=query.stderr, follow=True)
        pumps = []
        with self._events.subscribe() as events:
            try:
                async for event in events:
                    if event.type != "container" or event.action != "start":
                        continue
                    container = self._records.find(event.actor.id)
                    task_id = container.task_id if container else None
                    if task_id is None or task_id in known:
                        continue
                    try:
                        task = manager.tasks.get(task_id)
                    except NotFound:
                        continue
                    if target.id in (task.id, task.service_id):
                        known.add(task_id)
                        pumps.append(spawn(self._pump(task, later, queue), name=f"log of {task_id}"))
            except Lagged:
                _log.warning("too much happens to follow the logs of %s", target.id)
            finally:
                await cancel(*pumps)
        await queue.put(None)


def _tasks_of(manager: Manager, service: Service) -> list[Task]:
    return [task for task in manager.tasks.list() if task.service_id == service.id]
