"""shoald, with a death wish: ``python -m tests.faults.crashing`` takes shoald's own arguments.

``SHOAL_CRASH=kernel:17`` in its environment kills it, as ``kill -9`` does, at the 17th time that it passes a point of
that class: before or after each step that leaves something outside the process. ``any`` counts all classes together,
and ``none`` only counts. What was counted is in the file ``SHOAL_CRASH_COUNT`` at the end.
"""

import inspect
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import shoal.kernel.netlink_socket
import shoal.kernel.netns
import shoal.kernel.sysctl
from shoal.container.containerd.client import Containerd
from shoal.daemon import run
from shoal.durable.objectfile import ObjectFile
from shoal.keeper.client import KeeperClient
from shoal.network.tables import Tables

# What is counted as what: the class that has it, or the module, and its name there.
POINTS: dict[str, list[tuple[Any, str]]] = {
    "state": [(ObjectFile, "commit"), (ObjectFile, "_set_mark")],
    "kernel": [
        (shoal.kernel.netlink_socket.NetlinkSocket, "attempt"),
        (Tables, "write"),
        (Tables, "remove"),
        (shoal.kernel.netns, "create"),
        (shoal.kernel.netns, "delete"),
        (shoal.kernel.sysctl, "write"),
    ],
    "containerd": [(Containerd, "call"), (Containerd, "converse")],
    "keeper": [(KeeperClient, "_call")],
    "files": [(Path, "write_text"), (Path, "write_bytes"), (Path, "replace"), (Path, "mkdir"), (os, "replace")],
}


class Crash:
    """Counts, and kills when the count is reached."""

    def __init__(self, wish: str) -> None:
        self._class, _, number = wish.partition(":")
        self._left = int(number or 0)
        self._lock = threading.Lock()
        self.counted: Counter[str] = Counter()

    def passing(self, kind: str) -> None:
        """A point of this class is passed."""
        with self._lock:
            self.counted[kind] += 1
            if self._class in (kind, "any"):
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

    def around(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with a point before it and one after it."""
        if inspect.isasyncgenfunction(function):

            @wraps(function)
            async def generate(*args: Any, **options: Any) -> Any:
                self.passing(kind)
                async for each in function(*args, **options):
                    yield each
                    self.passing(kind)

            return generate
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def await_(*args: Any, **options: Any) -> Any:
                self.passing(kind)
                result = await function(*args, **options)
                self.passing(kind)
                return result

            return await_

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            self.passing(kind)
            result = function(*args, **options)
            self.passing(kind)
            return result

        return call


def main() -> int:
    """Run shoald until it ends or is ended."""
    crash = Crash(os.environ.get("SHOAL_CRASH", "none"))
    for kind, places in POINTS.items():
        for owner, name in places:
            setattr(owner, name, crash.around(kind, getattr(owner, name)))
    try:
        return run.main(sys.argv[1:])
    finally:
        if "SHOAL_CRASH_COUNT" in os.environ:
            lines = [f"{kind} {number}\n" for kind, number in sorted(crash.counted.items())]
            Path(os.environ["SHOAL_CRASH_COUNT"]).write_text("".join(lines))


if __name__ == "__main__":
    sys.exit(main())
