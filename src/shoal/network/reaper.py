"""Removing veth pairs where nobody waits for it.

The kernel takes about 20 ms to remove a link, whatever its kind, nearly all of it waiting for its own readers (RCU)
with no lock held; and hardly more for a whole group of links at once. So a pair that has to go is cut off at once
(taken down and out of its bridge, 0.3 ms), put into a group, and the group removed by another thread.
"""

import secrets
from collections.abc import Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock

from shoal.errors import NotFound
from shoal.kernel import changes
from shoal.kernel import netlink_codec as nl
from shoal.kernel.netlink import Netlink
from shoal.kernel.netlink_socket import Change
from shoal.kernel.records import IFINFO
from shoal.network.items import Key

_NEWLINK, _DELLINK = 16, 17
_IFLA_GROUP = 27
# As many as there are namespaces that sandboxes are plugged into at a time, mostly: the waits overlap.
_THREADS = 4


class Reaper:
    """Called by the one thread that works on the kernel; its own threads only ever remove groups of links."""

    def __init__(self) -> None:
        # Nobody else's links may be in it, so it is one that nobody else would think of.
        self._group = 1 << 30 | secrets.randbits(30)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="reaper")
        self._lock = Lock()
        self._pending: dict[Key, Future[None]] = {}

    def cut_off(self, name: str) -> list[Change]:
        """What takes a link out of use at once and dooms it; :meth:`reap` when that is applied."""
        doom = nl.string(3, name) + nl.u32(_IFLA_GROUP, self._group)
        return [
            changes.set_link(name, up=False, master=0),
            Change(_NEWLINK, 0, IFINFO.pack(0, 0, 0, 0, 0) + doom, f"remove the link {name}"),
        ]

    def reap(self, path: Path | None, ends: Collection[Key]) -> None:
        """Remove the doomed links of a namespace; ``ends`` are both ends of each."""
        netlink = Netlink.open(path)  # opened now, while the namespace still has its name
        with self._lock:
            job = self._threads.submit(self._remove, netlink)
            self._pending.update(dict.fromkeys(ends, job))
        job.add_done_callback(self._forget)

    def wait_for(self, ends: Iterable[Key]) -> None:
        """Return when none of these is left of what was to be removed."""
        with self._lock:
            jobs = {self._pending[end] for end in ends if end in self._pending}
        wait(jobs)

    @property
    def pending(self) -> set[Key]:
        """The ends that are still to go, or may be: not there any more, for whoever looks."""
        with self._lock:
            return set(self._pending)

    def wait(self) -> None:
        """Return when everything is removed."""
        with self._lock:
            jobs = set(self._pending.values())
        wait(jobs)

    def close(self) -> None:
        """Finish what is begun."""
        self._threads.shutdown()

    def _remove(self, netlink: Netlink) -> None:
        body = IFINFO.pack(0, 0, 0, 0, 0) + nl.u32(_IFLA_GROUP, self._group)
        # None is left in the group: another call has taken them along, or the other end's namespace has gone.
        with closing(netlink), suppress(NotFound):
            netlink.apply([Change(_DELLINK, 0, body, "remove links")])

    def _forget(self, job: Future[None]) -> None:
        with self._lock:
            for end in [end for end, its_job in self._pending.items() if its_job is job]:
                del self._pending[end]
