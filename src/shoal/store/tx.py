"""Transactions: what a closure sees of the store, what it changes, and the events that come of it."""

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
        """The tasks that a service has, the ended ones too; under the empty id those of none: plain containers."""
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
    """A view that can be written to. Nothing is visible to others before the commit, nothing at all if it fails.

    What has changed lies in tables of its own over the committed ones, so that reading costs the same however much
    one transaction has changed already: a step may change 100,000 tasks.
    """

    def __init__(self, tables: Tables) -> None:
        self._base = TableView(tables)
        self._tables = Tables()
        self._fresh = TableView(self._tables)
        self._masked: dict[type[Stored], set[str]] = {kind: set() for kind in KIND_OF}
        self.changed: dict[tuple[type[Stored], str], Stored | None] = {}

    def get(self, kind: type[S], key: str) -> S | None:
        return self._fresh.get(kind, key) if key in self._masked[kind] else self._base.get(kind, key)

    def all(self, kind: type[S]) -> list[S]:
        return self._unmasked(kind, self._base.all(kind)) + self._fresh.all(kind)

    def by_name(self, kind: type[S], name: str) -> S | None:
        if (found := self._fresh.by_name(kind, name)) is not None:
            return found
        found = self._base.by_name(kind, name)
        return None if found is None or found.id in self._masked[kind] else found

    def tasks_of_service(self, service_id: str) -> list[Task]:
        return self._unmasked(Task, self._base.tasks_of_service(service_id)) + self._fresh.tasks_of_service(service_id)

    def tasks_of_node(self, node_id: str) -> list[Task]:
        return self._unmasked(Task, self._base.tasks_of_node(node_id)) + self._fresh.tasks_of_node(node_id)

    def _unmasked(self, kind: type[S], objects: list[S]) -> list[S]:
        masked = self._masked[kind]
        return [obj for obj in objects if obj.id not in masked] if masked else objects

    def _set(self, kind: type[Stored], key: str, obj: Stored | None) -> None:
        self.changed[kind, key] = obj
        self._masked[kind].add(key)
        if obj is None:
            self._tables.remove(kind, key)
        else:
            self._tables.put(obj)

    def create(self, obj: Stored) -> None:
        """Add a new object. Raises :class:`~shoal.errors.Conflict` if its id or name is taken."""
        kind: Any = type(obj)
        name = name_of(obj)
        if self.get(kind, obj.id) is not None or (name is not None and self.by_name(kind, name) is not None):
            raise Conflict(f"{KIND_OF[kind]} {name or obj.id} already exists")
        self._set(kind, obj.id, obj)

    def update(self, obj: Stored) -> None:
        """Replace an object. Raises :class:`~shoal.errors.NotFound` if it is gone."""
        kind: Any = type(obj)
        if self.get(kind, obj.id) is None:
            raise NotFound(f"{KIND_OF[kind]} {obj.id} not found")
        self._set(kind, obj.id, obj)

    def delete(self, obj: Stored) -> None:
        """Remove an object; one that is gone already is no error."""
        self._set(type(obj), obj.id, None)
