"""The store's tables in memory, with the indexes that the loops read by."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from shoal.objects.cluster import Cluster
from shoal.objects.network import Network
from shoal.objects.node import Node
from shoal.objects.secret import Config, Secret
from shoal.objects.service import Service
from shoal.objects.task import Task

Stored: TypeAlias = Cluster | Node | Service | Network | Task | Secret | Config
S = TypeVar("S", Cluster, Node, Service, Network, Task, Secret, Config)

KINDS: dict[str, type[Stored]] = {
    "cluster": Cluster,
    "node": Node,
    "service": Service,
    "network": Network,
    "task": Task,
    "secret": Secret,
    "config": Config,
}
KIND_OF: dict[type[Stored], str] = {kind: word for word, kind in KINDS.items()}


def name_of(obj: Stored) -> str | None:
    """The name that is unique within the object's kind, if its kind has one."""
    return obj.spec.name if isinstance(obj, Service | Network | Secret | Config) else None


@dataclass
class Tables:
    """All objects by kind and id, names by kind, tasks by service and by node."""

    by_id: dict[type[Stored], dict[str, Stored]] = field(default_factory=lambda: {kind: {} for kind in KIND_OF})
    by_name: dict[type[Stored], dict[str, str]] = field(default_factory=lambda: {kind: {} for kind in KIND_OF})
    by_service: dict[str, dict[str, None]] = field(default_factory=dict)
    by_node: dict[str, dict[str, None]] = field(default_factory=dict)

    def become(self, others: "Tables") -> None:
        """Have what ``others`` have; whoever reads these tables sees that from now on."""
        self.by_id, self.by_name = others.by_id, others.by_name
        self.by_service, self.by_node = others.by_service, others.by_node

    def put(self, obj: Stored) -> None:
        """Add the object, or set it in the place of its older self."""
        kind = type(obj)
        self.remove(kind, obj.id)
        self.by_id[kind][obj.id] = obj
        if (name := name_of(obj)) is not None:
            self.by_name[kind][name] = obj.id
        if isinstance(obj, Task):
            for index, key in _owners_in(self, obj):
                if key is not None:
                    index.setdefault(key, {})[obj.id] = None

    def remove(self, kind: type[Stored], key: str) -> None:
        """Take the object out, if it is there."""
        old = self.by_id[kind].pop(key, None)
        if old is None:
            return
        if (name := name_of(old)) is not None and self.by_name[kind].get(name) == key:
            del self.by_name[kind][name]
        if isinstance(old, Task):
            for index, owner in _owners_in(self, old):
                if owner is not None and (members := index.get(owner)) is not None:
                    members.pop(key, None)
                    if not members:
                        del index[owner]

    def tasks(self, ids: Iterable[str]) -> Iterator[Task]:
        """The tasks of those ids."""
        table = self.by_id[Task]
        for key in ids:
            task = table[key]
            assert isinstance(task, Task)
            yield task


def _owners_in(tables: Tables, task: Task) -> tuple[tuple[dict[str, dict[str, None]], str | None], ...]:
    """The indexes that a task stands in: tasks of no service, plain containers on a network, under the empty id."""
    return (tables.by_service, task.service_id or ""), (tables.by_node, task.node_id or None)
