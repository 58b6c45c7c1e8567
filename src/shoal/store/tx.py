"""Transactions: what a closure sees of the store, what it changes, and the events that come of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, cast

from shoal.errors import Conflict, NotFound
from shoal.objects.task import Task
from shoal.store.tables import KIND_OF, S, Stored, Tables, name_of


class Action(Enum):
    """What happened to an object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True)
class Event:
    """One object's change; ``old`` is ``None`` at its creation, and ``obj`` is its last state at its end."""

    action: Action
    obj: Stored
    old: Stored | None = None


class View(Protocol):
    """Reading, as pure steps ask for it."""

    def get(self, kind: type[S], key: str) -> S | None:
        """The object with that id."""
        ...

    def all(self, kind: type[S]) -> list[S]:
        """Every object of a kind."""
        ...

    def by_name(self, kind: type[S], name: str) -> S | None:
        """The object with that name."""
        ...

    def tasks_of_service(self, service_id: str) -> list[Task]:
        """The tasks that a service has, the ended ones too."""
        ...

    def tasks_of_node(self, node_id: str) -> list[Task]:
        """The tasks that a node was given."""
        ...


class TableView:
    """A :class:`View` of committed tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, kind: type[S], key: str) -> S | None:
        return cast("S | None", self._tables.by_id[kind].get(key))

    def all(self, kind: type[S]) -> list[S]:
        return cast("list[S]", list(self._tables.by_id[kind].values()))

    def by_name(self, kind: type[S], name: str) -> S | None:
        key = self._tables.by_name[kind].get(name)
        return None if key is None else self.get(kind, key)

    def tasks_of_service(self, service_id: str) -> list[Task]:
        return list(self._tables.tasks(self._tables.by_service.get(service_id, ())))

    def tasks_of_node(self, node_id: str) -> list[Task]:
        return list(self._tables.tasks(self._tables.by_node.get(node_id, ())))


class Tx:
    """A view that can be written to. Nothing is visible to others before the commit, nothing at all if it fails."""

    def __init__(self, tables: Tables) -> None:
        self._base = TableView(tables)
        self.changed: dict[tuple[type[Stored], str], Stored | None] = {}

    def get(self, kind: type[S], key: str) -> S | None:
        if (kind, key) in self.changed:
            return cast("S | None", self.changed[kind, key])
        return self._base.get(kind, key)

    def all(self, kind: type[S]) -> list[S]:
        kept = [obj for obj in self._base.all(kind) if (kind, obj.id) not in self.changed]
        return kept + [cast("S", obj) for (k, _), obj in self.changed.items() if k is kind and obj is not None]

    def by_name(self, kind: type[S], name: str) -> S | None:
        for (changed_kind, _), obj in self.changed.items():
            if changed_kind is kind and obj is not None and name_of(obj) == name:
                return cast("S", obj)
        found = self._base.by_name(kind, name)
        return None if found is None or (kind, found.id) in self.changed else found

    def tasks_of_service(self, service_id: str) -> list[Task]:
        kept = [t for t in self._base.tasks_of_service(service_id) if (Task, t.id) not in self.changed]
        return kept + [t for t in self._changed_tasks() if t.service_id == service_id]

    def tasks_of_node(self, node_id: str) -> list[Task]:
        kept = [t for t in self._base.tasks_of_node(node_id) if (Task, t.id) not in self.changed]
        return kept + [t for t in self._changed_tasks() if t.node_id == node_id]

    def _changed_tasks(self) -> Iterator[Task]:
        return (obj for obj in self.changed.values() if isinstance(obj, Task))

    def create(self, obj: Stored) -> None:
        """Add a new object. Raises :class:`~shoal.errors.Conflict` if its id or name is taken."""
        kind: Any = type(obj)
        name = name_of(obj)
        if self.get(kind, obj.id) is not None or (name is not None and self.by_name(kind, name) is not None):
            raise Conflict(f"{KIND_OF[kind]} {name or obj.id} already exists")
        self.changed[kind, obj.id] = obj

    def update(self, obj: Stored) -> None:
        """Replace an object. Raises :class:`~shoal.errors.NotFound` if it is gone."""
        kind: Any = type(obj)
        if self.get(kind, obj.id) is None:
            raise NotFound(f"{KIND_OF[kind]} {obj.id} not found")
        self.changed[kind, obj.id] = obj

    def delete(self, obj: Stored) -> None:
        """Remove an object; one that is gone already is no error."""
        self.changed[type(obj), obj.id] = None
