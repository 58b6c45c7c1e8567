"""One connection to containerd, and the namespace in it that everything of ours lives in."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from shoal.container.containerd.pb.introspection_pb2 import PluginsRequest, PluginsResponse
from shoal.container.containerd.pb.version_pb2 import VersionResponse
from shoal.container.containerd.rpc import Duplex, Streaming, Unary, translated

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

NAMESPACE = "shoal"

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
    socket. The connection mends itself: a later call finds a containerd that came back.
    """

    def __init__(self, socket: str, *, namespace: str = NAMESPACE) -> None:
        self.namespace = namespace
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
        wait: bool = False,
    ) -> Resp:
        """Ask, and return the answer. What it makes is held by ``lease``. ``timeout`` in seconds, none by default;
        ``wait`` waits for the connection instead of failing with Unavailable while there is none."""
        stub = self._channel.unary_unary(
            f"/{method.path}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            return await stub(request, metadata=self._metadata(lease), timeout=timeout, wait_for_ready=wait)
        except grpc.aio.AioRpcError as error:
            raise translated(error) from error

    async def stream(self, method: Streaming[Req, Resp], request: Req, *, wait: bool = False) -> AsyncIterator[Resp]:
        """Ask, and iterate over the answers; ``wait`` as in :meth:`call`."""
        stub = self._channel.unary_stream(
            f"/{method.path}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        call = stub(request, metadata=self._metadata(""), wait_for_ready=wait)
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
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
            call.cancel()

    async def version(self, *, timeout: float = 5.0) -> str:
        """The server's version; the cheapest way to see that it answers."""
        return (await self.call(_VERSION, Empty(), timeout=timeout)).version

    async def snapshotter(self) -> str:
        """``overlayfs`` where it works here, ``native`` (copies) where it does not."""
        answer = await self.call(_PLUGINS, PluginsRequest(filters=["type==io.containerd.snapshotter.v1,id==overlayfs"]))
        works = any(plugin.init_err.code == 0 for plugin in answer.plugins)
        return "overlayfs" if works else "native"

    def _metadata(self, lease: str) -> tuple[tuple[str, str], ...]:
        namespace = ("containerd-namespace", self.namespace)
        return (namespace, ("containerd-lease", lease)) if lease else (namespace,)
