"""Time as a parameter: loops and supervisors take a :class:`Clock`, so that tests can turn it."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from some fixed point; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SteadyClock:
    """For those who write moments down and measure from them later: its wall clock never goes back.

    When the machine's is set back, this one goes on by the monotonic clock until the machine's has caught up; when that
    jumps ahead, so does this one. :meth:`advance_to` carries it on from moments that were written down before.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.now()
        self._at = clock.monotonic()

    def now(self) -> datetime:
        """The wall clock, or as much after the last answer as has passed since then, whichever is later."""
        at = self._clock.monotonic()
        self._last = max(self._clock.now(), self._last + timedelta(seconds=at - self._at))
        self._at = at
        return self._last

    def advance_to(self, moment: datetime) -> None:
        """Never be before ``moment`` from here on."""
        self._last = max(self.now(), moment)

    def monotonic(self) -> float:
        """The other clock's."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """As the other clock."""
        await self._clock.sleep(seconds)
