"""Streams that a manager has asked for: who may open them, what ends them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from tests.fakes.light_engine import eventually

from shoal.aio.tasks import cancel, spawn
from shoal.errors import FailedPrecondition, Forbidden, Unavailable
from shoal.manager.dispatcher.streams import NodeStream, Streams
from shoal.wire.cluster import FAILED_CODE, STREAM_MESSAGE_LIMIT


@dataclass
class Bench:
    streams: Streams
    client: aiohttp.ClientSession
    url: str
    asked: list[str]
    sockets: list[aiohttp.ClientWebSocketResponse] = field(default_factory=list)

    async def dial(self, node: str, stream_id: str) -> aiohttp.ClientWebSocketResponse:
        soon = aiohttp.ClientWSTimeout(ws_close=0.5)
        socket = await self.client.ws_connect(f"{self.url}/{node}/{stream_id}", compress=0, timeout=soon)
        self.sockets.append(socket)
        return socket

    async def ask(self, stream_id: str) -> None:
        """The way to a node that hears of it and has not dialled yet."""
        self.asked.append(stream_id)

    async def opened(self, node: str) -> tuple[NodeStream, aiohttp.ClientWebSocketResponse]:
        opening = spawn(self.streams.open(node, self.ask), name="open")
        await eventually(lambda: bool(self.asked))
        socket = await self.dial(node, self.asked.pop())
        return await opening, socket


@asynccontextmanager
async def bench(patience: float) -> AsyncIterator[Bench]:
    streams = Streams(patience=patience)

    async def serve(request: web.Request) -> web.StreamResponse:
        try:
            return await streams.serve(request.match_info["node"], request.match_info["id"], request)
        except Forbidden as error:
            raise web.HTTPForbidden(text=str(error)) from error

    app = web.Application()
    app.router.add_get("/{node}/{id}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as client:
            made = Bench(streams, client, f"http://{host}:{port}", [])
            yield made
            for node in ("n1", "n2"):
                streams.end(node)
            for socket in made.sockets:
                await socket.close()
    finally:
        await runner.cleanup()


def run(work: Callable[[Bench], Awaitable[None]], patience: float = 20) -> None:
    async def main() -> None:
        async with bench(patience) as made:
            await asyncio.wait_for(work(made), 30)  # type: ignore[arg-type]

    asyncio.run(main())


def test_what_a_node_sends_to_its_end() -> None:
    async def work(made: Bench) -> None:
        stream, socket = await made.opened("n1")
        for number in range(3):
            await socket.send_bytes(b"%d" % number)
        closing = spawn(socket.close(), name="close")
        assert [message async for message in stream.messages()] == [b"0", b"1", b"2"]
        await closing
        stream.close()

    run(work)


def test_only_the_node_that_was_asked_and_only_once() -> None:
    async def work(made: Bench) -> None:
        opening = spawn(made.streams.open("n1", made.ask), name="open")
        await eventually(lambda: bool(made.asked))
        for node, stream_id in (("n2", made.asked[0]), ("n1", "another")):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await made.dial(node, stream_id)
            assert caught.value.status == 403
        socket = await made.dial("n1", made.asked[0])
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await made.dial("n1", made.asked[0])
        await socket.send_bytes(b"here")
        stream = await opening
        assert await anext(stream.messages()) == b"here"
        stream.close()

    run(work)


def test_a_node_that_does_not_dial() -> None:
    async def work(made: Bench) -> None:
        with pytest.raises(Unavailable, match="node n1 is not available"):
            await made.streams.open("n1", made.ask)
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await made.dial("n1", made.asked[0])

    run(work, patience=0.05)


def test_a_session_that_breaks_while_it_is_asked() -> None:
    async def work(made: Bench) -> None:
        async def fails(stream_id: str) -> None:
            raise ConnectionResetError("gone")

        with pytest.raises(Unavailable, match="node n1 is not available"):
            await made.streams.open("n1", fails)
        opening = spawn(_outcome(made.streams.open("n1", made.ask)), name="open")
        await eventually(lambda: bool(made.asked))
        made.streams.end("n2")
        await asyncio.sleep(0)
        assert not opening.done()
        made.streams.end("n1")
        assert isinstance(await opening, Unavailable)

    run(work)


def test_the_end_of_the_session_ends_its_streams() -> None:
    async def work(made: Bench) -> None:
        (first, one), (second, two) = await made.opened("n1"), await made.opened("n2")
        await one.send_bytes(b"here")
        messages = first.messages()
        assert await anext(messages) == b"here"
        reading = spawn(_outcome(anext(messages)), name="read")
        await asyncio.sleep(0.01)
        made.streams.end("n1")
        error = await reading
        assert isinstance(error, Unavailable) and str(error) == "node n1 is not available"
        await two.send_bytes(b"still")
        assert await anext(second.messages()) == b"still"
        second.close()
        assert (await two.receive()).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)

    run(work)


def test_why_a_node_cannot_go_on() -> None:
    async def work(made: Bench) -> None:
        stream, socket = await made.opened("n1")
        closing = spawn(socket.close(code=FAILED_CODE, message=b"no such luck"), name="close")
        with pytest.raises(FailedPrecondition, match="^node n1: no such luck$"):
            await anext(stream.messages())
        await closing
        stream.close()

    run(work)


def test_a_line_that_just_breaks_is_no_end() -> None:
    async def work(made: Bench) -> None:
        stream, socket = await made.opened("n1")
        transport = socket.get_extra_info("socket")
        assert transport is not None and socket._response.connection is not None
        assert socket._response.connection.transport is not None
        socket._response.connection.transport.abort()
        with pytest.raises(Unavailable):
            await anext(stream.messages())
        stream.close()

    run(work)


def test_a_message_that_is_too_long_ends_the_stream() -> None:
    async def work(made: Bench) -> None:
        stream, socket = await made.opened("n1")
        sending = spawn(_outcome(socket.send_bytes(bytes(STREAM_MESSAGE_LIMIT + 1))), name="send")
        with pytest.raises(Unavailable):
            await anext(stream.messages())
        stream.close()
        await cancel(sending)

    run(work)


def test_many_streams_of_a_node_are_asked_for_by_and_by() -> None:
    async def work(made: Bench) -> None:
        opening = [spawn(made.streams.open("n1", made.ask), name="open") for _ in range(30)]
        await eventually(lambda: len(made.asked) == 8)
        for _ in range(30):
            await eventually(lambda: bool(made.asked))
            assert len(made.asked) <= 8
            await made.dial("n1", made.asked.pop())
        for stream in await asyncio.gather(*opening):
            stream.close()

    run(work)


async def _outcome(work: Awaitable[object]) -> Exception | None:
    try:
        await work
    except (Unavailable, ConnectionError) as error:
        return error
    return None
