"""Hijacking and lasting answers, over real unix sockets: half-closes and clients that leave are the point."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import uvloop
from aiohttp import web

from shoal.api.app import build_app
from shoal.api.router import stream
from shoal.api.server import ApiServer, Listener
from shoal.api.streams import RawConnection, StdStream, frame, hijack, stream_bytes, stream_json
from shoal.errors import NotFound, Unavailable

Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Both event loops: they differ in how they treat half-closed sockets and protocols that are swapped."""
    loop_runner: Run = request.param
    return loop_runner


@contextlib.asynccontextmanager
async def served(tmp_path: Path, *routes: web.RouteDef) -> AsyncIterator[Path]:
    path = tmp_path / "api.sock"
    server = ApiServer(app=build_app(routes), listeners=[Listener("unix", path=str(path))])
    await server.start()
    try:
        yield path
    finally:
        await server.stop()


async def echo(request: web.Request) -> web.StreamResponse:
    """Sends back what comes, and after the client's end of it a farewell."""

    async def converse(connection: RawConnection) -> None:
        stdout = connection.frames(StdStream.STDOUT)
        while data := await connection.read():
            await stdout(data)
        await asyncio.sleep(0.02)
        await connection.write(frame(StdStream.STDERR, b"bye"))

    await request.read()
    return await hijack(request, converse, multiplexed=True)


def ask(extra: str, body: str = "") -> bytes:
    return f"POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n{extra}\r\n{body}".encode()


UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"


def test_hijack_survives_the_clients_half_close(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        async with served(tmp_path, stream("POST", "/echo", echo)) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(ask(UPGRADE + "Content-Type: application/json\r\n", '{"Tty":false}'))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
            assert b"Content-Type: application/vnd.docker.multiplexed-stream\r\n" in head
            assert b"Upgrade: tcp\r\n" in head
            writer.write(b"hello")
            assert await reader.readexactly(13) == frame(1, b"hello")
            writer.write_eof()
            assert await reader.read() == frame(2, b"bye")
            writer.close()

    run(scenario())


def test_clients_that_ask_for_no_upgrade_get_200(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        async with served(tmp_path, stream("POST", "/echo", echo)) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(ask(""))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head == b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
            writer.write_eof()
            assert await reader.read() == frame(2, b"bye")
            writer.close()

    run(scenario())


def test_the_header_goes_out_before_there_is_any_data(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        header_seen = asyncio.Event()

        async def talk(request: web.Request) -> web.StreamResponse:
            async def converse(connection: RawConnection) -> None:
                await header_seen.wait()
                await connection.write(b"x" * 10)

            return await hijack(request, converse)

        async with served(tmp_path, stream("POST", "/echo", talk)) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(ask(UPGRADE))
            assert (await asyncio.wait_for(reader.read(65536), 5)).endswith(b"\r\n\r\n")
            header_seen.set()
            assert await reader.read() == b"x" * 10
            writer.close()

    run(scenario())


def test_a_lost_client_ends_the_hijacked_handler(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def wait(request: web.Request) -> web.StreamResponse:
            async def converse(connection: RawConnection) -> None:
                try:
                    while True:
                        await connection.write(b"x" * 1000)
                        await asyncio.sleep(0.001)
                finally:
                    ended.set()

            return await hijack(request, converse)

        async with served(tmp_path, stream("POST", "/echo", wait)) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(ask(UPGRADE))
            await reader.readexactly(200)
            writer.transport.abort()
            await asyncio.wait_for(ended.wait(), 5)

    run(scenario())


def test_a_slow_reader_is_waited_for(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        written = 0

        async def flood(request: web.Request) -> web.StreamResponse:
            async def converse(connection: RawConnection) -> None:
                nonlocal written
                for _ in range(1000):
                    await connection.write(b"x" * 65536)
                    written += 1

            return await hijack(request, converse)

        async with served(tmp_path, stream("POST", "/echo", flood)) as path:
            reader, writer = await asyncio.open_unix_connection(path, limit=1024)
            writer.write(ask(UPGRADE))
            await asyncio.sleep(0.1)
            assert written < 100
            writer.transport.abort()
            del reader

    run(scenario())


def test_a_lasting_answer_ends_with_its_client_and_blocks_nobody(tmp_path: Path, run: Run) -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def forever(request: web.Request) -> web.StreamResponse:
            async def items() -> AsyncIterator[object]:
                try:
                    yield {"n": 1}
                    await asyncio.Event().wait()
                finally:
                    ended.set()

            return await stream_json(request, items())

        async def quick(request: web.Request) -> web.StreamResponse:
            return web.Response(text="OK")

        async with served(tmp_path, web.get("/forever", forever), web.get("/quick", quick)) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /v1.41/forever HTTP/1.1\r\nHost: d\r\n\r\n")
            assert b'{"n":1}' in await reader.readuntil(b'{"n":1}\r\n')
            other, asker = await asyncio.open_unix_connection(path)
            asker.write(b"GET /quick HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
            assert (await other.read()).endswith(b"OK")
            writer.close()
            await asyncio.wait_for(ended.wait(), 5)
            asker.close()

    run(scenario())


def test_the_header_of_a_silent_stream_goes_out_at_once(tmp_path: Path, run: Run) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        async def pieces() -> AsyncIterator[bytes]:
            await asyncio.Event().wait()
            yield b""

        return await stream_bytes(request, pieces(), content_type="text/plain")

    async def scenario() -> None:
        async with served(tmp_path, web.get("/silent", silent)) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"GET /silent HTTP/1.1\r\nHost: d\r\n\r\n")
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200 OK")
            writer.close()

    run(scenario())


async def get(path: Path, target: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def test_an_error_before_the_first_item_has_a_status_and_one_after_it_a_line(tmp_path: Path, run: Run) -> None:
    async def pull(request: web.Request) -> web.StreamResponse:
        async def items() -> AsyncIterator[object]:
            if "late" in request.query:
                yield {"status": "Pulling"}
                raise Unavailable("the registry went away")
            raise NotFound("no such image")

        return await stream_json(request, items(), at_once=False)

    async def scenario() -> None:
        async with served(tmp_path, web.get("/pull", pull)) as path:
            early = await get(path, "/pull")
            assert early.startswith(b"HTTP/1.1 404 ")
            assert early.endswith(b'{"message":"no such image"}')
            late = await get(path, "/pull?late=1")
            assert late.startswith(b"HTTP/1.1 200 ")
            assert b'{"errorDetail":{"message":"the registry went away"},"error":"the registry went away"}' in late

    run(scenario())
