"""What comes over a socket and is not what a well-behaved client sends: byte by byte, on the loop that shoald uses."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from aiohttp import web
from tests.fakes.api_client import socket_of

from shoal.api.app import build_app
from shoal.api.connection import Connection
from shoal.api.requests import json_body, json_response
from shoal.api.router import stream
from shoal.api.streams import JSON, RawConnection, hijack, stream_bytes

ASK = b"GET /ok HTTP/1.1\r\nHost: d\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n\r\n"
SECONDS = 10.0

Talk = Callable[..., Awaitable[bytes]]


class Server:
    """Routes that answer, echo, never end, and take the connection over."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.heard = b""

    async def ok(self, request: web.Request) -> web.Response:
        return json_response("ok")

    async def echo(self, request: web.Request) -> web.Response:
        return json_response(await json_body(request, dict[str, str]))

    async def slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(0.01)
        return json_response("slow")

    async def endless(self, request: web.Request) -> web.StreamResponse:
        async def nothing() -> AsyncIterator[bytes]:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
            yield b""

        return await stream_bytes(request, nothing(), content_type=JSON, endless=True)

    async def raw(self, request: web.Request) -> web.StreamResponse:
        async def talk(connection: RawConnection) -> None:
            while data := await connection.read():
                self.heard += data
            await connection.write(b"heard")

        return await hijack(request, talk)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/ok", self.ok),
            web.post("/echo", self.echo),
            web.get("/slow", self.slow),
            web.get("/endless", self.endless),
            stream("POST", "/raw", self.raw),
        ]


async def talk(path: Path, *pieces: bytes, end: bool = False) -> bytes:
    """Everything that is answered to ``pieces``, sent one after the other; ``end`` ends our side then."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    try:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if end:
                writer.write_eof()
        found = b""
        with contextlib.suppress(ConnectionError):
            while data := await asyncio.wait_for(reader.read(65536), SECONDS):
                found += data
        return found
    finally:
        writer.close()


def serve(folder: Path, scenario: Callable[[Path, Server], Awaitable[None]]) -> None:
    async def run() -> None:
        server = Server()
        async with socket_of(folder, server.routes()) as path:
            await scenario(path, server)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


def body(answer: bytes) -> object:
    return json.loads(answer.partition(b"\r\n\r\n")[2])


def test_a_request_that_comes_byte_by_byte(tmp_path: Path) -> None:
    async def scenario(path: Path, server: Server) -> None:
        whole = POST + b"Content-Length: 9\r\n" + CLOSE + b'{"a":"b"}'
        answer = await talk(path, *(whole[at : at + 1] for at in range(len(whole))))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body(answer) == {"a": "b"}

    serve(tmp_path, scenario)


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
MALFORMED: list[tuple[str, list[bytes], int]] = [
    ("garbage", [bytes(range(256))], 400),
    ("TLS", [bytes.fromhex("16030100f8010000f40303") + b"x" * 240], 400),
    ("HTTP/2", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400),
    ("no host", [b"GET /ok HTTP/1.1\r\n\r\n"], 400),
    ("NUL in a header", [ASK + b"X: a\0b\r\n\r\n"], 400),
    ("bytes in the path", [b"GET /ok\xff\xfe HTTP/1.1\r\nHost: d\r\n\r\n"], 400),
    ("an impossible port", [b"GET http://a:99999999/ok HTTP/1.1\r\nHost: d\r\n\r\n"], 400),
    ("a long header", [ASK + b"X: " + b"a" * 70_000 + b"\r\n\r\n"], 431),
    ("a long path", [b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n"], 431),
    ("many headers", [ASK + b"".join(b"X%d: a\r\n" % n for n in range(1000)) + b"\r\n"], 400),
    ("negative length", [POST + b"Content-Length: -1\r\n\r\n{}"], 400),
    ("no length", [POST + b"Content-Length: abc\r\n\r\n{}"], 400),
    ("length without end", [POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}"], 400),
    ("two lengths", [POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"], 400),
    ("length and chunks", [POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"], 400),
    ("other encoding", [POST + b"Transfer-Encoding: gzip\r\n\r\n{}"], 400),
    ("no chunk", [CHUNKED, b"ZZ\r\n{}\r\n0\r\n\r\n"], 400),
    ("negative chunk", [CHUNKED, b"-2\r\n{}\r\n0\r\n\r\n"], 400),
    ("chunk without end", [CHUNKED, b"fffffffffffffffff\r\n{}"], 400),
    ("chunk longer than it says", [CHUNKED, b"2\r\n{}XX0\r\n\r\n"], 400),
    ("unknown expectation", [POST + b"Expect: cake\r\nContent-Length: 2\r\n\r\n{}"], 417),
    ("another method", [b"CONNECT a:1 HTTP/1.1\r\nHost: d\r\n\r\n"], 404),
    ("no path", [b"OPTIONS * HTTP/1.1\r\nHost: d\r\n\r\n"], 404),
    ("compressed without being", [POST + b"Content-Encoding: gzip\r\nContent-Length: 1\r\n" + CLOSE + b"x"], 400),
    ("a type in bytes", [POST.replace(b"application/json", b"\xff;") + b"Content-Length: 2\r\n" + CLOSE + b"{}"], 400),
]  # fmt: skip


@pytest.mark.parametrize(("pieces", "status"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_what_is_no_request_is_refused_in_dockers_form_and_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pieces: list[bytes], status: int
) -> None:
    async def scenario(path: Path, server: Server) -> None:
        answer = await talk(path, *pieces, end=status == 404)
        assert int(answer.split()[1]) == status
        assert set(json.loads(answer.partition(b"\r\n\r\n")[2].partition(b"}")[0] + b"}")) == {"message"}
        assert b"\r\nServer: Shoal/" in answer
        assert b"Traceback" not in answer
        assert b"200 OK" in await talk(path, ASK + CLOSE)

    with caplog.at_level(logging.INFO):
        serve(tmp_path, scenario)
    assert not caplog.records


def test_a_body_that_ends_too_soon_disturbs_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(path: Path, server: Server) -> None:
        assert await talk(path, POST + b"Content-Length: 10\r\n\r\n{}", end=True) == b""
        assert await talk(path, CHUNKED + b"9\r\n{", end=True) == b""
        assert b"200 OK" in await talk(path, ASK + CLOSE)

    with caplog.at_level(logging.INFO):
        serve(tmp_path, scenario)
    assert not caplog.records


def test_a_body_that_is_too_large_is_not_waited_for(tmp_path: Path) -> None:
    async def scenario(path: Path, server: Server) -> None:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(POST + b"Content-Length: 1000000000\r\n\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 17 << 20:
                writer.write(b" " * 65536)
                await writer.drain()
                sent += 65536
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
        assert head.startswith(b"HTTP/1.1 413 ")
        writer.close()

    serve(tmp_path, scenario)


def test_requests_that_come_all_at_once_are_answered_in_their_order(tmp_path: Path) -> None:
    async def scenario(path: Path, server: Server) -> None:
        slow = ASK.replace(b"/ok", b"/slow") + b"\r\n"
        answer = await talk(path, (slow + ASK + b"\r\n") * 20, end=True)
        assert answer.count(b"HTTP/1.1 200 OK") == 40
        assert answer.count(b'"slow"') == 20
        assert answer.index(b'"slow"') < answer.index(b'"ok"')

    serve(tmp_path, scenario)


@pytest.mark.parametrize("where", ["/ok", "/slow"])
def test_who_ends_his_side_gets_his_answer(tmp_path: Path, where: str) -> None:
    async def scenario(path: Path, server: Server) -> None:
        answer = await talk(path, ASK.replace(b"/ok", where.encode()) + b"\r\n", end=True)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert body(answer) == where[1:]

    serve(tmp_path, scenario)


def test_an_endless_answer_ends_with_its_clients_side(tmp_path: Path) -> None:
    async def scenario(path: Path, server: Server) -> None:
        endless = ASK.replace(b"/ok", b"/endless") + b"\r\n"
        await talk(path, endless, end=True)  # at once
        await asyncio.wait_for(server.cancelled.wait(), SECONDS)
        server.cancelled.clear()
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(endless)
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()  # later
        await asyncio.wait_for(server.cancelled.wait(), SECONDS)
        assert await reader.read() == b""
        writer.close()

    serve(tmp_path, scenario)


def test_a_connection_that_is_taken_over_knows_that_the_client_has_ended_his_side(tmp_path: Path) -> None:
    async def scenario(path: Path, server: Server) -> None:
        request = b"POST /raw HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n"
        assert (await talk(path, request, end=True)).endswith(b"\r\n\r\nheard")

    serve(tmp_path, scenario)


def test_a_client_that_goes_away_altogether_is_not_answered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(path: Path, server: Server) -> None:
        for turns in range(30):
            _reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(ASK.replace(b"/ok", b"/endless" if turns % 2 else b"/slow") + b"\r\n")
            for _ in range(turns):
                await asyncio.sleep(0)
            writer.close()
        assert b"200 OK" in await talk(path, ASK + CLOSE)

    with caplog.at_level(logging.INFO):
        serve(tmp_path, scenario)
    assert not caplog.records


def test_headers_without_end_are_cut_off(tmp_path: Path) -> None:
    async def scenario(path: Path, server: Server) -> None:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(ASK + b"X: ")
        sent = 0
        with pytest.raises(ConnectionError):
            while sent < 64 << 20:
                writer.write(b"a" * 65536)
                await writer.drain()
                sent += 65536
        assert sent < 1 << 20
        writer.close()

    serve(tmp_path, scenario)


@pytest.mark.parametrize("said", [b"", b"GET /ok HT"])
def test_who_asks_nothing_is_let_go(tmp_path: Path, said: bytes) -> None:
    async def scenario() -> None:
        runner = web.AppRunner(build_app(Server().routes()))
        await runner.setup()
        assert runner.server is not None
        http, loop = runner.server, asyncio.get_running_loop()
        path = str(tmp_path / "s")
        listening = await loop.create_unix_server(lambda: Connection(http, loop=loop, first_request_seconds=0.05), path)
        assert await talk(Path(path), said) == b""
        assert b"200 OK" in await talk(Path(path), ASK + CLOSE)
        listening.close()
        await runner.cleanup()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
