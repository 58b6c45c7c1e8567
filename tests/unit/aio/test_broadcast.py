"""What a listener is told when items are missing."""

import asyncio

import pytest

from shoal.aio.broadcast import Broadcast, Lagged


def test_a_listener_that_was_made_to_lag_is_told_once_and_hears_what_comes_after() -> None:
    async def flow() -> None:
        broadcast: Broadcast[int] = Broadcast()
        with broadcast.subscribe() as listener:
            broadcast.send(1)
            broadcast.lag()
            with pytest.raises(Lagged):
                await listener.drain()
            broadcast.send(2)
            assert await listener.drain() == [2]

    asyncio.run(flow())


def test_one_that_has_started_afresh_by_itself_skips_what_came_before() -> None:
    async def flow() -> None:
        broadcast: Broadcast[int] = Broadcast(limit=2)
        with broadcast.subscribe() as listener:
            for item in range(4):
                broadcast.send(item)
            listener.skip()
            broadcast.send(5)
            assert await listener.drain() == [5]

    asyncio.run(flow())
