"""The sockets of 127.0.0.11:53, one pair a sandbox, and which tables each of them answers from.

Nearly every datagram asks what was asked before: a dict from its bytes (without the id) to the finished answers makes
that one look-up and one send. The dict is emptied whenever one of the sandbox's tables changes.
"""

import asyncio
import itertools
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from shoal.aio.clock import Clock
from shoal.aio.tasks import spawn
from shoal.errors import NotFound
from shoal.network.dns.message import Rcode
from shoal.network.dns.records import Forward, Known, Table, failure, index, respond
from shoal.network.dns.upstream import Forwarder, fit
from shoal.wire.keeper import NetworkRecords, Upstream, Zone

_MAX_READY = 4096
_TCP_IDLE = 10.0
_MAX_CONNECTIONS = 256
_LENGTH = struct.Struct(">H")


class _Answers:
    """One sandbox's view: its tables, its resolvers, and the answers that were given already."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._forwarder = forwarder
        self._tables: Sequence[Table] = ()
        self._upstreams: tuple[Upstream, ...] = ()
        self.ready: dict[bytes, Iterator[bytes]] = {}

    def set(self, tables: Sequence[Table], upstreams: tuple[Upstream, ...]) -> None:
        """Answer from these from now on."""
        self._tables, self._upstreams = tables, upstreams
        self.ready.clear()

    def now(self, packet: bytes, *, stream: bool) -> bytes | Forward | None:
        """The answer, unless it takes a resolver; None for what deserves no answer."""
        outcome = respond(packet, self._tables, stream=stream)
        if not isinstance(outcome, Known):
            return outcome
        if stream:
            return packet[:2] + outcome.variants[packet[1] % len(outcome.variants)]
        if len(self.ready) >= _MAX_READY:
            self.ready.clear()
        turns = self.ready[packet[2:]] = itertools.cycle(outcome.variants)
        return packet[:2] + next(turns)

    async def later(self, packet: bytes, forward: Forward, *, stream: bool) -> bytes:
        """The resolvers' answer, or the failure to have one."""
        query = forward.query
        if not self._upstreams:
            return failure(query, Rcode.NXDOMAIN)
        answer = await self._forwarder.ask(packet, query, self._upstreams)
        if answer is None:
            return failure(query, Rcode.SERVFAIL)
        return fit(answer, query, None if stream else query.udp_size)


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP side."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._ready = answers.ready
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        turns = self._ready.get(data[2:])
        if turns is not None:
            self._send(data[:2] + next(turns), addr)
            return
        answer = self._answers.now(data, stream=False)
        if isinstance(answer, bytes):
            self._send(answer, addr)
        elif answer is not None:
            spawn(self._forward(data, answer, addr), name="dns forward")

    def error_received(self, exc: Exception) -> None:
        """The asker's socket is gone; nothing to do."""

    async def _forward(self, data: bytes, forward: Forward, addr: tuple[str, int]) -> None:
        self._send(await self._answers.later(data, forward, stream=False), addr)

    def _send(self, packet: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(packet, addr)


class _Listener:
    """The TCP side: length-prefixed questions, any number a connection, answered in order."""

    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._connections: set[asyncio.StreamWriter] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends or idles."""
        if len(self._connections) >= _MAX_CONNECTIONS:
            writer.close()
            return
        self._connections.add(writer)
        try:
            while True:
                async with asyncio.timeout(_TCP_IDLE):
                    (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                    packet = await reader.readexactly(size)
                answer = self._answers.now(packet, stream=True)
                if isinstance(answer, Forward):
                    answer = await self._answers.later(packet, answer, stream=True)
                if answer is None:
                    return
                writer.write(_LENGTH.pack(len(answer)) + answer)
                async with asyncio.timeout(_TCP_IDLE):
                    await writer.drain()
        except (TimeoutError, EOFError, OSError):
            return  # the client's right
        finally:
            self._connections.discard(writer)
            writer.close()

    def close(self) -> None:
        """End every connection."""
        for writer in self._connections:
            writer.transport.abort()


class _Served:
    """A sandbox that is being answered."""

    def __init__(self, zone: Zone, answers: _Answers) -> None:
        self.zone = zone
        self.own = index(zone.records, zone.pointers)
        self.answers = answers
        self.listener = _Listener(answers)
        self.udp: asyncio.BaseTransport | None = None
        self.tcp: asyncio.Server | None = None


class Resolver:
    """All sandboxes of a node and the networks they share. Zones and records may change at any time, at once."""

    def __init__(self, *, clock: Clock) -> None:
        self._forwarder = Forwarder(clock=clock)
        self._networks: dict[str, Table] = {}
        self._sandboxes: dict[str, _Served] = {}

    async def serve(self, sandbox_id: str, zone: Zone, udp: socket.socket, tcp: socket.socket) -> None:
        """Answer on these sockets, which are bound (and listening) in the sandbox, and are owned from here on.

        A sandbox that is served already gets the new zone and sockets. Raises :class:`InvalidArgument` for records
        that cannot be.
        """
        served = _Served(zone, _Answers(self._forwarder))
        await self.stop(sandbox_id)
        self._sandboxes[sandbox_id] = served
        self._apply(served)
        loop = asyncio.get_running_loop()
        served.udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(served.answers), sock=udp)
        served.tcp = await asyncio.start_server(served.listener.connected, sock=tcp)

    def update(self, zones: Mapping[str, Zone]) -> None:
        """New zones for sandboxes that are served; all of them or, with :class:`NotFound`, none."""
        unknown = [sandbox_id for sandbox_id in zones if sandbox_id not in self._sandboxes]
        if unknown:
            raise NotFound(f"no names are served in sandbox {unknown[0]}")
        tables = {sandbox_id: index(zone.records, zone.pointers) for sandbox_id, zone in zones.items()}
        for sandbox_id, zone in zones.items():
            served = self._sandboxes[sandbox_id]
            served.zone, served.own = zone, tables[sandbox_id]
            self._apply(served)

    def set_networks(self, networks: Mapping[str, NetworkRecords | None]) -> None:
        """All records of these networks, None for a network that has gone. Raises :class:`InvalidArgument`."""
        tables = {key: index(new.records, new.pointers) for key, new in networks.items() if new is not None}
        for network_id in networks:
            self._networks.pop(network_id, None)
        self._networks.update(tables)
        for served in self._sandboxes.values():
            if not networks.keys().isdisjoint(served.zone.networks):
                self._apply(served)

    async def stop(self, sandbox_id: str) -> None:
        """Close the sandbox's sockets; no error if there are none."""
        served = self._sandboxes.pop(sandbox_id, None)
        if served is None:
            return
        if served.udp is not None:
            served.udp.close()
        if served.tcp is not None:
            served.tcp.close()
        served.listener.close()

    async def close(self) -> None:
        """Close everything."""
        for sandbox_id in list(self._sandboxes):
            await self.stop(sandbox_id)

    @property
    def sandboxes(self) -> tuple[str, ...]:
        """Whose names are served."""
        return tuple(self._sandboxes)

    @property
    def networks(self) -> tuple[str, ...]:
        """Which networks' records are known."""
        return tuple(self._networks)

    def _apply(self, served: _Served) -> None:
        shared = [self._networks[network_id] for network_id in served.zone.networks if network_id in self._networks]
        served.answers.set([served.own, *shared], served.zone.upstreams)
