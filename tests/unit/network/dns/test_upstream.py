"""Forwarding to resolvers that answer, lie, truncate, fail and keep silent."""

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from shoal.network.dns.message import TC, read_query
from shoal.network.dns.upstream import Forwarder, fit
from shoal.wire.keeper import Upstream

QUERY = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\7example\3org\0\0\1\0\1"
Behaviour = Callable[[bytes], list[bytes]]


class _Time:
    """Stands still."""

    def now(self) -> datetime:
        return datetime(2024, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 100.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class _Resolver(asyncio.DatagramProtocol):
    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.asked: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.asked.append(data)
        for answer in self.behaviour(data):
            self.transport.sendto(answer, addr)  # type: ignore[attr-defined]


def answer(question: bytes, flags: int = 0x8180) -> bytes:
    return question[:2] + struct.pack(">HHHHH", flags, 1, 0, 0, 0) + question[12:]


async def resolver(behaviour: Behaviour) -> tuple[_Resolver, Upstream]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _Resolver(behaviour), local_addr=("127.0.0.1", 0))
    return protocol, Upstream("127.0.0.1", transport.get_extra_info("sockname")[1])


async def ask(*upstreams: Upstream, forwarder: Forwarder | None = None) -> bytes | None:
    forwarder = forwarder or Forwarder(clock=_Time())
    return await forwarder.ask(QUERY, read_query(QUERY), upstreams)


def test_the_answer_has_the_askers_id_and_the_question_another() -> None:
    async def run() -> None:
        there, upstream = await resolver(lambda question: [answer(question)])
        replies = [await ask(upstream) for _ in range(4)]
        assert replies == [answer(QUERY)] * 4
        assert len({question[:2] for question in there.asked}) > 1
        there.transport.close()

    asyncio.run(run())


def test_a_lie_is_not_taken() -> None:
    def lie(question: bytes) -> list[bytes]:
        wrong_id = bytes([question[0] ^ 1]) + answer(question)[1:]
        wrong_name = answer(question).replace(b"example", b"elpmaxe")
        return [b"", wrong_id, wrong_name, question, answer(question, 0x8580)]

    async def run() -> None:
        there, upstream = await resolver(lie)
        assert await ask(upstream) == answer(QUERY, 0x8580)
        there.transport.close()

    asyncio.run(run())


def test_the_next_is_asked_when_one_fails_or_is_silent_and_the_silent_one_last() -> None:
    async def run() -> None:
        silent, nowhere = await resolver(lambda _: [])
        failing, broken = await resolver(lambda question: [answer(question, 0x8182)])
        good, upstream = await resolver(lambda question: [answer(question, 0x8183)])
        forwarder = Forwarder(clock=_Time())
        assert await ask(nowhere, broken, upstream, forwarder=forwarder) == answer(QUERY, 0x8183)
        async with asyncio.timeout(1):
            assert await ask(nowhere, broken, upstream, forwarder=forwarder) == answer(QUERY, 0x8183)
        assert await ask(broken) == answer(QUERY, 0x8182)
        for server in (silent, failing, good):
            server.transport.close()
        assert await ask(Upstream("127.0.0.1", 1)) is None

    asyncio.run(run())


def test_what_is_truncated_is_fetched_over_tcp() -> None:
    async def run() -> None:
        async def tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            (size,) = struct.unpack(">H", await reader.readexactly(2))
            whole = answer(await reader.readexactly(size)) + b"much"
            writer.write(struct.pack(">H", len(whole)) + whole)
            writer.close()

        # The one port for both: somebody else may have it for TCP already.
        for _ in range(20):
            there, upstream = await resolver(lambda question: [answer(question, 0x8180 | TC)])
            with suppress(OSError):
                server = await asyncio.start_server(tcp, "127.0.0.1", upstream.port)
                break
            there.transport.close()
        assert await ask(upstream) == answer(QUERY) + b"much"
        server.close()
        there.transport.close()

    asyncio.run(run())


def test_what_does_not_fit_is_cut_and_says_so() -> None:
    query = read_query(QUERY)
    long = answer(QUERY) + bytes(600)
    assert fit(long, query, None) == long
    cut = fit(long, query, 512)
    assert len(cut) == len(QUERY)
    assert int.from_bytes(cut[2:4]) & TC
