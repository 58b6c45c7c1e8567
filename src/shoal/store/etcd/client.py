"""A connection to an etcd of one or several members: each question goes to one that answers."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from shoal.aio.tasks import cancel, spawn
from shoal.errors import Conflict, FailedPrecondition, Forbidden, Internal, NoRoom, NotFound, ShoalError, Unavailable
from shoal.store.etcd.address import TLS, Address
from shoal.store.etcd.pb.rpc_pb2 import WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse
from shoal.wire.rpc import Duplex, Unary

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)

# How long one member is given for an answer, and how long all of them together: etcd needs one to two seconds for
# the election of a leader.
ATTEMPT_SECONDS = 2.0
PATIENCE_SECONDS = 6.0
_PAUSE = 0.05
# A watch that is silent for so long is asked whether it is there, and left for another member after twice that.
_QUIET_SECONDS = 1.5

_WATCH = Duplex("etcdserverpb.Watch/Watch", WatchRequest, WatchResponse)
# A member that is cut off from the others ends its watches, rather than to be silent.
_HAS_LEADER = (("hasleader", "true"),)

_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Of the machine's environment nothing but names is used: a proxy is for what is outside.
    ("grpc.enable_http_proxy", 0),
]

# What gRPC says of a call for which there was no connection, and etcd of a request that it has not begun.
_NOT_BEGUN = ("failed to connect to all addresses", "etcdserver: no leader", "etcdserver: too many requests")
# What is no answer of etcd's either, under codes that mean something else.
_BROKEN = ("too many requests", "Internal error from Core")
_TOO_LARGE = ("etcdserver: request is too large", "received message larger than max")
# What it says of members that shall come, go or be promoted.
_MEMBERSHIP: dict[str, type[ShoalError]] = {
    "which is in sync with leader": Unavailable,
    "not enough started members": Unavailable,
    "unhealthy cluster": Unavailable,
    "too many learner members": Conflict,
    "Peer URLs already exists": Conflict,
    "member ID already exist": Conflict,  # the same: an id is made of URL and second
    "can only promote a learner member": Conflict,
}
_PASSING = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.ABORTED,
)


class Unanswered(Unavailable):
    """One member gave no answer. ``begun``: it may have done, or may still do, what it was asked."""

    def __init__(self, why: str, *, begun: bool) -> None:
        super().__init__(f"no quorum of the swarm's managers answers: {why}")
        self.begun = begun


class Compacted(ShoalError):
    """What was asked for is too old: etcd has forgotten it."""


class Etcd:
    """A connection, made inside the event loop that uses it, closed by :meth:`close`. It mends itself.

    ``attempt`` seconds are what one member is given for an answer, ``patience`` what all of them are.
    """

    def __init__(
        self,
        address: Address,
        *,
        tls: TLS | None = None,
        attempt: float = ATTEMPT_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.attempt = attempt
        self.patience = patience
        self._endpoints = address.endpoints
        self._credentials = tls.credentials() if tls else None
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._current = 0

    async def close(self) -> None:
        """Close the connection; calls under way end with an error."""
        for channel in self._channels.values():
            await channel.close()

    async def ask(self, method: Unary[Req, Resp], request: Req) -> Resp:
        """One question to one member. Raises :class:`Unanswered`, and the next one goes to another member; any other
        error is etcd's answer."""
        stub = self._channel().unary_unary(
            f"/{method.path}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        asked = self._current
        try:
            return await stub(request, timeout=self.attempt)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error, asked) from error

    async def ask_patiently(self, method: Unary[Req, Resp], request: Req) -> Resp:
        """A question that may be put more than once: to each member in turn, until one answers.

        Raises :class:`Unanswered` when there is no patience left.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.patience
        while True:
            try:
                return await self.ask(method, request)
            except Unanswered:
                if loop.time() + _PAUSE > deadline:
                    raise
            await asyncio.sleep(_PAUSE)

    async def ask_streaming(self, method: Duplex[Req, Resp], request: Req, *, timeout: float) -> Resp:
        """As :meth:`ask`, of a method that takes a stream of questions and is asked a single one."""
        stub = self._channel().stream_stream(
            f"/{method.path}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )
        asked = self._current
        call = stub(timeout=timeout)
        try:
            await call.write(request)
            answer = await call.read()
        except grpc.aio.AioRpcError as error:
            raise self._translated(error, asked) from error
        finally:
            call.cancel()
        if not isinstance(answer, method.response):
            raise Unanswered("the stream ended", begun=True)
        return answer

    async def watch(self, wanted: WatchCreateRequest) -> AsyncGenerator[WatchResponse, None]:
        """What one member tells of a watch, the first answer being that it has begun. Raises :class:`Unanswered` when
        it ends, or falls silent."""
        stub = self._channel().stream_stream(
            f"/{_WATCH.path}",
            request_serializer=WatchRequest.SerializeToString,
            response_deserializer=WatchResponse.FromString,
        )
        asked = self._current
        call = stub(metadata=_HAS_LEADER)
        reading: asyncio.Task[WatchResponse | Unanswered] | None = None
        try:
            await call.write(WatchRequest(create_request=wanted))
            while True:
                reading = spawn(_read(call), name="etcd watch")
                quiet = 0
                while not (await asyncio.wait([reading], timeout=_QUIET_SECONDS))[0]:
                    if quiet:
                        self._leave(asked)
                        raise Unanswered("a watch fell silent", begun=False)
                    quiet += 1
                    await call.write(WatchRequest(progress_request=WatchProgressRequest()))
                answer = await reading
                if isinstance(answer, Unanswered):
                    self._leave(asked)
                    raise answer
                yield answer
        except grpc.aio.AioRpcError as error:
            raise self._translated(error, asked) from error
        except asyncio.InvalidStateError as error:
            # gRPC's word for writing on a stream that has just ended.
            raise Unanswered("a watch ended", begun=False) from error
        finally:
            call.cancel()
            await cancel(reading)

    def _channel(self) -> grpc.aio.Channel:
        endpoint = self._endpoints[self._current]
        if (channel := self._channels.get(endpoint)) is None:
            if self._credentials is None:
                channel = grpc.aio.insecure_channel(_target(endpoint), options=_OPTIONS)
            else:
                channel = grpc.aio.secure_channel(_target(endpoint), self._credentials, options=_OPTIONS)
            self._channels[endpoint] = channel
        return channel

    def _leave(self, asked: int) -> None:
        """Turn to the next member, unless somebody has done so already."""
        if self._current == asked:
            self._current = (asked + 1) % len(self._endpoints)

    def _translated(self, error: grpc.aio.AioRpcError, asked: int) -> ShoalError:
        translation = translated(error, self._endpoints[asked])
        if isinstance(translation, Unanswered):
            self._leave(asked)
        return translation


async def _read(call: grpc.aio.StreamStreamCall[Any, WatchResponse]) -> WatchResponse | Unanswered:
    try:
        answer = await call.read()
    except grpc.aio.AioRpcError as error:
        return Unanswered(error.details() or error.code().name, begun=False)
    return answer if isinstance(answer, WatchResponse) else Unanswered("a watch ended", begun=False)


def _target(endpoint: str) -> str:
    return endpoint if endpoint.startswith("unix:") else f"dns:///{endpoint}"


def translated(error: grpc.aio.AioRpcError, endpoint: str) -> ShoalError:
    """The error of ours that stands for ``error``; the caller chains it. The texts are of etcd's
    etcdserver/api/v3rpc/rpctypes/error.go."""
    code, text = error.code(), error.details() or error.code().name
    if any(words in text for words in _TOO_LARGE):
        return FailedPrecondition(
            "this changes more at once than etcd takes: start it with a higher --max-request-bytes (less than 10 MiB, "
            f"or etcd 3.4 cannot read its own log): {text}"
        )
    if "too many operations" in text:
        return FailedPrecondition(f"etcd has to be started with --max-txn-ops of 128, its default, or more ({text})")
    if "database space exceeded" in text:
        return NoRoom(
            "etcd's database is full, so nothing can be changed: compact and defragment it and disarm its alarm, or "
            f"start it with a higher --quota-backend-bytes ({text})"
        )
    for words, kind in _MEMBERSHIP.items():
        if words in text:
            return kind(f"etcd's members are not changed now: {text}")
    if "has been compacted" in text or "is a future revision" in text:
        return Compacted(text)
    if code in _PASSING or any(words in text for words in _BROKEN):
        return Unanswered(f"{endpoint}: {text}", begun=not any(words in text for words in _NOT_BEGUN))
    if code is grpc.StatusCode.NOT_FOUND:
        return NotFound(text)
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return Forbidden(f"etcd at {endpoint} does not let us in: {text}")
    return Internal(f"etcd at {endpoint}: {text}")
