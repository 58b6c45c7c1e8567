"""Stations stepped by hand over a real store in memory: quick enough for thousands of random histories."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import TypeVar

from tests.fakes.clock import FakeClock

from shoal.manager.loop import Station
from shoal.store.backend import Transaction
from shoal.store.backends.memory import MemoryBackend
from shoal.store.store import Store
from shoal.store.tx import Event, Tx, View

T = TypeVar("T")


class _Alone(MemoryBackend):
    """Nobody shares it, so the store has no task that would outlive the test."""

    async def follow(self, revision: int) -> AsyncGenerator[Transaction, None]:
        nothing: tuple[Transaction, ...] = ()
        for transaction in nothing:
            yield transaction


async def _open(clock: FakeClock) -> Store:
    store = await Store.open(backend=_Alone(), clock=clock)
    await asyncio.sleep(0)
    return store


class Stepped:
    """A store whose stations act only in :meth:`settle`, in the order given, until none has anything to do."""

    def __init__(self, make: Callable[[View], Sequence[Station]]) -> None:
        self._loop = asyncio.new_event_loop()
        weakref.finalize(self, self._loop.close)
        self.clock = FakeClock()
        self.store = self._loop.run_until_complete(_open(self.clock))
        self._make = make
        self._watching = ExitStack()
        self._events = self._watching.enter_context(self.store.watch())
        self._wakes: dict[int, datetime] = {}
        self.check: Callable[[Event], None] = lambda event: None
        self.restart()

    @property
    def view(self) -> View:
        return self.store.view

    def restart(self) -> None:
        """All stations begin anew from the store, as after a restart of the daemon."""
        self._take()
        self.stations = self._make(self.store.view)
        for station in self.stations:
            station.reset()
        self._due = set(range(len(self.stations)))

    def update(self, change: Callable[[Tx], T]) -> T:
        """One transaction of somebody else's."""
        result = self._loop.run_until_complete(self.store.update(change))
        self._note()
        return result

    def settle(self) -> None:
        """Let the stations act."""
        for _ in range(1000):
            now = self.clock.now()
            self._due |= {number for number, moment in self._wakes.items() if moment <= now}
            if not self._due:
                return
            number = min(self._due)
            self._due.discard(number)
            self._wakes.pop(number, None)
            station = self.stations[number]
            wake = self._loop.run_until_complete(self.store.update(lambda tx, s=station, n=now: s.step(tx, n)))  # type: ignore[misc]
            if wake is not None:
                self._wakes[number] = wake
            self._note()
        raise AssertionError("the stations never come to rest")

    def pass_time(self, seconds: float) -> None:
        """Turn the clock; nobody sleeps by it here."""
        self._loop.run_until_complete(self.clock.advance(seconds))

    def _take(self) -> list[Event]:
        if not self._events._items:
            return []
        batches = self._loop.run_until_complete(self._events.drain())
        return [event for batch in batches for event in batch]

    def _note(self) -> None:
        for event in self._take():
            self.check(event)
            for number, station in enumerate(self.stations):
                if station.note(event):
                    self._due.add(number)
