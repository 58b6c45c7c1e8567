"""Streams to a manager: opened when it asks for one, since it cannot dial a node that may be behind NAT.

Each is a WebSocket of its own beside the session, and ends with it.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable

import aiohttp

from shoal.agent.dial import dialled
from shoal.aio.tasks import cancel, spawn
from shoal.errors import Internal, ShoalError
from shoal.wire.cluster import FAILED_CODE, STREAM, close_reason

_log = logging.getLogger(__name__)
# The manager says nothing in a stream.
_MESSAGE_LIMIT = 4096


class Stream:
    """The way into one stream."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: bytes) -> None:
        """Send a message; waits while the manager does not read. Raises ConnectionError when it is gone."""
        await self._socket.send_bytes(message)


class Streams:
    """The streams of one session."""

    def __init__(self, *, tls: ssl.SSLContext, server_name: str) -> None:
        self._tls = tls
        self._server_name = server_name
        self._open: set[asyncio.Task[None]] = set()

    def open(self, manager: str, stream_id: str, fill: Callable[[Stream], Awaitable[None]]) -> None:
        """Open the stream that the manager at that address asked for, and let ``fill`` send into it; the manager is
        told the text of the ShoalError that it may raise. It is cancelled when the manager closes the stream."""
        task = spawn(self._run(manager, stream_id, fill), name=f"stream {stream_id}")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def end(self) -> None:
        """End all streams: the session is over."""
        await cancel(*self._open)

    async def _run(self, manager: str, stream_id: str, fill: Callable[[Stream], Awaitable[None]]) -> None:
        url = f"https://{manager}{STREAM}{stream_id}"
        # However slowly the manager reads: what it has not read when the line ends is lost.
        line = dialled(url, tls=self._tls, server_name=self._server_name, most=_MESSAGE_LIMIT, farewell=None)
        try:
            async with line as socket:
                await _fill(socket, fill)
        except (aiohttp.ClientError, OSError) as error:
            _log.info("no stream to the manager at %s: %s", manager, error)


async def _fill(socket: aiohttp.ClientWebSocketResponse, fill: Callable[[Stream], Awaitable[None]]) -> None:
    """Until there is no more to send, or the manager says anything: it closes the stream, or its line is gone."""
    closing = spawn(socket.receive(), name="end of a stream")
    filling = spawn(_outcome(fill, Stream(socket)), name="filling of a stream")
    try:
        await asyncio.wait([closing, filling], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel(closing, filling)
    if filling.cancelled():
        return
    # What was no ShoalError has been logged by now.
    error = Internal("it failed there, see its log") if filling.exception() else filling.result()
    if error is None:
        await socket.close()
    else:
        await socket.close(code=FAILED_CODE, message=close_reason(error))


async def _outcome(fill: Callable[[Stream], Awaitable[None]], stream: Stream) -> ShoalError | None:
    try:
        await fill(stream)
    except ShoalError as error:
        return error
    except ConnectionError as error:
        _log.debug("a stream's manager has gone: %s", error)
    return None
