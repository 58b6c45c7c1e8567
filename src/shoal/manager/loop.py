"""The shell around a loop's pure step: watch, collect, decide and commit in one transaction, sleep until the next."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from shoal.aio.broadcast import Lagged, Subscription
from shoal.aio.clock import Clock
from shoal.store.store import Store
from shoal.store.tx import Event, Tx

_log = logging.getLogger(__name__)


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
    """Run a station until it is cancelled. A step that raises is logged and tried again after a pause, from scratch."""
    with store.watch() as events:
        station.reset()
        due = True
        wake: datetime | None = None
        while True:
            if due:
                try:
                    wake = await store.update(lambda tx: station.step(tx, clock.now()))
                except Exception:  # noqa: BLE001 (a loop outlives its failures; each is logged in full)
                    _log.exception("%s: the step failed and will be tried again", name)
                    await clock.sleep(1.0)
                    station.reset()
                    continue
            due = await _next(station, events, clock, wake)


async def _next(station: Station, events: Subscription[list[Event]], clock: Clock, wake: datetime | None) -> bool:
    """Wait for events or the time; say whether a step is due."""
    timeout = None if wake is None else max((wake - clock.now()).total_seconds(), 0)
    try:
        batches: list[list[Event]] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                batches = await events.drain()
    except Lagged:
        station.reset()
        return True
    if not batches:
        return True
    # Every event has to be noted, so no short-circuit.
    return any([station.note(event) for event in _flat(batches)])


def _flat(batches: Iterable[list[Event]]) -> Iterable[Event]:
    return (event for batch in batches for event in batch)
