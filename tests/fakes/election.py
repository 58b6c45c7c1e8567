"""The election of stores that share a backend in memory: a test can depose the leader."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from shoal.aio.broadcast import Broadcast
from shoal.store.backend import Fence
from shoal.store.backends.memory import MemoryBackend
from shoal.store.election import Leadership


class MemoryElections:
    """Every candidate's; the first to come leads."""

    def __init__(self, backend: MemoryBackend) -> None:
        self._backend = backend
        self._term = 0
        self._present: Leadership | None = None
        self._vacant: Broadcast[None] = Broadcast()

    @asynccontextmanager
    async def lead(self) -> AsyncGenerator[Leadership, None]:
        with self._vacant.subscribe() as vacancies:
            while self._present is not None:
                await vacancies.drain()
        self._term += 1
        mine = self._present = Leadership(Fence("leader", self._term))
        self._backend.leader = mine.fence
        try:
            yield mine
        finally:
            if self._present is mine:
                self.depose()

    def depose(self) -> None:
        """Whoever leads does so no more."""
        if self._present is not None:
            self._present.end()
        self._present = self._backend.leader = None
        self._vacant.send(None)
