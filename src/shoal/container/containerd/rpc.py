"""containerd's errors as ours; its calls are declared with :mod:`shoal.wire.rpc`."""

import grpc

from shoal.errors import (
    Conflict,
    FailedPrecondition,
    Forbidden,
    Internal,
    InvalidArgument,
    NoRoom,
    NotFound,
    ShoalError,
    Unavailable,
    Unimplemented,
)

# containerd's errdefs to gRPC (its errdefs/grpc.go) and on to our kinds; what is not here is Internal.
KINDS: dict[grpc.StatusCode, type[ShoalError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgument,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
}

_UNKNOWN: dict[str, type[ShoalError]] = {
    "process already finished": NotFound,
    "cannot delete a running process": FailedPrecondition,
    "cannot delete a paused process": FailedPrecondition,
    # The shim has gone away in the middle of a call.
    "ttrpc: closed": Unavailable,
    # Somebody's bundle is there already.
    "failed to start shim: mkdir": Conflict,
    "no space left on device": NoRoom,
    "disk quota exceeded": NoRoom,
}


def translated(error: grpc.aio.AioRpcError) -> ShoalError:
    """The error of ours that stands for ``error``; the caller chains it.

    Some errors of the shim's arrive as UNKNOWN, or do so in some versions; their texts tell.
    """
    text = error.details() or error.code().name
    if error.code() is grpc.StatusCode.UNKNOWN:
        return next((kind(text) for words, kind in _UNKNOWN.items() if words in text), Internal(text))
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(f"containerd went away in the middle of this, try again: {text}")
    if error.code() is grpc.StatusCode.CANCELLED:
        # Our own cancellation is asyncio.CancelledError; this one is the server's, on its way down.
        return Unavailable(text)
    return KINDS.get(error.code(), Internal)(text)
