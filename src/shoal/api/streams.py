"""Answers that last: raw streams in place of HTTP, and bodies that grow while the client reads them.

A handler that calls these belongs on a route made with :func:`shoal.api.router.stream`: it is then cancelled when its
client goes away. Writing waits for the client to keep up, and holds up nobody else.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import IntEnum
from typing import Final

from aiohttp import web

from shoal.api.connection import Connection
from shoal.errors import ShoalError
from shoal.objects.base import encode

_log = logging.getLogger(__name__)

RAW: Final = "application/vnd.docker.raw-stream"
MULTIPLEXED: Final = "application/vnd.docker.multiplexed-stream"
JSON: Final = "application/json"
TAR: Final = "application/x-tar"

_READ_HIGH: Final = 256 * 1024


class StdStream(IntEnum):
    """The streams in a multiplexed answer."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    SYSTEM_ERROR = 3


def frame(stream: int, payload: bytes) -> bytes:
    """A piece of a multiplexed stream: stream number, three zeros, length as 32 bits big endian, the piece."""
    return bytes((stream, 0, 0, 0)) + len(payload).to_bytes(4, "big") + payload


class RawConnection(asyncio.Protocol):
    """A connection that was taken over from HTTP: bytes both ways, each way ending on its own.

    The client may end its side (half-close) and go on reading; :meth:`read` then returns nothing more, and writing
    still works. When the connection is lost altogether, reading ends and writing raises ConnectionResetError.
    """

    def __init__(self, transport: asyncio.Transport, inherited: asyncio.BaseProtocol) -> None:
        self._transport = transport
        # aiohttp's own protocol: it must still hear of the connection's end, and of nothing else.
        self._inherited = inherited
        self._received = bytearray()
        self._ended = False
        self._lost = False
        self._paused = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()

    async def read(self) -> bytes:
        """What has arrived, waiting for at least a byte; nothing when the client has ended its side."""
        while not self._received and not self._ended:
            self._arrived.clear()
            await self._arrived.wait()
        data = bytes(self._received)
        self._received.clear()
        if self._paused and not self._ended:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send, waiting while the client is behind. Raises ConnectionResetError when it has gone."""
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)
        await self._writable.wait()

    def frames(self, stream: int) -> "Callable[[bytes], Awaitable[None]]":
        """A way to write the pieces of one stream of a multiplexed connection."""

        async def write(data: bytes) -> None:
            await self.write(frame(stream, data))

        return write

    async def wait_lost(self) -> None:
        """Return when the connection is lost in both directions."""
        await self._gone.wait()

    # asyncio.Protocol, called by the transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._arrived.set()
        if not self._paused and len(self._received) > _READ_HIGH:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        self._arrived.set()
        return True

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._ended = self._lost = True
        self._arrived.set()
        self._writable.set()
        self._gone.set()
        self._inherited.connection_lost(exc if isinstance(exc, Exception) else None)


class _Taken(web.StreamResponse):
    """What a handler gives back to aiohttp once the connection is no longer its own: nothing is sent, it is closed."""

    def __init__(self, status: int) -> None:
        super().__init__(status=status)
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


async def hijack(
    request: web.Request, converse: Callable[[RawConnection], Awaitable[None]], *, multiplexed: bool = False
) -> web.StreamResponse:
    """Turn the request's connection into a raw one and let ``converse`` have it; it is closed when that returns.

    A client that asks for an upgrade gets 101 and the content type of what follows, any other 200 and the raw type,
    as from Docker. The header goes out before ``converse`` starts, in a write of its own. Read the request's body
    before. An error out of ``converse`` can't be told to the client any more: it is logged.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    connection = RawConnection(transport, request.protocol)
    upgrade = "upgrade" in request.headers.get("Connection", "").lower() and bool(request.headers.get("Upgrade"))
    kind = MULTIPLEXED if multiplexed and upgrade else RAW
    if upgrade:
        head = f"HTTP/1.1 101 UPGRADED\r\nContent-Type: {kind}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    else:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\n"
    transport.set_protocol(connection)
    if isinstance(request.protocol, Connection) and request.protocol.ended:
        connection.eof_received()
    transport.write(head.encode())
    # A turn of the loop: some clients take what comes in the same read as the header for the end of the header.
    await asyncio.sleep(0)
    try:
        await converse(connection)
    except ConnectionError as error:
        _log.debug("%s: the client has gone: %s", request.path, error)
    except ShoalError as error:
        _log.info("%s ended: %s", request.path, error)
    return _Taken(101 if upgrade else 200)


async def stream_bytes(
    request: web.Request,
    pieces: AsyncIterator[bytes],
    *,
    content_type: str,
    at_once: bool = True,
    endless: bool = False,
) -> web.StreamResponse:
    """Send ``pieces`` as they come, in a chunked body.

    What may be ``endless`` ends when the client ends its side of the connection: it may never have anything to send,
    and would not find out that nobody is there.

    With ``at_once`` the header goes out right away (logs, events); else with the first piece, so that an error before
    it still has a status of its own (pull, export). An error later breaks the body off, so that the client sees that
    it is not whole.
    """
    response = web.StreamResponse(headers={"Content-Type": content_type})
    try:
        if at_once:
            await response.prepare(request)
        if endless and isinstance(request.protocol, Connection):
            request.protocol.tie()
        async for piece in pieces:
            if not response.prepared:
                await response.prepare(request)
            await response.write(piece)
        if not response.prepared:
            await response.prepare(request)
    except ShoalError as error:
        if not response.prepared:
            raise
        _log.info("%s broke off: %s", request.path, error)
        _break_off(request)
    finally:
        await _close(pieces)
    return response


async def stream_json(
    request: web.Request, items: AsyncIterator[object], *, at_once: bool = True, endless: bool = False
) -> web.StreamResponse:
    """Send ``items`` as JSON, a line each, as they come. ``at_once`` and ``endless`` as with :func:`stream_bytes`.

    An error after the header is sent as a last line with ``errorDetail`` and ``error``, which clients of progress
    streams look for.
    """
    return await stream_bytes(request, _lines(items, at_once), content_type=JSON, at_once=at_once, endless=endless)


async def _lines(items: AsyncIterator[object], begun: bool) -> AsyncIterator[bytes]:
    try:
        async for item in items:
            yield encode(item) + b"\r\n"
            begun = True
    except ShoalError as error:
        if not begun:
            raise
        yield encode({"errorDetail": {"message": str(error)}, "error": str(error)}) + b"\r\n"
    finally:
        await _close(items)


async def _close(pieces: AsyncIterator[object]) -> None:
    """An abandoned generator runs its ``finally`` now, and not when the collector finds it."""
    if (close := getattr(pieces, "aclose", None)) is not None:
        await close()


def _break_off(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
