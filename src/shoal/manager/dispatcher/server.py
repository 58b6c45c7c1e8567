"""The port that nodes dial (2377): mutual TLS, one WebSocket a session, MessagePack inside."""

import logging
import ssl
from collections.abc import Callable

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from shoal.errors import Conflict, ShoalError
from shoal.manager.dispatcher.dispatcher import Dispatcher
from shoal.wire.cluster import FromManager, Hello, from_agent, pack

_log = logging.getLogger(__name__)

MESSAGE_LIMIT = 256 * 1024 * 1024


class _WebSocket:
    """A session's connection over a WebSocket."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def send(self, message: FromManager) -> None:
        if self._socket.closed:
            raise ConnectionResetError("the session is closed")
        await self._socket.send_bytes(pack(message))

    async def close(self) -> None:
        await self._socket.close(code=WSCloseCode.GOING_AWAY)


class DispatcherServer:
    """Serves a dispatcher on TCP; ``identify`` reads the node's id from the certificate it came with."""

    def __init__(
        self, *, dispatcher: Dispatcher, tls: ssl.SSLContext, identify: Callable[[ssl.SSLObject], str]
    ) -> None:
        self._dispatcher = dispatcher
        self._tls = tls
        self._identify = identify
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen. Raises Conflict when the port is taken, in Docker's words."""
        app = web.Application()
        app.router.add_get("/v1/session", self._session)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=self._tls).start()
        except OSError as error:
            await self.stop()
            raise Conflict(f"listen tcp {host}:{port}: bind: {(error.strerror or str(error)).lower()}") from error

    async def stop(self) -> None:
        """End all sessions and stop listening."""
        await self._dispatcher.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        tls = request.transport.get_extra_info("ssl_object") if request.transport else None
        if tls is None:
            raise web.HTTPForbidden(text="nodes speak over TLS only")
        try:
            node_id = self._identify(tls)
        except ShoalError as error:
            raise web.HTTPForbidden(text=str(error)) from error
        socket = web.WebSocketResponse(max_msg_size=MESSAGE_LIMIT, heartbeat=None, compress=False)
        await socket.prepare(request)
        try:
            await self._converse(node_id, socket)
        except ShoalError as error:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=str(error).encode()[:120])
        except (ConnectionError, msgspec.DecodeError) as error:
            _log.info("the session with node %s broke: %s", node_id, error)
            await socket.close(code=WSCloseCode.PROTOCOL_ERROR)
        return socket

    async def _converse(self, node_id: str, socket: web.WebSocketResponse) -> None:
        hello = from_agent(await socket.receive_bytes())
        if not isinstance(hello, Hello):
            raise ConnectionError("the first message was no hello")
        session = await self._dispatcher.serve(node_id, _WebSocket(socket), hello)
        try:
            async for message in socket:
                if message.type is not WSMsgType.BINARY:
                    break
                await self._dispatcher.receive(session, from_agent(message.data))
        finally:
            self._dispatcher.end(session)
