"""Streams that a manager asks for over the session, on connections of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.fakes.light_engine import eventually
from tests.fakes.swarm_manager import FakeManager, FakeStream, fake_manager

from shoal.agent.streams import Stream, Streams
from shoal.errors import Unimplemented
from shoal.pki import contexts
from shoal.pki.identity import MANAGER_NAME
from shoal.wire.cluster import FAILED_CODE


class Bench:
    def __init__(self, manager: FakeManager) -> None:
        self.manager = manager
        self.streams = Streams(tls=contexts.swarm_client(manager.certificates), server_name=MANAGER_NAME)

    async def open(self, fill: Callable[[Stream], Awaitable[None]]) -> FakeStream:
        number = str(len(self.manager.streams))
        self.streams.open(self.manager.address, number, fill)
        await eventually(lambda: number in self.manager.streams)
        return self.manager.streams[number]


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    async with fake_manager(folder) as manager:
        made = Bench(manager)
        try:
            yield made
        finally:
            await made.streams.end()


def run(folder: Path, work: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        async with bench(folder) as made:
            await asyncio.wait_for(work(made), 20)  # type: ignore[arg-type]

    asyncio.run(main())


async def forever(stream: Stream) -> None:
    while True:
        await stream.send(bytes(64 * 1024))


def test_all_of_it_arrives_however_slowly_it_is_read(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        sent: list[int] = []

        async def fill(stream: Stream) -> None:
            for number in range(300):
                await stream.send(b"%d " % number + bytes(64 * 1024))
                sent.append(number)

        taken = await made.open(fill)
        taken.reads.clear()
        await eventually(lambda: bool(sent))
        await asyncio.sleep(0.2)
        # What lies between them is what TCP and both ends keep, and no more.
        assert len(sent) < 300
        taken.reads.set()
        await eventually(lambda: taken.code is not None, 15)
        assert taken.code == 1000
        assert [int(message.split()[0]) for message in taken.got] == list(range(300))

    run(tmp_path, work)


def test_the_reason_why_there_is_no_more(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        async def fill(stream: Stream) -> None:
            await stream.send(b"one")
            raise Unimplemented("ö" * 100)

        taken = await made.open(fill)
        await eventually(lambda: taken.code is not None)
        assert (taken.got, taken.code, taken.reason) == ([b"one"], FAILED_CODE, "ö" * 60)

    run(tmp_path, work)


def test_the_manager_ends_one_and_others_go_on(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        ended: list[int] = []

        def fill_of(number: int) -> Callable[[Stream], Awaitable[None]]:
            async def fill(stream: Stream) -> None:
                try:
                    await stream.send(b"begun")
                    await asyncio.Event().wait()
                finally:
                    ended.append(number)

            return fill

        first, second = await made.open(fill_of(1)), await made.open(fill_of(2))
        await eventually(lambda: bool(first.got and second.got))
        await first.socket.close()
        await eventually(lambda: ended == [1])
        await made.streams.end()
        assert ended == [1, 2]

    run(tmp_path, work)


async def idle(stream: Stream) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("fill", [forever, idle])
def test_the_end_of_the_session_ends_those_that_nobody_reads(
    tmp_path: Path, fill: Callable[[Stream], Awaitable[None]]
) -> None:
    async def work(made: Bench) -> None:
        taken = await made.open(fill)
        taken.reads.clear()
        await asyncio.sleep(0.1)
        await asyncio.wait_for(made.streams.end(), 5)
        assert made.streams._open == set()
        taken.reads.set()

    run(tmp_path, work)


def test_a_manager_that_is_not_there(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        made.streams.open("127.0.0.1:1", "x", forever)
        await eventually(lambda: not made.streams._open)

    run(tmp_path, work)
