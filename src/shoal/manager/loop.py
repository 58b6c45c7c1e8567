"""The shell around a loop's pure step: watch, collect, decide and commit in one transaction, sleep until the next."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from shoal.aio.broadcast import Lagged, Subscription
from shoal.aio.clock import Clock
from shoal.aio.tasks import spawn
from shoal.errors import ShoalError
from shoal.store.store import Store
from shoal.store.tx import Event, Tx

_log = logging.getLogger(__name__)
_PAUSE = 1.0


class Station(Protocol):
    """One loop's own part; all of it is synchronous."""

    def reset(self) -> None:
        """Consider everything in the store as changed: at the start, and when events were missed."""
        ...

    def note(self, event: Event) -> bool:
        """Take down what an event means for the next step; say whether there is anything to do."""
        ...

    def step(self, tx: Tx, now: datetime) -> datetime | None:
        """Do what is due in this transaction; return when to be called again without any event."""
        ...


async def run(station: Station, store: Store, clock: Clock, *, name: str) -> None:
    """Run a station until it is cancelled or the store is closed.

    A step that raises is logged and tried again after a pause, from scratch.
    """
    told = ""
    while True:
        with store.watch() as events:
            # What is noted below happened after this reset: an older event would undo what the reset has taken down.
            station.reset()
            try:
                return await _go_on(station, store, clock, events)
            except Lagged:
                continue
            except ShoalError as error:
                if str(error) != told:
                    _log.error("%s: the step failed and will be tried again: %s", name, error)
                told = str(error)
            except Exception:  # noqa: BLE001 (a loop outlives its failures; each is logged in full)
                _log.exception("%s: the step failed and will be tried again", name)
        await clock.sleep(_PAUSE)


async def _go_on(station: Station, store: Store, clock: Clock, events: Subscription[list[Event]]) -> None:
    due = True
    wake: datetime | None = None
    while True:
        if due:
            wake = await store.update(_Step(station, clock, events))
        batches = await _next(events, clock, wake)
        if batches is not None and not batches:
            return
        # Every event has to be noted, so no short-circuit.
        due = any([station.note(event) for event in _flat(batches or [])])
        due = due or (wake is not None and clock.now() >= wake)


class _Step:
    """A station's step as the store calls it: more than once, where another manager's transaction came in between.

    What a station had taken down went into the step that was in vain, so it considers everything as changed then, as
    it is after that other transaction, whose events say nothing new.
    """

    def __init__(self, station: Station, clock: Clock, events: Subscription[list[Event]]) -> None:
        self._station = station
        self._clock = clock
        self._events = events
        self._begun = False

    def __call__(self, tx: Tx) -> datetime | None:
        if self._begun:
            self._events.skip()
            self._station.reset()
        self._begun = True
        return self._station.step(tx, self._clock.now())


async def _next(events: Subscription[list[Event]], clock: Clock, wake: datetime | None) -> list[list[Event]] | None:
    """Wait for events; ``None`` when the time has come first, an empty list at the watch's end. Raises Lagged."""
    if wake is None:
        return await events.drain()
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as deadline:
            seconds = max((wake - clock.now()).total_seconds(), 0)
            alarm = spawn(_expire(deadline, clock, seconds), name="alarm of a loop")
            try:
                return await events.drain()
            finally:
                alarm.cancel()
    return None


async def _expire(deadline: asyncio.Timeout, clock: Clock, seconds: float) -> None:
    await clock.sleep(seconds)
    deadline.reschedule(asyncio.get_running_loop().time())


def _flat(batches: Iterable[list[Event]]) -> Iterable[Event]:
    return (event for batch in batches for event in batch)
