"""Work that is carried through: whoever is to hear of its failure hears of it, once."""

import asyncio

import pytest

from shoal.aio.tasks import carry_through
from shoal.errors import Unavailable


async def refused() -> None:
    await asyncio.sleep(0)
    raise Unavailable("the disk is full")


def test_what_the_caller_gets_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        with pytest.raises(Unavailable, match="the disk is full"):
            await carry_through(refused(), name="work")

    asyncio.run(main())
    assert caplog.records == []


def test_what_a_cancelled_caller_does_not_get_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        caller = asyncio.get_running_loop().create_task(carry_through(refused(), name="work"))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == ["task work died"]
