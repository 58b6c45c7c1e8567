"""Transactions of the store itself; what every backend has to hold is in tests/conformance."""

import asyncio

import pytest

from shoal.aio.clock import SystemClock
from shoal.errors import Unavailable
from shoal.objects.ids import ServiceId
from shoal.objects.service import Service, ServiceSpec
from shoal.store.backend import Fence, Transaction
from shoal.store.backends.memory import MemoryBackend
from shoal.store.store import Store


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
