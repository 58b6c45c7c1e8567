"""Keeps transactions in memory only: for tests, and for flows that need no machine.

Several stores may share one: it is the model of what a backend of several managers has to hold.
"""

from collections import deque
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, nullcontext

from shoal.aio.broadcast import Broadcast, Lagged
from shoal.errors import Conflict
from shoal.store.backend import Behind, Change, Contents, Deposed, Fence, Transaction

# Transactions that a store which comes late can still be told one by one.
_REMEMBERED = 1000


class MemoryBackend:
    """A backend whose contents end with the process."""

    trouble = ""

    def __init__(self) -> None:
        self._revision = 0
        self._objects: dict[tuple[str, str], bytes] = {}
        self._recent: deque[Transaction] = deque(maxlen=_REMEMBERED)
        self._news: Broadcast[Transaction] = Broadcast()
        # The leadership that holds at the moment.
        self.leader: Fence | None = None

    async def load(self) -> Contents:
        return Contents(self._revision, [Change(kind, key, value) for (kind, key), value in self._objects.items()])

    async def seed(self, contents: Contents) -> None:
        if self._revision:
            raise Conflict("there is a swarm's state here already")
        self._revision = contents.revision
        self._objects = {(change.kind, change.key): change.value or b"" for change in contents.objects}

    async def commit(self, transaction: Transaction, fence: Fence | None = None) -> None:
        if transaction.revision != self._revision + 1:
            raise Behind(self._revision)
        if fence is not None and fence != self.leader:
            raise Deposed("another manager leads the swarm now")
        for change in transaction.changes:
            if change.value is None:
                self._objects.pop((change.kind, change.key), None)
            else:
                self._objects[change.kind, change.key] = change.value
        self._revision = transaction.revision
        self._recent.append(transaction)
        self._news.send(transaction)

    async def follow(self, revision: int) -> AsyncGenerator[Transaction, None]:
        with self._news.subscribe() as news:
            if revision + len(self._recent) < self._revision:
                raise Lagged
            for transaction in [t for t in self._recent if t.revision > revision]:
                yield transaction
            async for transaction in news:
                yield transaction

    def turn(self) -> AbstractAsyncContextManager[None]:
        """A commit takes no time here, so nobody is beaten for long."""
        return nullcontext()

    def compact(self) -> None:
        """Forget all single transactions: who has not heard of them has to load."""
        self._recent.clear()

    async def close(self) -> None:
        pass
