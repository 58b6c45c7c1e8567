"""One connection to containerd, and the namespace in it that everything of ours lives in."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from shoal.aio.tasks import spawn
from shoal.container.containerd.pb.introspection_pb2 import PluginsRequest, PluginsResponse
from shoal.container.containerd.pb.version_pb2 import VersionResponse
from shoal.container.containerd.rpc import translated
from shoal.wire.rpc import Duplex, Streaming, Unary

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)
T = TypeVar("T")

NAMESPACE = "shoal"
HANG_UP_SECONDS = 5.0
# How long a call waits for a containerd that is away: one that died is back within a second.
AWAY_SECONDS = 5.0
_AWAY_PAUSE = 0.02
# What gRPC says of a call for which there was no connection: no server has seen it, so it may be made again.
_NEVER_SENT = "failed to connect to all addresses"

_VERSION = Unary("containerd.services.version.v1.Version/Version", Empty, VersionResponse)
_PLUGINS = Unary("containerd.services.introspection.v1.Introspection/Plugins", PluginsRequest, PluginsResponse)

# gRPC's own reconnection backs off to two minutes; containerd is back within a second.
_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 16 << 20),
]


class Containerd:
    """A connection; made inside the event loop that uses it, closed by :meth:`close`.

    Every call raises the kinds of ``shoal.errors`` with containerd's own text; Unavailable when nobody answers on the
    socket for ``away`` seconds, or containerd dies over it. The connection mends itself: a later call finds a
    containerd that came back.
    """

    def __init__(
        self, socket: str, *, namespace: str = NAMESPACE, owner: str = "shoal", away: float = AWAY_SECONDS
    ) -> None:
        self.socket = socket
        self.namespace = namespace
        # Which shoald it is, of several that may share a containerd.
        self.owner = owner
        self._away = away
        self._channel = grpc.aio.insecure_channel(f"unix://{socket}", options=_OPTIONS)

    async def close(self) -> None:
        """Close the connection; calls under way end with an error."""
        await self._channel.close()

    async def call(
        self,
        method: Unary[Req, Resp],
        request: Req,
        *,
        lease: str = "",
        timeout: float | None = None,
        patient: bool = False,
    ) -> Resp:
        """Ask, and return the answer. What it makes is held by ``lease``. ``timeout`` in seconds, none by default; with
        one, a containerd that is away is not waited for.

        A call goes to its end even if the caller is cancelled, who has to wait for it: a task whose making is called
        off halfway leaves mounts behind that containerd knows nothing of. A ``patient`` one, a question that may be
        answered at any time, is withdrawn instead; it waits for the connection, too, while there is none.
        """
        stub = self._channel.unary_unary(
            f"/{method.path}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )

        async def outcome() -> Resp | grpc.aio.AioRpcError:
            retry = self._retries(0 if timeout is not None else self._away)
            while True:
                try:
                    return await stub(request, metadata=self._metadata(lease), timeout=timeout, wait_for_ready=patient)
                except grpc.aio.AioRpcError as error:
                    if not await retry(error):
                        return error

        answer = await (outcome() if patient else _finished(outcome(), name=method.path))
        if isinstance(answer, grpc.aio.AioRpcError):
            raise translated(answer) from answer
        return answer

    async def stream(self, method: Streaming[Req, Resp], request: Req, *, patient: bool = False) -> AsyncIterator[Resp]:
        """Ask, and iterate over the answers; ``patient`` as in :meth:`call`."""
        stub = self._channel.unary_stream(
            f"/{method.path}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        retry = self._retries(self._away)
        while True:
            call = stub(request, metadata=self._metadata(""), wait_for_ready=patient)
            try:
                async for answer in call:
                    yield answer
                return
            except grpc.aio.AioRpcError as error:
                if not await retry(error):
                    raise translated(error) from error
            finally:
                call.cancel()

    async def converse(
        self, method: Duplex[Req, Resp], requests: AsyncIterable[Req], *, lease: str = ""
    ) -> AsyncIterator[Resp]:
        """Send each request once the one before has been answered, and iterate over the answers."""
        stub = self._channel.stream_stream(
            f"/{method.path}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        call = stub(metadata=self._metadata(lease))
        try:
            async for request in requests:
                await call.write(request)
                answer = await call.read()
                if not isinstance(answer, method.response):
                    break  # end of the stream: its status follows
                yield answer
            await call.done_writing()
            await call.read()  # raises the status, if it is an error
        except grpc.aio.AioRpcError as error:
            raise translated(error) from error
        finally:
            await _hung_up(call)

    async def version(self, *, timeout: float = 5.0) -> str:
        """The server's version; the cheapest way to see that it answers."""
        return (await self.call(_VERSION, Empty(), timeout=timeout)).version

    async def snapshotter(self) -> str:
        """``overlayfs`` where it works here, ``native`` (copies) where it does not."""
        answer = await self.call(_PLUGINS, PluginsRequest(filters=["type==io.containerd.snapshotter.v1,id==overlayfs"]))
        works = any(plugin.init_err.code == 0 for plugin in answer.plugins)
        return "overlayfs" if works else "native"

    def _retries(self, seconds: float) -> Callable[[grpc.aio.AioRpcError], Awaitable[bool]]:
        """Whether a call that ended so is to be made again, told after a pause; for that many seconds from now."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds

        async def retry(error: grpc.aio.AioRpcError) -> bool:
            if _NEVER_SENT not in (error.details() or "") or loop.time() > deadline:
                return False
            await asyncio.sleep(_AWAY_PAUSE)
            return True

        return retry

    def _metadata(self, lease: str) -> tuple[tuple[str, str], ...]:
        namespace = ("containerd-namespace", self.namespace)
        return (namespace, ("containerd-lease", lease)) if lease else (namespace,)


async def _hung_up(call: grpc.aio.StreamStreamCall[Any, Any]) -> None:
    """End a conversation, and wait until the other side has left it: while it still closes the blob that was being
    written, an attempt to clear that away fails."""
    try:
        async with asyncio.timeout(HANG_UP_SECONDS):
            if not call.done():
                await call.done_writing()
                while await call.read() is not grpc.aio.EOF:
                    pass
    except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    finally:
        call.cancel()


async def _finished(work: Coroutine[Any, Any, T], *, name: str) -> T:
    """Do ``work`` to its end; a cancellation takes effect after that."""
    task = spawn(work, name=name)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
