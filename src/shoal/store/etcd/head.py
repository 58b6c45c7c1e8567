"""The head: the one key that says which transaction is the last, and that every commit compares and writes.

Its value is the revision in 16 digits, a sign, and the transaction's id. The sign is ``/``, or ``+`` for a large
transaction whose changes are all in the pack and not yet in their objects' keys. Whoever made the head, a commit knows
from the revision alone which values it may find: those from ``0000000000000041/`` on, before ``00000000000000410``.
"""

from dataclasses import dataclass

from shoal.errors import Damaged
from shoal.store.etcd.calls import created_at, valued_between
from shoal.store.etcd.pb.rpc_pb2 import Compare

_DIGITS = 16


@dataclass(frozen=True)
class Head:
    """See above; revision 0 is that of a head which is not there."""

    revision: int
    id: str
    packed: bool = False

    @property
    def value(self) -> bytes:
        """As the key has it."""
        return f"{self.revision:0{_DIGITS}d}{'+' if self.packed else '/'}{self.id}".encode()

    @classmethod
    def parse(cls, value: bytes) -> "Head":
        """Raises Damaged for what is no head."""
        digits, sign, id_ = value[:_DIGITS], value[_DIGITS : _DIGITS + 1], value[_DIGITS + 1 :]
        if len(digits) != _DIGITS or not digits.isdigit() or sign not in (b"/", b"+") or not id_.isascii():
            raise Damaged(f"the head of the swarm's state in etcd is not one of ours: {value[:80]!r}")
        return cls(int(digits), id_.decode(), packed=sign == b"+")


NONE = Head(0, "")


def is_at(key: bytes, revision: int) -> list[Compare]:
    """That the head is at that revision, and no pack waits to be unpacked."""
    if revision == 0:
        return [created_at(key, 0)]
    digits = f"{revision:0{_DIGITS}d}".encode()
    return valued_between(key, digits + b"/", digits + b"0")
