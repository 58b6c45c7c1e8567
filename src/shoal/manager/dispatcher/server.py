"""The port that nodes dial (2377): TLS, one WebSocket a session, MessagePack inside; and what a machine asks to become
a node, or to stay one (:mod:`shoal.wire.admission`).

Sessions and renewals need a certificate of the swarm's. Who wants to join has none yet: it comes with a token.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from shoal.errors import Conflict, InvalidArgument, ShoalError, Unavailable
from shoal.manager.admission import Admission, Removed
from shoal.manager.dispatcher.dispatcher import Dispatcher
from shoal.manager.dispatcher.streams import Streams
from shoal.objects.base import decode, encode
from shoal.pki.identity import NodeIdentity
from shoal.store.etcd.members import Member
from shoal.wire.admission import (
    JOIN,
    QUORUM,
    RENEW,
    ROOT,
    JoinRequest,
    Quorum,
    Refusal,
    RenewalRequest,
    status_of,
)
from shoal.wire.cluster import ELSEWHERE_CODE, REMOVED_CODE, STREAM, FromManager, Hello, close_reason, from_agent, pack

_log = logging.getLogger(__name__)

# What an agent says is short: of 10,000 tasks at once, 4 MB.
_MESSAGE_LIMIT = 16 * 1024 * 1024
# A token and a certificate's request are a few hundred bytes.
_REQUEST_LIMIT = 64 * 1024
# Who has shown no certificate yet, or has not said hello, has so long to say it, in seconds; and to hear a farewell.
_PATIENCE, _PART = 10.0, 1.0
_IDLE = 60.0
R = TypeVar("R", JoinRequest, RenewalRequest)


class Elsewhere(Unavailable):
    """This manager does not lead, and the nodes' sessions are the leader's: it is at ``leader``, if that is known."""

    def __init__(self, leader: str) -> None:
        super().__init__(f"this manager does not lead the swarm: {leader or 'nobody does, for now'}")
        self.leader = leader


class NodeSocket:
    """A session's connection over a WebSocket. A node that does not read must hold up nobody but itself."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._socket = socket
        self._transport = transport

    async def send(self, message: FromManager) -> None:
        if self._socket.closed:
            raise ConnectionResetError("the session is closed")
        try:
            await self._socket.send_bytes(pack(message))
        except asyncio.CancelledError:
            _raise_own_cancellation()
            raise ConnectionResetError("the session is closed") from None

    async def close(self, *, removed: bool = False) -> None:
        try:
            async with asyncio.timeout(_PART):
                await self._socket.close(code=REMOVED_CODE if removed else WSCloseCode.GOING_AWAY, drain=False)
        except asyncio.CancelledError:
            _raise_own_cancellation()
        except (TimeoutError, ConnectionError) as error:
            _log.debug("a session's end was not heard: %s", error)
        finally:
            self._transport.abort()


def _raise_own_cancellation() -> None:
    """To be called where CancelledError was caught: aiohttp's writers share one future, so that one of them that was
    cancelled, waiting for a node that does not read, cancels the others with it."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


class DispatcherServer:
    """A manager's port on TCP; ``identify`` reads who a node is from the certificate it came with.

    ``dispatcher`` gives the leader's own, or raises :class:`Elsewhere`; ``seats`` the quorum's members.
    """

    def __init__(
        self,
        *,
        dispatcher: Callable[[], Dispatcher],
        streams: Streams,
        admission: Admission,
        seats: Callable[[], Awaitable[Sequence[Member]]],
        tls: ssl.SSLContext,
        identify: Callable[[ssl.SSLObject], NodeIdentity],
    ) -> None:
        self._dispatcher = dispatcher
        self._streams = streams
        self._seats = seats
        self._admission = admission
        self._tls = tls
        self._identify = identify
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises Conflict when the port is taken, in Docker's words."""
        app = web.Application(client_max_size=_REQUEST_LIMIT)
        app.router.add_get("/v1/session", self._session)
        app.router.add_get(STREAM + "{id}", self._stream)
        app.router.add_get(ROOT, self._root)
        app.router.add_post(JOIN, self._join)
        app.router.add_post(RENEW, self._renew)
        app.router.add_get(QUORUM, self._quorum)
        self._runner = web.AppRunner(
            app, handle_signals=False, access_log=None, shutdown_timeout=1, keepalive_timeout=_IDLE
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=self._tls).start()
        except OSError as error:
            await self.stop()
            raise Conflict(f"listen tcp {host}:{port}: bind: {(error.strerror or str(error)).lower()}") from error

    async def stop(self) -> None:
        """Stop listening; the sessions are ended before."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _root(self, request: web.Request) -> web.Response:
        return _answer(encode(self._admission.root()))

    async def _join(self, request: web.Request) -> web.Response:
        try:
            return _answer(encode(await self._admission.join(await _asked(request, JoinRequest))))
        except ShoalError as error:
            _log.info("%s may not join: %s", request.remote, error)
            return _refusal(error)

    async def _renew(self, request: web.Request) -> web.Response:
        try:
            node = self._identify(_tls(request))
            return _answer(encode(await self._admission.renew(node, await _asked(request, RenewalRequest))))
        except ShoalError as error:
            return _refusal(error)

    async def _quorum(self, request: web.Request) -> web.Response:
        try:
            node = self._identify(_tls(request))
            node.require_manager()
            members = {seat.peer_url: seat.name for seat in await self._seats()}
            # Only now this manager knows for certain that it is not behind the others.
            self._admission.check_manager(node)
            return _answer(encode(Quorum(members=members)))
        except ShoalError as error:
            return _refusal(error)

    def _node_id(self, request: web.Request) -> str:
        try:
            return self._identify(_tls(request)).node_id
        except ShoalError as error:
            raise web.HTTPForbidden(text=str(error)) from error

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        try:
            return await self._streams.serve(self._node_id(request), request.match_info["id"], request)
        except ShoalError as error:
            raise web.HTTPForbidden(text=str(error)) from error

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        node_id = self._node_id(request)
        # Whoever is let go and goes on talking has a second to notice.
        socket = web.WebSocketResponse(max_msg_size=_MESSAGE_LIMIT, timeout=1.0, heartbeat=None, compress=False)
        await socket.prepare(request)
        try:
            await self._converse(node_id, socket, request)
        except Elsewhere as error:
            await socket.close(code=ELSEWHERE_CODE, message=error.leader.encode())
        except Removed as error:
            await socket.close(code=REMOVED_CODE, message=close_reason(error))
        except ShoalError as error:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=close_reason(error))
        except (ConnectionError, TimeoutError, msgspec.DecodeError, RecursionError) as error:
            _log.info("the session with node %s broke: %s", node_id, error)
            await socket.close(code=WSCloseCode.PROTOCOL_ERROR)
        return socket

    async def _converse(self, node_id: str, socket: web.WebSocketResponse, request: web.Request) -> None:
        first = await socket.receive(timeout=_PATIENCE)
        hello = from_agent(first.data) if first.type is WSMsgType.BINARY else None
        if not isinstance(hello, Hello):
            raise ConnectionError("the first message was no hello")
        if request.transport is None:
            raise ConnectionError("the node has gone")
        dispatcher = self._dispatcher()
        session = await dispatcher.serve(node_id, NodeSocket(socket, request.transport), hello)
        try:
            async for message in socket:
                if message.type is not WSMsgType.BINARY:
                    break
                await dispatcher.receive(session, from_agent(message.data))
        finally:
            dispatcher.end(session)


def _tls(request: web.Request) -> ssl.SSLObject:
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    if tls is None:
        raise web.HTTPForbidden(text="nodes speak over TLS only")
    found: ssl.SSLObject = tls
    return found


async def _asked(request: web.Request, kind: type[R]) -> R:
    try:
        async with asyncio.timeout(_PATIENCE):
            return decode(await request.read(), kind)
    except TimeoutError as error:
        raise InvalidArgument("the request does not come to its end") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise InvalidArgument("the request is too large") from error


def _answer(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def _refusal(error: ShoalError) -> web.Response:
    return _answer(encode(Refusal(message=str(error))), status_of(error))
