"""One sender, any number of listeners, none of which can hold up the sender or another listener."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")


class Lagged(Exception):
    """The listener fell so far behind that items were dropped; it has to start afresh."""


class Subscription(Generic[T]):
    """One listener's queue; iterate over it, or take everything that has come so far with :meth:`drain`."""

    def __init__(self, limit: int) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._wake = asyncio.Event()
        self._lagged = False
        self._closed = False

    def put(self, item: T) -> None:
        """Add an item; beyond the limit the queue is emptied and marked as lagged."""
        if len(self._items) >= self._limit:
            self._items.clear()
            self._lagged = True
        self._items.append(item)
        self._wake.set()

    def lag(self) -> None:
        """Drop what is in the queue, and have the listener start afresh."""
        self._items.clear()
        self._lagged = True
        self._wake.set()

    def skip(self) -> None:
        """Drop what is in the queue: the listener has started afresh by itself."""
        self._items.clear()
        self._lagged = False

    def close(self) -> None:
        """End the iteration once the queue is empty."""
        self._closed = True
        self._wake.set()

    async def drain(self) -> list[T]:
        """Wait for at least one item and return all there are; an empty list means closed. Raises :class:`Lagged`."""
        while not self._items and not self._closed and not self._lagged:
            self._wake.clear()
            await self._wake.wait()
        if self._lagged:
            self._lagged = False
            self._items.clear()
            raise Lagged
        items = list(self._items)
        self._items.clear()
        return items

    async def __aiter__(self) -> AsyncIterator[T]:
        while items := await self.drain():
            for item in items:
                yield item


class Broadcast(Generic[T]):
    """Sends each item to every current subscription."""

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._subscriptions: set[Subscription[T]] = set()

    def send(self, item: T) -> None:
        """Hand ``item`` to every listener, now and without waiting."""
        for subscription in self._subscriptions:
            subscription.put(item)

    def lag(self) -> None:
        """Have every listener start afresh: what came between cannot be told item by item."""
        for subscription in self._subscriptions:
            subscription.lag()

    @contextmanager
    def subscribe(self) -> Iterator[Subscription[T]]:
        """A subscription that sees every item sent while the block runs."""
        subscription: Subscription[T] = Subscription(self._limit)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def close(self) -> None:
        """End every listener's iteration."""
        for subscription in self._subscriptions:
            subscription.close()

    @property
    def listeners(self) -> int:
        """How many listen at the moment."""
        return len(self._subscriptions)
