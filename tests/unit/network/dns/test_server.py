"""The resolver over real sockets, on loopback."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

import pytest

from shoal.aio.clock import SystemClock
from shoal.errors import InvalidArgument, NotFound
from shoal.network.dns.message import Rcode, write_name
from shoal.network.dns.server import Resolver
from shoal.wire.keeper import NetworkRecords, Record, Zone


def query(name: str) -> bytes:
    return struct.pack(">HHHHHH", 9, 0x0100, 1, 0, 0, 0) + write_name(name.encode()) + struct.pack(">HH", 1, 1)


def first_address(answer: bytes) -> str:
    return str(ip_address(answer[-4:]))


def records(address: str) -> NetworkRecords:
    return NetworkRecords(records=(Record("web", (address,)),))


class _Asker:
    def __init__(self, resolver: Resolver, udp: socket.socket, tcp: socket.socket) -> None:
        self.resolver = resolver
        self.udp_at, self.tcp_at = udp.getsockname(), tcp.getsockname()

    async def udp(self, name: str) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.setblocking(False)
            asking.connect(self.udp_at)
            await loop.sock_sendall(asking, query(name))
            async with asyncio.timeout(5):
                return await loop.sock_recv(asking, 4096)

    async def tcp(self, *names: str) -> list[bytes]:
        reader, writer = await asyncio.open_connection(*self.tcp_at)
        answers = []
        for name in names:
            packet = query(name)
            writer.write(struct.pack(">H", len(packet)) + packet)
        for _ in names:
            (size,) = struct.unpack(">H", await reader.readexactly(2))
            answers.append(await reader.readexactly(size))
        writer.close()
        return answers


def serving(test: Callable[[_Asker], Awaitable[None]]) -> None:
    async def run() -> None:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for opened in (udp, tcp):
            opened.setblocking(False)
            opened.bind(("127.0.0.1", 0))
        tcp.listen()
        resolver = Resolver(clock=SystemClock())
        asker = _Asker(resolver, udp, tcp)
        await resolver.serve("box", Zone(networks=("n1", "n2")), udp, tcp)
        try:
            await test(asker)
        finally:
            await resolver.close()
            await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_change_of_a_network_shows_at_once() -> None:
    async def test(asker: _Asker) -> None:
        assert (await asker.udp("web"))[3] & 0xF == Rcode.NXDOMAIN
        asker.resolver.set_networks({"n2": records("10.0.2.2")})
        assert first_address(await asker.udp("web")) == "10.0.2.2"
        assert first_address(await asker.udp("web")) == "10.0.2.2"
        asker.resolver.set_networks({"n1": records("10.0.1.2"), "other": records("10.9.9.9")})
        assert first_address(await asker.udp("web")) == "10.0.1.2"
        asker.resolver.set_networks({"n1": None})
        assert first_address(await asker.udp("web")) == "10.0.2.2"
        asker.resolver.update({"box": Zone(networks=("n2",), records=(Record("web", ("127.0.0.1",)),))})
        assert first_address(await asker.udp("web")) == "127.0.0.1"
        asker.resolver.update({"box": Zone()})
        assert (await asker.udp("web"))[3] & 0xF == Rcode.NXDOMAIN

    serving(test)


def test_turns_are_taken() -> None:
    async def test(asker: _Asker) -> None:
        shuffled = NetworkRecords(records=(Record("tasks.web", ("10.0.1.3", "10.0.1.4"), shuffle=True),))
        asker.resolver.set_networks({"n1": shuffled})
        assert {first_address(await asker.udp("tasks.web")) for _ in range(4)} == {"10.0.1.3", "10.0.1.4"}

    serving(test)


def test_many_questions_over_one_connection() -> None:
    async def test(asker: _Asker) -> None:
        asker.resolver.set_networks({"n1": records("10.0.1.2")})
        known, unknown = await asker.tcp("web", "nobody")
        assert first_address(known) == "10.0.1.2"
        assert unknown[3] & 0xF == Rcode.NXDOMAIN

    serving(test)


def test_a_bad_change_changes_nothing() -> None:
    async def test(asker: _Asker) -> None:
        asker.resolver.set_networks({"n1": records("10.0.1.2")})
        with pytest.raises(InvalidArgument):
            asker.resolver.set_networks({"n1": None, "n2": records("nonsense")})
        with pytest.raises(NotFound):
            asker.resolver.update({"box": Zone(), "nobody": Zone()})
        assert first_address(await asker.udp("web")) == "10.0.1.2"

    serving(test)
