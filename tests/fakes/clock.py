"""A clock that stands still until a test turns it."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

# Enough turns of the event loop for everything that can go on without time passing: a commit takes about ten.
_TURNS = 200


class FakeClock:
    """A :class:`shoal.aio.clock.Clock`; :meth:`advance` lets time pass, wakes sleepers in order, and lets them act."""

    def __init__(self) -> None:
        self._now = 0.0
        self._start = datetime(2026, 1, 1, tzinfo=UTC)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        # No two moments are the same, as with a real clock.
        self._now += 1e-6
        return self._start + timedelta(seconds=self._now)

    def jump(self, change: timedelta) -> None:
        """Set the wall clock, as an administrator or NTP does; nothing else notices."""
        self._start += change

    async def stall(self, seconds: float) -> None:
        """Let that much time pass in which nobody could act, as when the process was stopped."""
        self._now += seconds
        await self.advance(0)

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._now + seconds, self._count, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        end = self._now + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            moment, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            self._now = max(self._now, moment)
            woken.set_result(None)
            await self.settle()
        self._now = end
        await self.settle()

    async def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(_TURNS):
            await asyncio.sleep(0)
