"""What a node has and what is on it, kept up to date task by task."""

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import TypeVar

from shoal.objects.node import Node
from shoal.objects.service import Resources
from shoal.objects.task import Task

K = TypeVar("K", bound=Hashable)


class NodeLoad:
    """A node with the tasks that it was given and that have not ended. CPUs in billionths, memory in bytes."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.tasks: dict[str, Task] = {}
        self.host_ports: Counter[tuple[str, int]] = Counter()
        self._cpus = 0
        self._memory = 0
        self._services: Counter[str] = Counter()

    @property
    def free_cpus(self) -> int:
        """What is not reserved yet."""
        resources = self.node.description.resources if self.node.description else None
        return (resources.nano_cpus or 0 if resources else 0) - self._cpus

    @property
    def free_memory(self) -> int:
        """What is not reserved yet."""
        resources = self.node.description.resources if self.node.description else None
        return (resources.memory_bytes or 0 if resources else 0) - self._memory

    def of_service(self, task: Task) -> int:
        """How many tasks of the same service are here."""
        return self._services[task.service_id or ""]

    @staticmethod
    def ports_of(task: Task) -> Iterator[tuple[str, int]]:
        """The ports of the node's own that the task takes."""
        for port in (task.endpoint.ports if task.endpoint else None) or []:
            if not port.is_ingress and port.published_port:
                yield port.protocol or "tcp", port.published_port

    def add(self, task: Task) -> None:
        """Count a task in; one that is counted already is taken out first."""
        self.remove(task.id)
        self.tasks[task.id] = task
        self._count(task, 1)

    def remove(self, task_id: str) -> None:
        """Count a task out, if it is here."""
        if (task := self.tasks.pop(task_id, None)) is not None:
            self._count(task, -1)

    def _count(self, task: Task, sign: int) -> None:
        reserved = (task.spec.resources.reservations if task.spec.resources else None) or Resources()
        self._cpus += sign * (reserved.nano_cpus or 0)
        self._memory += sign * (reserved.memory_bytes or 0)
        _add(self._services, task.service_id or "", sign)
        for key in self.ports_of(task):
            _add(self.host_ports, key, sign)


def _add(counter: Counter[K], key: K, sign: int) -> None:
    counter[key] += sign
    if not counter[key]:
        del counter[key]
