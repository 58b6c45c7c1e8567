"""The store: all of the swarm's objects in memory, every transaction durable before anybody sees it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from copy import copy
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from msgspec.structs import replace

from shoal.aio.broadcast import Broadcast, Lagged, Subscription
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, carry_through, spawn
from shoal.errors import Damaged, InvalidArgument, ShoalError, Unavailable, Uncertain
from shoal.objects.base import decode, encode, timestamp
from shoal.objects.meta import Version
from shoal.store.backend import Backend, Behind, Change, Contents, Fence, Transaction
from shoal.store.tables import KIND_OF, KINDS, Stored, Tables
from shoal.store.tx import Action, Event, TableView, Tx, View

T = TypeVar("T")
_log = logging.getLogger(__name__)

CATCH_UP_SECONDS = 5.0
# Between two attempts to load what can't be followed.
_PAUSE = 1.0
# Objects read without letting anything else have its turn: some 5 ms.
_AT_ONCE = 200
# Lost attempts after which a transaction asks for a turn of its own.
_BEATEN = 3
_IN_DOUBT = "the connection to the swarm's state was lost; whether this was done cannot be said: look before retrying"


class Store:
    """One manager's view of the swarm's state. Use :meth:`open`; all methods belong to one event loop.

    Other managers' stores may share the backend. Their transactions are taken in as they come, as this one's own are;
    ``patience`` seconds is how long a transaction waits to hear of those that came before it.
    """

    def __init__(self, *, backend: Backend, clock: Clock, patience: float = CATCH_UP_SECONDS) -> None:
        self._clock = clock
        self._patience = patience
        self._tables = Tables()
        self._lock = asyncio.Lock()
        self._events: Broadcast[list[Event]] = Broadcast()
        self._fence: Fence | None = None
        # Changes of what is below are seen by the fenced views as well, so they are changes in place.
        self._position = _Position(backend)

    @classmethod
    async def open(cls, *, backend: Backend, clock: Clock, patience: float = CATCH_UP_SECONDS) -> "Store":
        """A store with all that the backend holds. Raises Damaged for contents that can't be trusted; the backend is
        closed then."""
        store = cls(backend=backend, clock=clock, patience=patience)
        try:
            contents = await backend.load()
            store._tables.become(await _tables_of(contents))
        except BaseException:
            await backend.close()
            raise
        store._position.revision = contents.revision
        store._position.follower = spawn(store._follow(), name="follow the store")
        return store

    @property
    def revision(self) -> int:
        """That of the last transaction in the view."""
        return self._position.revision

    @property
    def trouble(self) -> str:
        """Why nothing can be changed for now, as far as was noticed."""
        return self._position.trouble or self._position.backend.trouble

    def fenced(self, fence: Fence | None) -> "Store":
        """This store for whom a leadership was given to: each commit says so, and raises Deposed, changing nothing,
        once that is over. ``None`` is a leadership that cannot be lost."""
        view = copy(self)
        view._fence = fence  # noqa: SLF001 (a Store's own)
        return view

    async def move(self, backend: Backend, *, settle: Callable[[], Awaitable[None]]) -> None:
        """Go on in another place, which is empty; views and watches notice nothing, and transactions wait meanwhile.

        ``settle`` is awaited between: before it everything is in the old place, after it in the new one. What it or the
        new place raises changes nothing, and the new backend stays the caller's.
        """
        position = self._position
        async with self._lock:
            revision, objects = self.snapshot()
            changes: list[Change] = []
            for obj in objects:
                changes.append(Change(KIND_OF[type(obj)], str(obj.id), encode(obj)))
                if len(changes) % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            await backend.seed(Contents(revision, changes))
            await settle()
            await cancel(position.follower)
            old, position.backend = position.backend, backend
            position.follower = spawn(self._follow(), name="follow the store")
        await old.close()

    def snapshot(self) -> tuple[int, list[Stored]]:
        """The revision, and every object as it is at that one."""
        return self.revision, [obj for table in self._tables.by_id.values() for obj in table.values()]

    @property
    def view(self) -> View:
        """What is committed. It is live: read it between awaits, and keep the objects rather than the view."""
        return TableView(self._tables)

    async def update(self, change: Callable[[Tx], T]) -> T:
        """Run ``change`` over a transaction and commit it; what it raises, or a failed commit, changes nothing.

        ``change`` is synchronous and runs with no other transaction of this store under way. Where another store was
        faster it is called again, over what is there then, until its commit is the first: it must have no effect but
        on its transaction. Raises Unavailable where the backend cannot be written, and Uncertain, of a backend that is
        reached over a network, where no answer came in time.
        """
        async with self._lock, AsyncExitStack() as held:
            for attempt in count(1):
                tx = Tx(self._tables)
                result = change(tx)
                # Nothing is awaited since the closure began: what comes in from here on is not what it has seen.
                own = self._position.own = self._prepared(tx)
                # Cut off in the middle, memory would disagree with what is on disk.
                if not own.events or await carry_through(self._commit(own), name="store commit"):
                    return result
                if attempt == _BEATEN:
                    # A slow closure would never be first among quick ones.
                    await held.enter_async_context(self._position.backend.turn())
            raise AssertionError("unreachable")

    async def _commit(self, own: "_Own") -> bool:
        """Commit a transaction and take it in; False where another store's came first, which is taken in then."""
        try:
            await self._position.backend.commit(own.transaction, self._fence)
        except Behind as behind:
            await self._catch_up(max(behind.revision, own.transaction.revision), doubt=behind.doubt)
            if behind.doubt and own.kept is None:
                raise Uncertain(_IN_DOUBT) from behind
            return own.kept is True
        finally:
            self._position.own = None
        self._take(own.transaction.revision, own.events)
        return True

    def _prepared(self, tx: Tx) -> "_Own":
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
        return _Own(Transaction(revision, uuid4().hex, changes), events)

    def _take(self, revision: int, events: list[Event]) -> None:
        """Let everybody see a transaction; one that was taken in already, by another way, is left alone."""
        if revision <= self.revision:
            return
        for event in events:
            if event.action is Action.DELETE:
                self._tables.remove(type(event.obj), event.obj.id)
            else:
                self._tables.put(event.obj)
        self._position.move_to(revision)
        self._events.send(events)

    async def _catch_up(self, revision: int, *, doubt: bool) -> None:
        """Wait until everything up to that revision is taken in."""
        position = self._position
        try:
            async with asyncio.timeout(self._patience):
                while position.revision < revision:
                    position.moved.clear()
                    await position.moved.wait()
        except TimeoutError:
            if doubt:
                raise Uncertain(_IN_DOUBT) from None
            why = f": {position.trouble}" if position.trouble else ""
            raise Unavailable(
                f"nothing was changed: this manager does not hear of the other managers' changes{why}"
            ) from None

    async def _follow(self) -> None:
        """Take in what other stores commit, until cancelled or there can be none."""
        position = self._position
        lagged = False
        while True:
            try:
                if lagged:
                    await self._reload()
                    lagged, position.trouble = False, ""
                async with aclosing(self._position.backend.follow(self.revision)) as transactions:
                    async for transaction in transactions:
                        await self._hear(transaction)
                return
            except Lagged:
                lagged = True
                continue
            except ShoalError as error:
                if str(error) != position.trouble:
                    _log.error("the other managers' changes cannot be taken in, which is tried again: %s", error)
                position.trouble = str(error)
            # What could not be read may be readable as a whole.
            lagged = True
            await self._clock.sleep(_PAUSE)

    async def _hear(self, transaction: Transaction) -> None:
        if transaction.revision <= self.revision:
            return
        own = self._position.own
        if own is not None and own.transaction.id == transaction.id:
            own.kept = True
            self._take(transaction.revision, own.events)
            return
        objects: list[Stored | None] = []
        for change in transaction.changes:
            objects.append(None if change.value is None else read_object(change))
            if len(objects) % _AT_ONCE == 0:
                await asyncio.sleep(0)
        if (own := self._position.own) is not None and own.transaction.revision == transaction.revision:
            own.kept = False
        events: list[Event] = []
        for change, obj in zip(transaction.changes, objects, strict=True):
            old = self._tables.by_id[KINDS[change.kind]].get(change.key) if change.kind in KINDS else None
            if obj is not None:
                events.append(Event(Action.UPDATE if old else Action.CREATE, obj, old))
            elif old is not None:
                events.append(Event(Action.DELETE, old, old))
        self._take(transaction.revision, events)

    async def _reload(self) -> None:
        """Read everything anew, in the place of the transactions that were missed; watchers have to start afresh."""
        while True:
            before = self.revision
            contents = await self._position.backend.load()
            tables = await _tables_of(contents)
            if self.revision == before:
                break
        self._tables.become(tables)
        self._position.move_to(contents.revision)
        self._events.lag()

    @contextmanager
    def watch(self) -> Iterator[Subscription[list[Event]]]:
        """Every transaction from now on, as one batch of events each; nothing lies between the view and the watch."""
        with self._events.subscribe() as subscription:
            yield subscription

    async def close(self) -> None:
        """End all watches and let go of the backend, after the transaction that may be under way."""
        async with self._lock:
            await cancel(self._position.follower)
            self._events.close()
            await self._position.backend.close()


class _Own:
    """A transaction of ours that is being committed; ``kept``: whether it was the one to get its revision, if known."""

    def __init__(self, transaction: Transaction, events: list[Event]) -> None:
        self.transaction = transaction
        self.events = events
        self.kept: bool | None = None


class _Position:
    """Where a store is, and how far it has come; ``trouble`` is why it does not come further."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.follower: asyncio.Task[None] | None = None
        self.revision = 0
        self.moved = asyncio.Event()
        self.own: _Own | None = None
        self.trouble = ""

    def move_to(self, revision: int) -> None:
        self.revision = revision
        self.moved.set()


async def _tables_of(contents: Contents) -> Tables:
    tables = Tables()
    for number, found in enumerate(contents.objects):
        tables.put(read_object(found))
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return tables


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
