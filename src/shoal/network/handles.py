"""Open sockets into the namespaces of this node. All of it belongs to the one thread that works on the kernel."""

from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from pathlib import Path

from shoal.errors import NotFound
from shoal.kernel import netns
from shoal.kernel.netlink import Netlink
from shoal.kernel.nftables import Nftables
from shoal.network.items import HOST
from shoal.network.marks import is_ours
from shoal.network.reaper import Reaper
from shoal.network.tables import Tables


class Handles:
    """A netlink socket and an nft context a namespace, opened at their first use and kept, for one owner's links."""

    def __init__(self, owner: str, base: Path = netns.BASE) -> None:
        self.owner = owner
        self.base = base
        self.reaper = Reaper()
        self.tables = Tables(owner, self.nft)
        # For whoever else keeps something open in a namespace, which lives as long as anything is.
        self.on_forget: Callable[[str], None] = lambda ns: None
        # The names that were given back, for whoever says what was mended, and takes them out.
        self.renamed: set[str] = set()
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

    @property
    def entered(self) -> list[str]:
        """The namespaces that something is open in."""
        return list({**self._netlink, **self._nft})

    def give_name_back(self, ns: str) -> bool:
        """Name a namespace of ours again that has lost its name while something was open in it; whether it had. A name
        that another has got meanwhile stays that one's, unless there is nothing in it yet."""
        if ns not in self._netlink or self._is_same(ns) or not self._is_marked(ns):
            return False
        if netns.exists(ns, self.base):
            with closing(Netlink.open(self.path(ns))) as other:
                links = other.links()
            if len(links) > 1 or any(link.up or link.alias for link in links):
                return False
            netns.delete(ns, self.base)
        with self._netlink[ns].namespace() as fd:
            netns.give_name(fd, ns, self.base, mark=self.owner)
        self.renamed.add(ns)
        return True

    def is_ours(self, ns: str) -> bool:
        """Whether what is open under a name is a namespace of ours that has it."""
        return ns in self._netlink and self._is_same(ns) and self._is_marked(ns)

    def _is_marked(self, ns: str) -> bool:
        lo = self._netlink[ns].link("lo")
        return lo is not None and is_ours(lo, self.owner)

    def keep_only(self, names: Iterable[str], wanted: Collection[str]) -> None:
        """Close what is open in other namespaces than these, the host's and those ``wanted``, which get their names
        back if they have lost them; and in those of another's with a name that one of ours had."""
        present = {HOST, *names}
        for ns in {*self._netlink, *self._nft}:
            if ns in wanted:
                # Whoever has the name now may have got it since it was last given back.
                is_lost = not self.is_named(ns) and not self.give_name_back(ns) and ns in present
            else:
                is_lost = ns not in present or not self.is_named(ns)
            if is_lost:
                self.forget(ns)

    def inode(self, ns: str) -> int | None:
        """What tells the namespace that is open under a name from any other; ``None`` for the host's."""
        return self._inodes.get(ns)

    def is_named(self, ns: str) -> bool:
        """Whether a namespace in which something is open still has its name."""
        return ns not in self._inodes or self._is_same(ns)

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
        self.tables.forget(ns)
        self.on_forget(ns)
        for handles in (self._netlink, self._nft):
            if (handle := handles.pop(ns, None)) is not None:
                handle.close()

    def close(self) -> None:
        """Close everything, when what was begun is finished."""
        self.reaper.close()
        for ns in {*self._netlink, *self._nft}:
            self.forget(ns)
