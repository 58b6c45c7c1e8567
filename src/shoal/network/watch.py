"""Hears what happens in the namespaces that we have something in, by the kernel's own word.

A netlink socket for links and all that is on them and one for nft rules a namespace, and the table of mounts, where the
namespaces' names are; all of them behind one descriptor, so that an event loop has one thing to wait for.
"""

import os
import select
from collections.abc import Collection, Mapping
from contextlib import suppress

from shoal.errors import NotFound
from shoal.kernel.monitor import Monitor, RulesetMonitor
from shoal.network.drift import concerns
from shoal.network.handles import Handles
from shoal.network.items import Item, Key, Namespace, Vxlan


class Watch:
    """Belongs to the thread that works on the kernel, but for the descriptor."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self._epoll = select.epoll()
        self._mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._epoll.register(self._mounts, select.EPOLLPRI)
        self._links: dict[str, Monitor] = {}
        self._rules: dict[str, RulesetMonitor] = {}
        self._by_fd: dict[int, str] = {}
        self._inodes: dict[str, int | None] = {}
        handles.on_forget = self.forget

    def fileno(self) -> int:
        """Readable when something has happened."""
        return self._epoll.fileno()

    def follow(self, items: Collection[Item]) -> None:
        """Listen where these are, from now on."""
        tunnels = {item.ns for item in items if isinstance(item, Vxlan)}
        for ns in {item.ns for item in items}:
            if ns in self._links and self._inodes[ns] == self._handles.inode(ns):
                continue
            self.forget(ns)
            with suppress(NotFound):  # it could not be made: whoever wanted it was told
                self._listen(ns, neighbours=ns in tunnels)

    def _listen(self, ns: str, *, neighbours: bool) -> None:
        path = self._handles.path(ns)
        self._inodes[ns] = self._handles.inode(ns)
        links = self._links[ns] = Monitor.open(path, neighbours=neighbours)
        rules = self._rules[ns] = RulesetMonitor.open(path)
        for fd in (links.fileno(), rules.fileno()):
            self._by_fd[fd] = ns
            self._epoll.register(fd, select.EPOLLIN)

    def forget(self, ns: str) -> None:
        """Stop listening in a namespace: it is gone, or another has its name."""
        self._inodes.pop(ns, None)
        for monitor in (self._links.pop(ns, None), self._rules.pop(ns, None)):
            if monitor is not None:
                del self._by_fd[monitor.fileno()]
                monitor.close()

    def hear(self, wanted: Mapping[Key, Item]) -> set[str]:
        """Take in what has happened; the namespaces where something may not be as wanted."""
        found: set[str] = set()
        for fd, _ in self._epoll.poll(0):
            if fd == self._mounts:
                found |= self._unnamed(wanted)
            elif (ns := self._by_fd.get(fd)) is not None:
                found |= {ns} if self._is_suspect(ns, fd, wanted) else set()
        return found

    def _is_suspect(self, ns: str, fd: int, wanted: Mapping[Key, Item]) -> bool:
        links = self._links[ns]
        if fd == links.fileno():
            return concerns(links.read(1000), ns, wanted, self._handles.owner, self._handles.netlink(ns).index)
        self._rules[ns].read()
        return self._handles.tables.is_changed(ns)

    def _unnamed(self, wanted: Mapping[Key, Item]) -> set[str]:
        """The namespaces whose name leads nowhere, or elsewhere."""
        names = [item.name for item in wanted.values() if isinstance(item, Namespace)]
        return {name for name in names if not self._handles.is_named(name)}

    def close(self) -> None:
        """Stop listening everywhere."""
        for ns in list(self._links):
            self.forget(ns)
        self._epoll.close()
        os.close(self._mounts)
