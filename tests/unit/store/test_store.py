"""Transactions of the store itself; what every backend has to hold is in tests/conformance."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import pytest
from tests.fakes.clock import FakeClock

from shoal.aio.broadcast import Lagged
from shoal.aio.clock import SystemClock
from shoal.errors import Unavailable
from shoal.objects.base import encode
from shoal.objects.ids import ServiceId
from shoal.objects.service import Service, ServiceSpec
from shoal.store.backend import Change, Fence, Transaction
from shoal.store.backends.memory import MemoryBackend
from shoal.store.store import Store
from shoal.store.tx import Tx


class FullDisk(MemoryBackend):
    """A backend that takes nothing."""

    async def commit(self, transaction: Transaction, fence: Fence | None = None) -> None:
        raise Unavailable("the disk is full")


def test_a_refused_commit_is_the_callers_to_tell(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = await Store.open(backend=FullDisk(), clock=SystemClock())
        with pytest.raises(Unavailable, match="the disk is full"):
            await store.update(lambda tx: tx.create(Service(id=ServiceId("s1"), spec=ServiceSpec(name="web"))))
        assert (store.revision, list(store.view.all(Service))) == (0, [])
        await store.close()

    asyncio.run(main())
    assert caplog.records == []


class Raced(MemoryBackend):
    """Another store's transaction is there, and heard of, the moment that :meth:`overtake` is called."""

    def __init__(self) -> None:
        super().__init__()
        self._overtaken = asyncio.Event()

    def overtake(self) -> None:
        self._revision = 1
        self._overtaken.set()

    async def follow(self, revision: int) -> AsyncGenerator[Transaction, None]:
        await self._overtaken.wait()
        theirs = Service(id=ServiceId("theirs"), spec=ServiceSpec(name="web"))
        yield Transaction(1, "theirs", [Change("service", "theirs", encode(theirs))])
        await asyncio.Event().wait()


def test_what_comes_in_between_a_closure_and_its_commit_is_not_built_on_unseen() -> None:
    async def main() -> None:
        backend = Raced()
        store = await Store.open(backend=backend, clock=SystemClock())
        await asyncio.sleep(0)
        seen: list[list[str]] = []

        def change(tx: Tx) -> None:
            seen.append([service.id for service in tx.all(Service)])
            if len(seen) == 1:
                backend.overtake()
            if tx.by_name(Service, "web") is None:
                tx.create(Service(id=ServiceId("ours"), spec=ServiceSpec(name="web")))

        await store.update(change)
        assert seen == [[], ["theirs"]]
        assert [service.id for service in store.view.all(Service)] == ["theirs"]
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 10))


class Forgetful(MemoryBackend):
    """Loads, and can't be followed from there, as often as told."""

    lapses = 2

    async def follow(self, revision: int) -> AsyncGenerator[Transaction, None]:
        if self.lapses:
            self.lapses -= 1
            raise Lagged
        async with aclosing(super().follow(revision)) as transactions:
            async for transaction in transactions:
                yield transaction


def test_a_store_that_missed_something_reads_all_anew_and_goes_on() -> None:
    async def main() -> None:
        backend = Forgetful()
        store = await Store.open(backend=backend, clock=SystemClock())
        with store.watch() as events:
            with pytest.raises(Lagged):
                await events.drain()
            await asyncio.sleep(0)
            theirs = Service(id=ServiceId("theirs"), spec=ServiceSpec(name="web"))
            await backend.commit(Transaction(1, "theirs", [Change("service", "theirs", encode(theirs))]))
            while not store.revision:
                with suppress(Lagged):
                    await events.drain()
        assert [service.id for service in store.view.all(Service)] == ["theirs"]
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 10))


def test_what_a_newer_shoal_wrote_is_said_and_the_store_recovers_with_it(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        clock, backend = FakeClock(), MemoryBackend()
        store = await Store.open(backend=backend, clock=clock, patience=0.05)
        await asyncio.sleep(0)
        await backend.commit(Transaction(1, "new", [Change("unheard-of", "x", b"{}")]))
        with pytest.raises(Unavailable, match="nothing was changed: .*'unheard-of', which this Shoal does not know"):
            await store.update(lambda tx: tx.create(Service(id=ServiceId("s"), spec=ServiceSpec(name="web"))))
        await backend.commit(Transaction(2, "new", [Change("unheard-of", "x", None)]))
        await clock.advance(2)
        await store.update(lambda tx: tx.create(Service(id=ServiceId("s"), spec=ServiceSpec(name="web"))))
        assert store.revision == 3
        await store.close()

    asyncio.run(asyncio.wait_for(main(), 10))
    assert len(caplog.records) == 1
