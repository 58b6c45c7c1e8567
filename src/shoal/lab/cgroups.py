"""A host's cgroup: which processes are the host's, how all of them are frozen, and that none is left.

Below the cgroup of a host are those of its containers, which shoald makes, and ``machine`` for all the rest. Only one
hierarchy has that: version 2's, or version 1's freezer. The underlay's programs have one too.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from shoal.container import cgroups
from shoal.errors import Internal, Unavailable

_LEAF = "machine"
_SECONDS = 10.0


class Cgroup:
    """The cgroup called ``path``, such as ``/shoal-lab-lab-node1``, and what is below it."""

    def __init__(self, path: str, root: Path = cgroups.ROOT) -> None:
        self.path = path
        self._root = root
        self._unified = (root / "cgroup.controllers").exists()
        self._top = (root if self._unified else root / "freezer") / path.lstrip("/")
        self._joined = self._top / _LEAF / "cgroup.procs"

    def joining(self, command: Sequence[str]) -> list[str]:
        """The command line that runs ``command`` in it."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._joined), *command]

    def make(self) -> None:
        """Make it, empty. Raises Unavailable where cgroups cannot be made."""
        try:
            self._joined.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"cannot make {self._joined.parent}: {error.strerror}: a lab needs cgroups") from error
        if not self._joined.exists():
            # Else it is a folder where no cgroup file system is mounted.
            raise Unavailable(f"{self._root} has no cgroups, neither version 2 nor version 1's freezer")

    @property
    def in_use(self) -> bool:
        """Whether there is any process in it, even one that cannot be seen from here."""
        return bool(self._members())

    def processes(self) -> list[int]:
        """All processes in it and below that can be seen from here."""
        # The kernel says 0 for one that is in no namespace of ours; kill(2) would take that for this very program.
        return [pid for pid in self._members() if pid]

    def _members(self) -> list[int]:
        found: list[int] = []
        for folder, _, _ in os.walk(self._top):
            with contextlib.suppress(OSError):
                found += [int(word) for word in (Path(folder) / "cgroup.procs").read_text().split()]
        return found

    def first(self, proc: Path = Path("/proc")) -> int:
        """The number, seen from here, of the host's process 1; 0 when it is off."""
        with contextlib.suppress(OSError):
            for word in self._joined.read_text().split():
                if _numbers(proc / word / "status")[1:] == [1]:
                    return int(word)
        return 0

    def freeze(self) -> None:
        """Stop all its processes where they are. Raises Internal when they do not stop."""
        self._set(self._top, frozen=True)
        _until(lambda: self.frozen, f"{self.path} does not freeze")

    def thaw(self) -> None:
        """Let them go on."""
        with contextlib.suppress(FileNotFoundError):
            self._set(self._top, frozen=False)

    @property
    def frozen(self) -> bool:
        """Whether they are stopped, all of them."""
        try:
            if self._unified:
                return "frozen 1" in (self._top / "cgroup.events").read_text().splitlines()
            return (self._top / "freezer.state").read_text().strip() == "FROZEN"
        except OSError:
            return False

    def end(self) -> None:
        """Kill every process and remove the cgroup, in all hierarchies. Raises Internal when that fails."""
        _until(self._killed, f"processes of {self.path} do not end")
        _until(self._removed, f"{self.path} cannot be removed")

    def _killed(self) -> bool:
        """Tell the rest to die: process 1 first, with which the kernel takes everything in its namespace."""
        if first := self.first():
            _kill(first)
        for pid in self.processes():
            _kill(pid)
        # What is frozen, the host or a paused container, dies only when it may run.
        for folder, _, _ in os.walk(self._top, topdown=False):
            with contextlib.suppress(OSError):
                self._set(Path(folder), frozen=False)
        return not self.processes()

    def _removed(self) -> bool:
        cgroups.clear(self.path, self._root)
        return not self._top.exists()

    def _set(self, folder: Path, *, frozen: bool) -> None:
        if self._unified:
            (folder / "cgroup.freeze").write_text("1" if frozen else "0")
        else:
            (folder / "freezer.state").write_text("FROZEN" if frozen else "THAWED")


def _numbers(status: Path) -> list[int]:
    """A process's numbers in each of the nested namespaces from this one on (proc(5), NSpid)."""
    with contextlib.suppress(OSError):
        for line in status.read_text().splitlines():
            if line.startswith("NSpid:"):
                return [int(word) for word in line.split()[1:]]
    return []


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _until(done: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise Internal(f"{otherwise}, not within {_SECONDS:g} s")
        time.sleep(0.01)
