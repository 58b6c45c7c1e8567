"""One rtnetlink socket in one namespace: read what is there, apply changes."""

import errno
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from shoal.kernel import netlink_codec as nl
from shoal.kernel import records as r
from shoal.kernel.faults import KernelInternal, KernelNotFound
from shoal.kernel.netlink_socket import NETLINK_ROUTE, Change, Failure, NetlinkSocket

_GETLINK, _GETADDR, _GETROUTE, _GETNEIGH, _GETRULE, _GETNSID = 18, 22, 26, 30, 34, 90
_NO_STATISTICS = nl.u32(r.IFLA_EXT_MASK, 8)  # RTEXT_FILTER_SKIP_STATS
_NSID, _NSID_FD = 1, 3  # NETNSA_NSID, NETNSA_FD


class Netlink:
    """The socket stays in its namespace wherever the thread goes, and keeps the namespace alive until closed."""

    def __init__(self, sock: NetlinkSocket) -> None:
        self._socket = sock

    @classmethod
    def open(cls, path: Path | None) -> "Netlink":
        """A socket in the namespace at ``path`` (None: the thread's own). Raises NotFound."""
        return cls(NetlinkSocket(NETLINK_ROUTE, path))

    def close(self) -> None:
        """Let the namespace go; closing twice is fine."""
        self._socket.close()

    def namespace(self) -> AbstractContextManager[int]:
        """A file descriptor of the socket's namespace, for a block, whether or not it has a name."""
        return self._socket.namespace()

    def apply(self, changes: Sequence[Change]) -> None:
        """Try every change, in order, and raise the first failure's error, whose text names the change.

        The kernel goes on after a failure, so what comes later in the batch was tried too; :meth:`attempt` tells.
        """
        self._socket.apply(changes)

    def attempt(self, changes: Sequence[Change]) -> list[Failure]:
        """Try every change, in order, whatever becomes of those before it; the failures, in order."""
        return self._socket.attempt(changes)

    def links(self) -> list[r.Link]:
        """All links, by index."""
        body = r.IFINFO.pack(0, 0, 0, 0, 0) + _NO_STATISTICS
        return [r.decode_link(frame.body) for frame in self._socket.dump(_GETLINK, body)]

    def link(self, link: int | str) -> r.Link | None:
        """One link, by name or index; None if there is none."""
        index = link if isinstance(link, int) else 0
        body = r.IFINFO.pack(0, 0, index, 0, 0) + _NO_STATISTICS
        if isinstance(link, str):
            body += nl.string(r.IFLA_IFNAME, link)
        try:
            return r.decode_link(self._socket.ask(_GETLINK, body, f"look for the link {link}").body)
        except KernelNotFound:
            return None

    def index(self, name: str) -> int:
        """A link's index. Raises NotFound."""
        body = r.IFINFO.pack(0, 0, 0, 0, 0) + _NO_STATISTICS + nl.string(r.IFLA_IFNAME, name)
        answer = self._socket.ask(_GETLINK, body, f"look for the link {name}")
        index: int = r.IFINFO.unpack_from(answer.body)[2]
        return index

    def addresses(self) -> list[r.Address]:
        """The addresses of all links, both families."""
        frames = self._socket.dump(_GETADDR, r.IFADDR.pack(0, 0, 0, 0, 0))
        return [r.decode_address(frame.body) for frame in frames if r.is_ip(frame.body)]

    def routes(self, table: int | None = None) -> list[r.Route]:
        """The routes of one table, or of all (main, local and the rest); an unknown table has none."""
        body = r.RTMSG.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)
        if table is not None:
            body += nl.u32(r.RTA_TABLE, table)
        frames = self._socket.dump(_GETROUTE, body)
        return [r.decode_route(frame.body) for frame in frames if r.is_ip(frame.body)]

    def rules(self) -> list[r.Rule]:
        """The policy rules, both families, the kernel's own three included."""
        frames = self._socket.dump(_GETRULE, r.RULE.pack(0, 0, 0, 0, 0, 0, 0))
        return [r.decode_rule(frame.body) for frame in frames if r.is_ip(frame.body)]

    def neighbours(self) -> list[r.Neighbour]:
        """The neighbour entries of all links, both families."""
        frames = self._socket.dump(_GETNEIGH, r.NDMSG.pack(0, 0, 0, 0, 0))
        return [r.decode_neighbour(frame.body) for frame in frames if r.is_ip(frame.body)]

    def fdb(self) -> list[r.FdbEntry]:
        """The forwarding entries of all bridges and VXLAN devices."""
        return [r.decode_fdb(f.body) for f in self._socket.dump(_GETNEIGH, r.NDMSG.pack(r.AF_BRIDGE, 0, 0, 0, 0))]

    def nsid_of(self, ns_fd: int) -> int | None:
        """The number by which this namespace knows another (``Link.peer_nsid``); None if it has none yet.

        Raises NotFound where the descriptor is no namespace's, such as that of a name's file without one.
        """
        doing = "look for a namespace's number"
        try:
            answer = self._socket.ask(_GETNSID, bytes(4) + nl.u32(_NSID_FD, ns_fd), doing)
        except KernelInternal as error:
            if error.errno != errno.EINVAL:
                raise
            raise KernelNotFound(f"{doing}: that is none", errno.ENOENT) from error
        nsid = nl.to_s32(nl.attributes(answer.body, 4)[_NSID])
        return None if nsid < 0 else nsid
