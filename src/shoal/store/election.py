"""Who runs the loops: one manager at a time, by an election that each backend has its own way of holding.

A leadership comes with a :class:`~shoal.store.backend.Fence`. Loops are handed ``store.fenced(leadership.fence)``, so
that whatever one commits who leads no more, and does not know it yet, is refused.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from shoal.store.backend import Fence


class Leadership:
    """One manager's time as leader; what holds the election calls :meth:`end`."""

    def __init__(self, fence: Fence | None) -> None:
        self.fence = fence
        self._over = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether it was lost or given up."""
        return self._over.is_set()

    def end(self) -> None:
        """It is lost, or given up."""
        self._over.set()

    async def over(self) -> None:
        """Return once it is over: the loops have to be stopped then."""
        await self._over.wait()


class Election(Protocol):
    """How one candidate comes to lead."""

    def lead(self) -> AbstractAsyncContextManager[Leadership]:
        """Waits, on entering, until this candidate leads, however long that takes; gives leadership up on leaving."""
        ...


class Unopposed:
    """The election of a manager that is alone with its backend: it leads at once, and for good."""

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[Leadership, None]:
        leadership = Leadership(None)
        try:
            yield leadership
        finally:
            leadership.end()
