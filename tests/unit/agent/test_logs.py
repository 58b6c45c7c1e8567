"""A task's log as messages: in pieces of a bounded size, at once when a line comes, with word of pauses."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest
from tests.fakes.light_engine import eventually

from shoal.agent.logs import send_log
from shoal.agent.streams import Stream
from shoal.aio.clock import SystemClock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import NotFound, Unimplemented
from shoal.objects.results import LogLine, LogQuery
from shoal.wire.cluster import ReadLog
from shoal.wire.logs import Line, LogLines, unpack_lines

ASKED = ReadLog(stream_id="s", task_id="t1", query=LogQuery(tail=3))


class FakeStream:
    def __init__(self) -> None:
        self.got: list[LogLines] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message: bytes) -> None:
        await self.reads.wait()
        assert len(message) < 200 * 1024
        self.got.append(unpack_lines(message))

    @property
    def times(self) -> list[int]:
        return [line.time for message in self.got for line in message.lines]


async def send(stream: FakeStream, lines: AsyncIterator[LogLine]) -> None:
    async def read(task_id: str, query: LogQuery) -> AsyncIterator[LogLine]:
        if task_id != "t1":
            raise NotFound("another's")
        assert query == ASKED.query
        return lines

    await send_log(ASKED, cast(Stream, stream), read=read, clock=SystemClock())


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 20))  # type: ignore[arg-type]


def test_all_lines_in_bounded_messages() -> None:
    async def lines() -> AsyncIterator[LogLine]:
        for number in range(500):
            yield Line("stdout" if number % 2 else "stderr", number, b"x" * (number % 7) * 8000)

    async def work() -> None:
        stream = FakeStream()
        await send(stream, lines())
        assert stream.got[0].lines == [] and stream.got[0].now > 0
        assert stream.times == list(range(500))
        assert {line.stream for message in stream.got for line in message.lines} == {"stdout", "stderr"}
        assert len(stream.got) < 200

    run(work)


def test_a_line_goes_out_when_it_comes_and_a_pause_is_told() -> None:
    async def work() -> None:
        stream, more = FakeStream(), asyncio.Event()

        async def lines() -> AsyncIterator[LogLine]:
            yield Line("stdout", 1, b"one")
            await more.wait()
            yield Line("stdout", 2, b"two")
            await asyncio.Event().wait()

        sending = spawn(send(stream, lines()), name="send")
        await eventually(lambda: len(stream.got) == 3)
        assert [len(message.lines) for message in stream.got] == [0, 1, 0]
        more.set()
        await eventually(lambda: stream.times == [1, 2])
        await cancel(sending)

    run(work)


def test_no_more_is_read_than_is_sent() -> None:
    async def work() -> None:
        stream, read = FakeStream(), 0

        async def lines() -> AsyncIterator[LogLine]:
            nonlocal read
            while True:
                read += 1
                yield Line("stdout", read, b"x")

        sending = spawn(send(stream, lines()), name="send")
        await eventually(lambda: len(stream.got) > 2)
        stream.reads.clear()
        await asyncio.sleep(0.02)
        before = read
        await asyncio.sleep(0.02)
        assert read == before
        await cancel(sending)

    run(work)


def test_a_task_that_is_not_here_has_nothing() -> None:
    async def work() -> None:
        stream = FakeStream()

        async def read(task_id: str, query: LogQuery) -> AsyncIterator[LogLine]:
            raise NotFound("not of this node")

        await send_log(ASKED, cast(Stream, stream), read=read, clock=SystemClock())
        assert [message.lines for message in stream.got] == [[]]

    run(work)


def test_what_goes_wrong_is_raised_after_the_lines() -> None:
    async def work() -> None:
        stream = FakeStream()

        async def lines() -> AsyncIterator[LogLine]:
            yield Line("stdout", 1, b"one")
            raise Unimplemented("no more")

        with pytest.raises(Unimplemented, match="no more"):
            await send(stream, lines())
        assert stream.times == [1]

    run(work)
