"""Streams from nodes: a manager cannot dial a node, so it asks over the node's session, and the node dials back.

A stream is a WebSocket of its own, so that what it carries holds up no heartbeat, and TCP holds up a node that sends
faster than somebody reads. Only the node that was asked may open it, once and soon. Streams end with the node's
session: that is how whoever reads knows that a machine is dead.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from aiohttp import WSCloseCode, WSMsgType, web

from shoal.errors import FailedPrecondition, Forbidden, Unavailable
from shoal.objects.ids import swarm_id
from shoal.wire.cluster import FAILED_CODE, STREAM_BEAT, STREAM_MESSAGE_LIMIT

# How long a node may take to dial, in seconds; and to say anything at all while it has nothing to send.
_DIAL = 5.0
_SILENCE = STREAM_BEAT * 5
# So many connections at once a node makes in time, even a small one.
_AT_ONCE = 8


class NodeStream:
    """What one node sends into a stream that it was asked for."""

    def __init__(self, node_id: str, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._node_id = node_id
        self._socket = socket
        self._transport = transport
        self.over = asyncio.Event()

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """What comes, to its end. Raises Unavailable when the line breaks or the node falls silent, FailedPrecondition
        with the node's reason when it cannot go on."""
        while True:
            try:
                message = await self._socket.receive(timeout=_SILENCE)
            except TimeoutError as error:
                raise self._lost() from error
            if message.type is WSMsgType.BINARY:
                yield message.data
            elif message.type is WSMsgType.CLOSE and message.data == WSCloseCode.OK:
                return
            elif message.type is WSMsgType.CLOSE and message.data == FAILED_CODE:
                raise FailedPrecondition(f"node {self._node_id}: {message.extra}")
            else:
                raise self._lost()

    def _lost(self) -> Unavailable:
        return Unavailable(f"node {self._node_id} is not available")

    def close(self) -> None:
        """Nobody reads any more: the node sees its line end, and stops."""
        self.over.set()
        self._transport.abort()


class Streams:
    """The streams of one manager: those that nodes were asked for, and those that they have opened. A node is given
    ``patience`` seconds to dial."""

    def __init__(self, *, patience: float = _DIAL) -> None:
        self._patience = patience
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._asked: dict[str, tuple[str, asyncio.Future[NodeStream]]] = {}
        self._open: dict[str, set[NodeStream]] = {}

    async def open(self, node_id: str, ask: Callable[[str], Awaitable[None]]) -> NodeStream:
        """Have the node open a stream: ``ask`` tells it the id. The caller closes it. Raises Unavailable when the node
        does not dial in time."""
        async with self._turns.setdefault(node_id, asyncio.Semaphore(_AT_ONCE)):
            return await self._dialled(node_id, ask)

    async def _dialled(self, node_id: str, ask: Callable[[str], Awaitable[None]]) -> NodeStream:
        stream_id = swarm_id()
        dialled: asyncio.Future[NodeStream] = asyncio.get_running_loop().create_future()
        self._asked[stream_id] = (node_id, dialled)
        try:
            async with asyncio.timeout(self._patience):
                await ask(stream_id)
                return await dialled
        except BaseException as error:
            if dialled.done() and not dialled.cancelled() and dialled.exception() is None:
                dialled.result().close()
            if isinstance(error, ConnectionError | TimeoutError):
                raise Unavailable(f"node {node_id} is not available") from error
            raise
        finally:
            self._asked.pop(stream_id, None)

    async def serve(self, node_id: str, stream_id: str, request: web.Request) -> web.WebSocketResponse:
        """A node dials; its connection is whoever's who asked until that one is done with it. Raises Forbidden for a
        stream that this node was not asked for."""
        asked_of, dialled = self._asked.get(stream_id, ("", None))
        transport = request.transport
        if dialled is None or asked_of != node_id or transport is None:
            raise Forbidden("nobody has asked this node for that stream")
        del self._asked[stream_id]
        socket = web.WebSocketResponse(max_msg_size=STREAM_MESSAGE_LIMIT, heartbeat=None, compress=False)
        await socket.prepare(request)
        stream = NodeStream(node_id, socket, transport)
        if dialled.done():
            stream.close()
            return socket
        streams = self._open.setdefault(node_id, set())
        streams.add(stream)
        dialled.set_result(stream)
        try:
            await stream.over.wait()
        finally:
            streams.discard(stream)
        return socket

    def end(self, node_id: str) -> None:
        """The node's session is over, and with it all that it was asked for."""
        self._turns.pop(node_id, None)
        for stream in self._open.pop(node_id, set()):
            stream.close()
        for asked_of, dialled in self._asked.values():
            if asked_of == node_id and not dialled.done():
                dialled.set_exception(ConnectionResetError("the node's session is over"))
