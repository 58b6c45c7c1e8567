"""etcd's calls, and the pieces that requests are made of."""

from shoal.store.etcd.pb.rpc_pb2 import (
    Compare,
    DeleteRangeRequest,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseRevokeRequest,
    LeaseRevokeResponse,
    PutRequest,
    RangeRequest,
    RangeResponse,
    RequestOp,
    TxnRequest,
    TxnResponse,
)
from shoal.wire.rpc import Duplex, Unary

RANGE = Unary("etcdserverpb.KV/Range", RangeRequest, RangeResponse)
TXN = Unary("etcdserverpb.KV/Txn", TxnRequest, TxnResponse)
GRANT = Unary("etcdserverpb.Lease/LeaseGrant", LeaseGrantRequest, LeaseGrantResponse)
REVOKE = Unary("etcdserverpb.Lease/LeaseRevoke", LeaseRevokeRequest, LeaseRevokeResponse)
KEEP_ALIVE = Duplex("etcdserverpb.Lease/LeaseKeepAlive", LeaseKeepAliveRequest, LeaseKeepAliveResponse)


def end_of(prefix: bytes) -> bytes:
    """The ``range_end`` that makes a range of all keys with that prefix; it must not end in 0xff."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def put(key: bytes, value: bytes, *, lease: int = 0) -> RequestOp:
    """The key has this value now."""
    return RequestOp(request_put=PutRequest(key=key, value=value, lease=lease))


def delete(key: bytes) -> RequestOp:
    """The key is gone, if it was there."""
    return RequestOp(request_delete_range=DeleteRangeRequest(key=key))


def delete_all(prefix: bytes) -> RequestOp:
    """All keys with that prefix are gone."""
    return RequestOp(request_delete_range=DeleteRangeRequest(key=prefix, range_end=end_of(prefix)))


def get(key: bytes) -> RequestOp:
    """Read the key, in a transaction."""
    return RequestOp(request_range=RangeRequest(key=key))


def created_at(key: bytes, revision: int) -> Compare:
    """The key has been there since that revision of etcd's; 0 for: it is not there."""
    return Compare(
        key=key, target=Compare.CompareTarget.CREATE, result=Compare.CompareResult.EQUAL, create_revision=revision
    )


def valued(key: bytes, value: bytes) -> Compare:
    """The key has this value."""
    return Compare(key=key, target=Compare.CompareTarget.VALUE, result=Compare.CompareResult.EQUAL, value=value)


def valued_between(key: bytes, low: bytes, high: bytes) -> list[Compare]:
    """The key's value sorts after ``low`` and before ``high``."""
    target = Compare.CompareTarget.VALUE
    return [
        Compare(key=key, target=target, result=Compare.CompareResult.GREATER, value=low),
        Compare(key=key, target=target, result=Compare.CompareResult.LESS, value=high),
    ]
