"""etcd's errors as ours."""

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from shoal import errors
from shoal.store.etcd.client import Compacted, Unanswered, translated


def error(code: grpc.StatusCode, text: str) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details=text)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: request is too large", errors.FailedPrecondition),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max", errors.FailedPrecondition),
        (grpc.StatusCode.INVALID_ARGUMENT, "etcdserver: too many operations in txn", errors.FailedPrecondition),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", errors.NoRoom),
        (grpc.StatusCode.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", Compacted),
        (grpc.StatusCode.NOT_FOUND, "etcdserver: requested lease not found", errors.NotFound),
        (grpc.StatusCode.PERMISSION_DENIED, "etcdserver: permission denied", errors.Forbidden),
        (grpc.StatusCode.INTERNAL, "boom", errors.Internal),
    ],
)
def test_an_answer_is_of_a_kind_and_keeps_its_text(
    code: grpc.StatusCode, text: str, kind: type[errors.ShoalError]
) -> None:
    found = translated(error(code, text), "a:1")
    assert type(found) is kind and text in str(found)


@pytest.mark.parametrize(
    ("code", "text", "begun"),
    [
        (grpc.StatusCode.UNAVAILABLE, "failed to connect to all addresses; last error: refused", False),
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: no leader", False),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "etcdserver: too many requests", False),
        (grpc.StatusCode.UNAVAILABLE, "etcdserver: request timed out", True),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", True),
        (grpc.StatusCode.UNKNOWN, "context deadline exceeded", True),
    ],
)
def test_no_answer_says_whether_it_can_have_been_done(code: grpc.StatusCode, text: str, begun: bool) -> None:
    found = translated(error(code, text), "a:1")
    assert isinstance(found, Unanswered) and found.begun is begun
    assert f"a:1: {text}" in str(found)
