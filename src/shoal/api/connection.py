"""The server's side of one connection: aiohttp's, with what the clients of a Go server may count on besides.

- A client may end its side once it has asked (half-close), and gets its answer. Streams that could go on for ever
  (events, logs that are followed, wait) end then, as dockerd's do.
- What is not HTTP is answered with 400 in Docker's form, not logged as an error of ours, and ends the connection.
- Who connects and asks nothing is let go after five minutes (dockerd's ``ReadHeaderTimeout``).
"""

import asyncio
import logging
import select
import socket
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

from shoal.api.app import HEADERS, error_response

_log = logging.getLogger(__name__)

_FIRST_REQUEST_SECONDS: Final = 300.0
_LINE_LIMIT: Final = 64 * 1024
"""Bytes of the request line, and of one header: credentials for a registry are long, and so are many filters."""

_UNREADABLE: Final = (HttpProcessingError, web.RequestPayloadError)


class Connection(web.RequestHandler):
    """What the listening sockets make for each client."""

    __slots__ = ("_answered", "_body", "_ended", "_patience", "_tied")

    def __init__(
        self,
        server: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        first_request_seconds: float = _FIRST_REQUEST_SECONDS,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # None is how aiohttp is told that there is no such log
            max_line_size=_LINE_LIMIT,
            max_field_size=_LINE_LIMIT,
            auto_decompress=False,  # as dockerd: what is compressed says so itself
        )
        self._answered = 0
        self._body: StreamReader | None = None
        self._ended = False
        self._tied = False
        self._patience = loop.call_later(first_request_seconds, self._lose_patience)

    @property
    def ended(self) -> bool:
        """Whether the client has ended its side."""
        return self._ended

    def tie(self) -> None:
        """The answer that has begun ends with the client's side of the connection, even if it has ended already."""
        self._tied = True
        if self._ended:
            self.force_close()

    def data_received(self, data: bytes) -> None:
        before, body = self._request_count, self._body
        super().data_received(data)
        if self._request_count == before:
            return
        if body is not None and not body.is_eof():
            # Nothing follows a body that has not ended but the news that it cannot be read: its reader waits for them.
            body.set_exception(web.RequestPayloadError("its body cannot be read"))
        self._body = self._messages[-1][1]

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's is so; aiohttp's never has anything to say
        """True keeps our side open: there is somebody who asked something, and may wait for the answer."""
        asked = self._request_count > self._answered and self._body is not None and self._body.is_eof()
        if not asked or self._tied or self.ssl_context is not None or _is_gone(self.transport):
            return False
        self._ended = True
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self._patience.cancel()
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):
            resp = _closing(resp)  # aiohttp's own, which no handler of ours has seen
        result = await super().finish_response(request, resp, start_time)
        self._answered += 1
        self._tied = False
        if self._ended and self._answered == self._request_count:
            self.close()
        return result

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what could not be read as a request."""
        if not isinstance(exc, _UNREADABLE) or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        _log.debug("not a request: %r", exc)
        return _closing(exc)

    def log_exception(self, *args: object, **kw: object) -> None:
        """What a client sends that is no body of a request is no error of ours."""
        if not isinstance(kw.get("exc_info"), _UNREADABLE):
            super().log_exception(*args, **kw)

    def _lose_patience(self) -> None:
        if not self._request_count:
            self.force_close()


def _closing(error: BaseException) -> web.Response:
    response = error_response(error)
    response.headers.update(HEADERS)
    response.force_close()
    return response


def _is_gone(transport: asyncio.BaseTransport | None) -> bool:
    """Whether the client has closed its socket and not only ended its side: a unix socket tells, TCP does not."""
    sock = transport.get_extra_info("socket") if transport is not None else None
    if sock is None:
        return True
    if sock.family != socket.AF_UNIX:
        return False
    poll = select.poll()
    poll.register(sock.fileno(), 0)
    return any(events & select.POLLHUP for _fd, events in poll.poll(0))
