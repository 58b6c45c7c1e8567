"""Open sockets into the namespaces of this node. All of it belongs to the one thread that works on the kernel."""

from collections.abc import Iterable
from pathlib import Path

from shoal.errors import NotFound
from shoal.kernel import netns
from shoal.kernel.netlink import Netlink
from shoal.kernel.nftables import Nftables
from shoal.network.items import HOST
from shoal.network.reaper import Reaper


class Handles:
    """A netlink socket and an nft context a namespace, opened at their first use and kept."""

    def __init__(self, base: Path = netns.BASE) -> None:
        self.base = base
        self.reaper = Reaper()
        self._inodes: dict[str, int] = {}
        self._netlink: dict[str, Netlink] = {}
        self._nft: dict[str, Nftables] = {}

    def path(self, ns: str) -> Path | None:
        """Where a namespace is entered; ``None`` for the host's, where the thread is already."""
        return None if ns == HOST else self.base / ns

    def netlink(self, ns: str) -> Netlink:
        """The socket in a namespace. Raises NotFound if there is no such namespace."""
        if (found := self._netlink.get(ns)) is None:
            self._identify(ns)
            found = self._netlink[ns] = Netlink.open(self.path(ns))
        return found

    def nft(self, ns: str) -> Nftables:
        """The nft context in a namespace. Raises NotFound if there is no such namespace."""
        if (found := self._nft.get(ns)) is None:
            self._identify(ns)
            found = self._nft[ns] = Nftables.open(self.path(ns))
        return found

    def keep_only(self, names: Iterable[str]) -> None:
        """Close what is open in other namespaces than these and the host's, and in those of another's with a name
        that one of ours had."""
        present = {HOST, *names}
        for ns in {*self._netlink, *self._nft}:
            if ns not in present or not self._is_same(ns):
                self.forget(ns)

    def _is_same(self, ns: str) -> bool:
        path = self.path(ns)
        try:
            return path is None or netns.identify(path).inode == self._inodes[ns]
        except NotFound:
            return False

    def _identify(self, ns: str) -> None:
        if (path := self.path(ns)) is not None:
            self._inodes.setdefault(ns, netns.identify(path).inode)

    def forget(self, ns: str) -> None:
        """Close what is open in a namespace; what is open keeps it alive."""
        self._inodes.pop(ns, None)
        for handles in (self._netlink, self._nft):
            if (handle := handles.pop(ns, None)) is not None:
                handle.close()

    def close(self) -> None:
        """Close everything, when what was begun is finished."""
        self.reaper.close()
        for ns in {*self._netlink, *self._nft}:
            self.forget(ns)
