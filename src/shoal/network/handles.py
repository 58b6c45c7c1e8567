"""Open sockets into the namespaces of this node. All of it belongs to the one thread that works on the kernel."""

from pathlib import Path

from shoal.kernel import netns
from shoal.kernel.netlink import Netlink
from shoal.kernel.nftables import Nftables
from shoal.network.items import HOST


class Handles:
    """A netlink socket and an nft context a namespace, opened at their first use and kept."""

    def __init__(self, base: Path = netns.BASE) -> None:
        self.base = base
        self._netlink: dict[str, Netlink] = {}
        self._nft: dict[str, Nftables] = {}

    def path(self, ns: str) -> Path | None:
        """Where a namespace is entered; ``None`` for the host's, where the thread is already."""
        return None if ns == HOST else self.base / ns

    def netlink(self, ns: str) -> Netlink:
        """The socket in a namespace. Raises NotFound if there is no such namespace."""
        if (found := self._netlink.get(ns)) is None:
            found = self._netlink[ns] = Netlink.open(self.path(ns))
        return found

    def nft(self, ns: str) -> Nftables:
        """The nft context in a namespace. Raises NotFound if there is no such namespace."""
        if (found := self._nft.get(ns)) is None:
            found = self._nft[ns] = Nftables.open(self.path(ns))
        return found

    def forget(self, ns: str) -> None:
        """Close what is open in a namespace; what is open keeps it alive."""
        for handles in (self._netlink, self._nft):
            if (handle := handles.pop(ns, None)) is not None:
                handle.close()

    def close(self) -> None:
        """Close everything."""
        for ns in {*self._netlink, *self._nft}:
            self.forget(ns)
