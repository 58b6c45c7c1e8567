"""Questions that no network of ours can answer, asked of the host's resolvers.

Each question leaves from a socket and with an id of its own, both chosen at random by the kernel, so an answer cannot
be forged by who cannot see the question; it must repeat id and question. UDP first; a truncated answer is fetched
again over TCP (RFC 7766). A resolver that stays silent for 2 s is asked last for the next half minute.
"""

import asyncio
import logging
import os
import struct
from collections.abc import Sequence

from shoal.aio.clock import Clock
from shoal.network.dns.message import HEADER, QR, TC, Malformed, Query, Rcode, read_name
from shoal.wire.keeper import Upstream

_TIMEOUT = 2.0
_PENALTY = 30.0
_MAX_PENDING = 1024
_LENGTH = struct.Struct(">H")
_log = logging.getLogger(__name__)


class Forwarder:
    """Asks upstream resolvers, from the namespace that it runs in."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._pending = 0
        self._silent_until: dict[Upstream, float] = {}

    async def ask(self, packet: bytes, query: Query, upstreams: Sequence[Upstream]) -> bytes | None:
        """The first good answer to ``packet``, with its id; a resolver's own failure if there is none; else None."""
        if self._pending >= _MAX_PENDING:
            return None
        self._pending += 1
        try:
            return await self._ask_each(packet, query, upstreams)
        finally:
            self._pending -= 1

    async def _ask_each(self, packet: bytes, query: Query, upstreams: Sequence[Upstream]) -> bytes | None:
        refusal = None
        for upstream in self._in_order(upstreams):
            try:
                async with asyncio.timeout(_TIMEOUT):
                    answer = await _exchange(packet, query, upstream)
            except TimeoutError:
                self._silent_until[upstream] = self._clock.monotonic() + _PENALTY
            except (OSError, EOFError) as error:
                _log.debug("resolver %s does not answer: %s", upstream.address, error)
            else:
                self._silent_until.pop(upstream, None)
                if answer[3] & 0xF in (Rcode.NOERROR, Rcode.NXDOMAIN):
                    return answer
                refusal = answer
        return refusal

    def _in_order(self, upstreams: Sequence[Upstream]) -> list[Upstream]:
        now = self._clock.monotonic()
        return sorted(upstreams, key=lambda upstream: self._silent_until.get(upstream, 0.0) > now)


async def _exchange(packet: bytes, query: Query, upstream: Upstream) -> bytes:
    """One resolver's whole answer. Raises OSError, EOFError; takes forever if it is silent."""
    ours = os.urandom(2)
    question = ours + packet[2:]
    answer = await _ask_udp(question, query, upstream)
    if int.from_bytes(answer[2:4]) & TC:
        answer = await _ask_tcp(question, upstream)
        if not _answers(answer, ours, query):
            raise EOFError("the answer over TCP belongs to another question")
    return packet[:2] + answer[2:]


async def _ask_udp(question: bytes, query: Query, upstream: Upstream) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _OneAnswer(loop.create_future(), question[:2], query), remote_addr=(upstream.address, upstream.port)
    )
    try:
        transport.sendto(question)
        return await protocol.answer
    finally:
        transport.close()


async def _ask_tcp(question: bytes, upstream: Upstream) -> bytes:
    reader, writer = await asyncio.open_connection(upstream.address, upstream.port)
    try:
        writer.write(_LENGTH.pack(len(question)) + question)
        (size,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        return await reader.readexactly(size)
    finally:
        writer.close()


class _OneAnswer(asyncio.DatagramProtocol):
    """Waits for the datagram that answers the question, whatever else comes in."""

    def __init__(self, answer: "asyncio.Future[bytes]", ident: bytes, query: Query) -> None:
        self.answer = answer
        self._ident = ident
        self._query = query

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.answer.done() and _answers(data, self._ident, self._query):
            self.answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _answers(packet: bytes, ident: bytes, query: Query) -> bool:
    """Whether ``packet`` is a response with that id to that question."""
    if len(packet) < HEADER.size or packet[:2] != ident or not packet[2] & QR >> 8:
        return False
    if int.from_bytes(packet[4:6]) == 0 and packet[3] & 0xF:
        return True  # an error from a resolver that could not even read the question
    try:
        _, end = read_name(packet, HEADER.size)
    except Malformed:
        return False
    return packet[HEADER.size : end + 4].lower() == query.question.lower()


def fit(answer: bytes, query: Query, limit: int | None) -> bytes:
    """``answer``, or, where it is longer than ``limit``, its header and question with TC set."""
    if limit is None or len(answer) <= limit:
        return answer
    flags = int.from_bytes(answer[2:4]) | TC
    return answer[:2] + HEADER.pack(0, flags, 1, 0, 0, 0)[2:] + query.question
