"""Tracked connections of a namespace over ctnetlink: list, count, and cut those that lead to a dead backend.

A translated connection goes on to its backend after the rule that sent it there is gone; only its entry's removal
makes the next packet be translated anew (nfnetlink_conntrack.h).
"""

import struct
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from shoal.kernel import netlink_codec as nl
from shoal.kernel.faults import KernelError, KernelNotFound
from shoal.kernel.netlink_socket import NETLINK_NETFILTER, Change, NetlinkSocket
from shoal.kernel.records import IPAddress

_SUBSYSTEM = 1 << 8
_GET, _DELETE, _GET_STATISTICS = _SUBSYSTEM | 1, _SUBSYSTEM | 2, _SUBSYSTEM | 5
_NFGEN = struct.Struct("=BxH")
_ORIGINAL, _REPLY, _MARK, _ID, _ZONE = 1, 2, 8, 12, 18
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_V4_SRC, _V4_DST, _V6_SRC, _V6_DST = 1, 2, 3, 4
_PROTO_NUM, _PROTO_SPORT, _PROTO_DPORT = 1, 2, 3
_ENTRIES = 1  # CTA_STATS_GLOBAL_ENTRIES


@dataclass(frozen=True, slots=True)
class Tuple:
    """One direction of a connection; ports are 0 where the protocol has none."""

    src: IPAddress
    dst: IPAddress
    sport: int
    dport: int


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection: as the client sees it, and where the replies come from; ``protocol`` is IPPROTO_*."""

    protocol: int
    original: Tuple
    reply: Tuple
    mark: int
    key: bytes  # the attributes by which the kernel knows it


class Conntrack:
    """The connections of one namespace; it keeps the namespace alive until closed."""

    def __init__(self, sock: NetlinkSocket) -> None:
        self._socket = sock

    @classmethod
    def open(cls, path: Path | None) -> "Conntrack":
        """A socket in the namespace at ``path`` (None: the thread's own). Raises NotFound."""
        return cls(NetlinkSocket(NETLINK_NETFILTER, path))

    def close(self) -> None:
        """Let the namespace go; closing twice is fine."""
        self._socket.close()

    def flows(self) -> list[Flow]:
        """All connections, both families."""
        flows = (_decode_flow(frame.body) for frame in self._socket.dump(_GET, _NFGEN.pack(0, 0)))
        return [flow for flow in flows if flow]

    def count(self) -> int:
        """How many connections there are."""
        answer = self._socket.ask(_GET_STATISTICS, _NFGEN.pack(0, 0), "count the connections")
        return int.from_bytes(nl.attributes(answer.body, _NFGEN.size)[_ENTRIES], "big")

    def forget_backends(self, backends: Collection[IPAddress], protocol: int | None = None) -> int:
        """Forget the translated connections (of one protocol, or of all) whose replies come from one of ``backends``,
        and return how many."""
        return self._forget(
            flow
            for flow in self.flows()
            if flow.reply.src in backends
            and flow.reply.src != flow.original.dst
            and (protocol is None or flow.protocol == protocol)
        )

    def _forget(self, flows: Iterable[Flow]) -> int:
        changes = [
            Change(
                _DELETE, 0, _NFGEN.pack(2 if flow.original.src.version == 4 else 10, 0) + flow.key, "cut a connection"
            )
            for flow in flows
        ]
        failures = self._socket.attempt(changes)
        serious: list[KernelError] = [f.error for f in failures if not isinstance(f.error, KernelNotFound)]
        if serious:
            raise serious[0]
        return len(changes) - len(failures)  # the others ended by themselves meanwhile


def _decode_flow(body: bytes) -> Flow | None:
    attrs = nl.attributes(body, _NFGEN.size)
    protocol, original = _decode_tuple(attrs[_ORIGINAL])
    _protocol, reply = _decode_tuple(attrs[_REPLY])
    if original is None or reply is None:
        return None
    key = b"".join(
        nl.nest(t, attrs[t]) if t == _ORIGINAL else nl.attr(t, attrs[t]) for t in (1, _ID, _ZONE) if t in attrs
    )
    return Flow(protocol, original, reply, int.from_bytes(attrs.get(_MARK, b""), "big"), key)


def _decode_tuple(raw: bytes) -> tuple[int, Tuple | None]:
    attrs = nl.attributes(raw)
    ip, proto = nl.attributes(attrs[_TUPLE_IP]), nl.attributes(attrs[_TUPLE_PROTO])
    src, dst = ip.get(_V4_SRC) or ip.get(_V6_SRC), ip.get(_V4_DST) or ip.get(_V6_DST)
    if src is None or dst is None:
        return 0, None
    sport, dport = (int.from_bytes(proto.get(t, b""), "big") for t in (_PROTO_SPORT, _PROTO_DPORT))
    return proto[_PROTO_NUM][0], Tuple(ip_address(src), ip_address(dst), sport, dport)
