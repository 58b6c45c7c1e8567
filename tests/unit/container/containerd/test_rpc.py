"""gRPC's errors as ours."""

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from shoal import errors
from shoal.container.containerd.rpc import translated


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, "container x", errors.NotFound),
        (grpc.StatusCode.ALREADY_EXISTS, "container x", errors.Conflict),
        (grpc.StatusCode.FAILED_PRECONDITION, "in use", errors.FailedPrecondition),
        (grpc.StatusCode.UNAVAILABLE, "connection refused", errors.Unavailable),
        (grpc.StatusCode.CANCELLED, "going down", errors.Unavailable),
        (grpc.StatusCode.UNKNOWN, "process already finished: unknown", errors.NotFound),
        (grpc.StatusCode.UNKNOWN, "cannot delete a running process: unknown", errors.FailedPrecondition),
        (grpc.StatusCode.UNKNOWN, "OCI runtime create failed", errors.Internal),
        (grpc.StatusCode.DATA_LOSS, "", errors.Internal),
    ],
)
def test_kinds(code: grpc.StatusCode, text: str, kind: type[errors.ShoalError]) -> None:
    error = translated(AioRpcError(code, Metadata(), Metadata(), details=text))
    assert type(error) is kind
    assert str(error).endswith(text or code.name)
