"""What a client that is turned away gets to read, from asyncio's loop and from uvloop's."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop

from shoal.objects.ids import ClusterId, NodeId
from shoal.pki import contexts
from shoal.pki.authority import RootCA, new_key, request
from shoal.pki.identity import NodeIdentity

Loop = Callable[[], asyncio.AbstractEventLoop]
LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def _written(folder: Path) -> Path:
    """``ca.pem``, ``cert.pem`` and ``key.pem`` of an authority of their own."""
    folder.mkdir()
    root, key = RootCA.create(datetime.now(UTC)), new_key()
    identity = NodeIdentity(NodeId("node1"), "manager", ClusterId("cluster1"))
    (folder / "ca.pem").write_bytes(root.certificate)
    (folder / "cert.pem").write_bytes(root.sign(request(key), identity, datetime.now(UTC)))
    (folder / "key.pem").write_bytes(key)
    return folder


def _serve(folder: Path, loop: Loop, scenario: Callable[[int], Awaitable[None]]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def main() -> None:
        context = contexts.api_server(
            cert=folder / "cert.pem", key=folder / "key.pem", ca=folder / "ca.pem", verify=True
        )
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
        async with server:
            await asyncio.wait_for(scenario(server.sockets[0].getsockname()[1]), 10)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


async def _asked(port: int, context: ssl.SSLContext | None) -> bytes:
    name = "node1" if context else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        writer.write(b"GET / HTTP/1.1\r\n\r\n" + b"more than one read\r\n" * 10_000)
        return await reader.readuntil(b"\n\r\n") + await reader.readline() if context is None else await reader.read()
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


@LOOPS
def test_the_alert_says_what_is_wrong_with_a_certificate(tmp_path: Path, loop: Loop) -> None:
    folder, others = _written(tmp_path / "ours"), _written(tmp_path / "theirs")

    async def scenario(port: int) -> None:
        client = ssl.create_default_context(cafile=folder / "ca.pem")
        with pytest.raises(ssl.SSLError, match="certificate required"):
            await _asked(port, client)
        client.load_cert_chain(others / "cert.pem", others / "key.pem")
        with pytest.raises(ssl.SSLError, match="unknown ca"):
            await _asked(port, client)
        client.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        assert await _asked(port, client) == b"GET / HTTP/1.1\r\n"

    _serve(folder, loop, scenario)


@LOOPS
def test_plain_http_is_answered_in_gos_words(tmp_path: Path, loop: Loop) -> None:
    async def scenario(port: int) -> None:
        head, text = (await _asked(port, None)).split(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 400 Bad Request\r\n")
        assert text == b"Client sent an HTTP request to an HTTPS server.\n"

    _serve(_written(tmp_path / "ours"), loop, scenario)


def test_only_so_many_are_told_at_a_time(tmp_path: Path) -> None:
    """The others' connections end with their handshakes."""
    folder = _written(tmp_path / "ours")

    async def scenario(port: int) -> None:
        told = [await asyncio.open_connection("127.0.0.1", port) for _ in range(120)]
        for _, writer in told:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answers = [await reader.read(4) for reader, _ in told]
        assert (answers.count(b"HTTP"), answers.count(b"")) == (100, 20)
        for _, writer in told:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for _, writer in told), return_exceptions=True)
        assert b"400 Bad Request" in await _asked(port, None)

    _serve(folder, uvloop.new_event_loop, scenario)
