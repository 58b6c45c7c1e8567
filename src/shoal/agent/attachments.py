"""Plain containers of this node on the swarm's networks, as the snapshot has them: tasks of no service."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping

from shoal.objects.task import Task


class Attachments:
    """What the last version brought, and who waits for what it has not brought yet."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}
        self._waiting: dict[str, list[asyncio.Future[list[str]]]] = defaultdict(list)

    def offer(self, tasks: Mapping[str, Task]) -> None:
        """The attachments of a new version, whose networks the engine has been told of already."""
        self._tasks = dict(tasks)
        for task_id, task in tasks.items():
            for future in self._waiting.pop(task_id, []):
                if not future.done():
                    future.set_result(_addresses(task))

    async def wait(self, task_id: str) -> list[str]:
        """The attachment's addresses, ``10.0.0.4/24``, one a family."""
        if (task := self._tasks.get(task_id)) is not None:
            return _addresses(task)
        future: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._waiting[task_id].append(future)
        try:
            return await future
        finally:
            if not any(not other.done() for other in self._waiting.get(task_id, ())):
                self._waiting.pop(task_id, None)

    def all(self) -> Iterator[tuple[str, str, str]]:
        """Every attachment: its task, container and network."""
        for task in self._tasks.values():
            for network_id in _networks(task):
                yield task.id, _container(task) or "", network_id

    def of(self, container_id: str, network_id: str | None = None) -> list[str]:
        """The tasks that stand for this container's attachments, to that network or to any."""
        return [
            task.id
            for task in self._tasks.values()
            if _container(task) == container_id and network_id in (None, *_networks(task))
        ]


def _container(task: Task) -> str | None:
    spec = task.spec.network_attachment_spec
    return spec.container_id if spec else None


def _networks(task: Task) -> list[str]:
    return [attachment.network.id for attachment in task.networks_attachments or []]


def _addresses(task: Task) -> list[str]:
    return [address for attachment in task.networks_attachments or [] for address in attachment.addresses or []]
