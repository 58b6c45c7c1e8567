"""Operations whose messages are their answer."""

import asyncio

import pytest

from shoal.api.backends_containers import Report
from shoal.api.progress import messages
from shoal.container.image.progress import line
from shoal.errors import NotFound


def test_messages_come_as_they_are_reported_and_then_the_error() -> None:
    async def scenario() -> None:
        going_on = asyncio.Event()

        async def work(report: Report) -> None:
            report(line("one"))
            await going_on.wait()
            report(line("two"))
            raise NotFound("gone")

        told = messages(work, name="work")
        assert await anext(told) == line("one")
        going_on.set()
        assert await anext(told) == line("two")
        with pytest.raises(NotFound, match="gone"):
            await anext(told)

    asyncio.run(scenario())


def test_leaving_ends_the_work() -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def work(report: Report) -> None:
            report(line("one"))
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        told = messages(work, name="work")
        await anext(told)
        await told.aclose()
        assert ended.is_set()

    asyncio.run(scenario())
