"""The store: all of the swarm's objects in memory, every transaction durable before anybody sees it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from msgspec.structs import replace

from shoal.aio.broadcast import Broadcast, Subscription
from shoal.aio.clock import Clock
from shoal.aio.tasks import carry_through
from shoal.errors import Damaged, InvalidArgument
from shoal.objects.base import decode, encode, timestamp
from shoal.objects.meta import Version
from shoal.store.backend import Backend, Change
from shoal.store.tables import KIND_OF, KINDS, Stored, Tables
from shoal.store.tx import Action, Event, TableView, Tx, View

T = TypeVar("T")


class Store:
    """One manager's view of the swarm's state. Use :meth:`open`; all methods belong to one event loop."""

    def __init__(self, *, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._tables = Tables()
        self._lock = asyncio.Lock()
        self._events: Broadcast[list[Event]] = Broadcast()
        self.revision = 0

    @classmethod
    async def open(cls, *, backend: Backend, clock: Clock) -> "Store":
        """A store with all that the backend holds. Raises Damaged for contents that can't be trusted; the backend is
        closed then."""
        store = cls(backend=backend, clock=clock)
        try:
            contents = await backend.load()
            for found in contents.objects:
                store._tables.put(read_object(found))
        except BaseException:
            await backend.close()
            raise
        store.revision = contents.revision
        return store

    def snapshot(self) -> tuple[int, list[Stored]]:
        """The revision, and every object as it is at that one."""
        return self.revision, [obj for table in self._tables.by_id.values() for obj in table.values()]

    @property
    def view(self) -> View:
        """What is committed. It is live: read it between awaits, and keep the objects rather than the view."""
        return TableView(self._tables)

    async def update(self, change: Callable[[Tx], T]) -> T:
        """Run ``change`` over a transaction and commit it; what it raises, or a failed commit, changes nothing.

        ``change`` is synchronous and is called exactly once, with no other transaction under way.
        """
        async with self._lock:
            tx = Tx(self._tables)
            result = change(tx)
            if tx.changed:
                # Cut off in the middle, memory would disagree with what is on disk.
                await carry_through(self._commit(tx), name="store commit")
            return result

    async def _commit(self, tx: Tx) -> None:
        revision = self.revision + 1
        now = timestamp(self._clock.now())
        changes: list[Change] = []
        events: list[Event] = []
        for (kind, key), obj in tx.changed.items():
            old = self._tables.by_id[kind].get(key)
            if obj is None:
                if old is not None:
                    changes.append(Change(KIND_OF[kind], key, None))
                    events.append(Event(Action.DELETE, old, old))
                continue
            stamped = _stamped(obj, Version(index=revision), old.created_at if old else now, now)
            changes.append(Change(KIND_OF[kind], key, encode(stamped)))
            events.append(Event(Action.UPDATE if old else Action.CREATE, stamped, old))
        if not changes:
            return
        await self._backend.commit(revision, changes)
        self.revision = revision
        for event in events:
            if event.action is Action.DELETE:
                self._tables.remove(type(event.obj), event.obj.id)
            else:
                self._tables.put(event.obj)
        self._events.send(events)

    @contextmanager
    def watch(self) -> Iterator[Subscription[list[Event]]]:
        """Every transaction from now on, as one batch of events each; nothing lies between the view and the watch."""
        with self._events.subscribe() as subscription:
            yield subscription

    async def close(self) -> None:
        """End all watches and let go of the backend, after the transaction that may be under way."""
        async with self._lock:
            self._events.close()
            await self._backend.close()


def read_object(found: Change) -> Stored:
    """An object as a backend holds it. Raises Damaged for one that is none."""
    if (kind := KINDS.get(found.kind)) is None or found.value is None:
        raise Damaged(f"the swarm's state holds a {found.kind!r}, which this Shoal does not know")
    try:
        return decode(found.value, kind)
    except InvalidArgument as error:
        raise Damaged(f"the swarm's state holds a {found.kind} {found.key} that cannot be read: {error}") from error


def _stamped(obj: Any, version: Version, created: str, updated: str) -> Stored:
    stamped: Stored = replace(obj, version=version, created_at=created, updated_at=updated)
    return stamped
