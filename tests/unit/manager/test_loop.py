"""The shell around a station, with a fake clock: events, wake-ups, failures."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.fakes.clock import FakeClock

from shoal.aio.tasks import cancel, spawn
from shoal.manager import loop
from shoal.objects.base import encode
from shoal.objects.ids import TaskId
from shoal.objects.meta import Version
from shoal.objects.task import Task
from shoal.store.backend import Change, Fence, Transaction
from shoal.store.backends.memory import MemoryBackend
from shoal.store.store import Store
from shoal.store.tx import Event, Tx


class Recorder:
    """A station that takes down what it is called for."""

    def __init__(self, step: Callable[[Tx, datetime], datetime | None] | None = None) -> None:
        self.log: list[str] = []
        self.wanted = True
        self._step = step

    def reset(self) -> None:
        self.log.append("reset")

    def note(self, event: Event) -> bool:
        self.log.append(f"note {event.obj.id}")
        return self.wanted

    def step(self, tx: Tx, now: datetime) -> datetime | None:
        self.log.append("step")
        return self._step(tx, now) if self._step else None


def flow(body: Callable[[Store, FakeClock], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        clock = FakeClock()
        store = await Store.open(backend=MemoryBackend(), clock=clock)
        await body(store, clock)

    asyncio.run(asyncio.wait_for(all_of_it(), 30))


async def put(store: Store, key: str) -> None:
    await store.update(lambda tx: tx.create(Task(id=TaskId(key))))


def test_it_steps_at_the_start_and_when_an_event_asks_for_it() -> None:
    async def body(store: Store, clock: FakeClock) -> None:
        station = Recorder()
        task = spawn(loop.run(station, store, clock, name="x"), name="x")
        await clock.settle()
        assert station.log == ["reset", "step"]
        await put(store, "a")
        await clock.settle()
        assert station.log[2:] == ["note a", "step"]
        station.wanted = False
        await put(store, "b")
        await clock.settle()
        assert station.log[4:] == ["note b"]
        await clock.advance(3600)
        assert station.log[5:] == []
        await cancel(task)

    flow(body)


def test_it_wakes_by_the_clock_it_was_given() -> None:
    async def body(store: Store, clock: FakeClock) -> None:
        wakes = [clock.now() + timedelta(seconds=5)]
        station = Recorder(lambda tx, now: wakes.pop() if wakes else None)
        task = spawn(loop.run(station, store, clock, name="x"), name="x")
        await clock.advance(4.9)
        # An event that means nothing does not put the time off, nor bring it forward.
        station.wanted = False
        await put(store, "a")
        await clock.settle()
        assert station.log == ["reset", "step", "note a"]
        await clock.advance(0.2)
        assert station.log[3:] == ["step"]
        await clock.advance(100)
        assert station.log[4:] == []
        await cancel(task)

    flow(body)


def test_after_a_failure_it_starts_from_scratch_and_sees_no_event_from_before(caplog: pytest.LogCaptureFixture) -> None:
    async def body(store: Store, clock: FakeClock) -> None:
        failures = [RuntimeError("once")]

        def step(tx: Tx, now: datetime) -> None:
            if failures:
                raise failures.pop()

        station = Recorder(step)
        task = spawn(loop.run(station, store, clock, name="x"), name="x")
        await clock.settle()
        await put(store, "meanwhile")
        await clock.advance(1)
        # What the reset has seen in the store must not be noted a second time.
        assert station.log == ["reset", "step", "reset", "step"]
        await put(store, "later")
        await clock.settle()
        assert station.log[4:] == ["note later", "step"]
        await cancel(task)

    with caplog.at_level(logging.CRITICAL, logger="shoal.manager.loop"):
        flow(body)


def test_it_ends_with_the_store() -> None:
    async def body(store: Store, clock: FakeClock) -> None:
        task = spawn(loop.run(Recorder(), store, clock, name="x"), name="x")
        await clock.settle()
        await store.close()
        await asyncio.wait_for(task, 1)

    flow(body)


class Overtaken(MemoryBackend):
    """Somebody else's transaction comes just before the first one."""

    async def commit(self, transaction: Transaction, fence: Fence | None = None) -> None:
        if transaction.revision == 1:
            first = Task(id=TaskId("first"), version=Version(index=1))
            await super().commit(Transaction(1, "theirs", [Change("task", "first", encode(first))]))
        await super().commit(transaction, fence)


def test_a_step_that_came_second_is_made_again_from_scratch_and_notes_nothing_twice() -> None:
    async def all_of_it() -> None:
        clock = FakeClock()
        store = await Store.open(backend=Overtaken(), clock=clock)
        seen: list[list[str]] = []

        def step(tx: Tx, now: datetime) -> None:
            seen.append([task.id for task in tx.all(Task)])
            if len(seen) <= 2:
                tx.create(Task(id=TaskId(f"made{len(seen)}")))

        station = Recorder(step)
        task = spawn(loop.run(station, store, clock, name="x"), name="x")
        await clock.settle()
        assert seen[:2] == [[], ["first"]]
        assert station.log == ["reset", "step", "reset", "step", "note made2", "step"]
        assert [found.id for found in store.view.all(Task)] == ["first", "made2"]
        await cancel(task)
        await store.close()

    asyncio.run(asyncio.wait_for(all_of_it(), 30))
