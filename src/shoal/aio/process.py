"""A process that may outlive us, or be older than we are.

Not asyncio's subprocesses: those are killed when the object that stands for them is cleared away.
"""

import asyncio
import contextlib
import os
import select
import signal
from collections.abc import Sequence
from pathlib import Path


class Process:
    """Held by its pidfd, so that its number can never come to mean another; our child or not."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self._pidfd = pidfd

    @classmethod
    def open(cls, pid: int) -> "Process":
        """A process that is there. Raises ProcessLookupError."""
        return cls(pid, os.pidfd_open(pid))

    @classmethod
    def spawn(cls, arguments: Sequence[str], *, log: Path) -> "Process":
        """Start a program in a session of its own, its output appended to ``log``. Raises OSError."""
        pid = os.posix_spawnp(
            arguments[0],
            list(arguments),
            # Whether our service is ready is ours to tell (sd_notify(3)); systemd warns of anybody else who does.
            {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # which Python ignores
        )
        return cls.open(pid)  # a child stays until it is waited for: no other can have its number

    def close(self) -> None:
        """Let go of it; it runs on."""
        os.close(self._pidfd)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; that it has ended is no error."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def alive(self) -> bool:
        """Whether it has not ended: a pidfd is readable once it has, even before it is waited for."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def command(self) -> list[bytes]:
        """Its command line; empty once it has ended."""
        try:
            return Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            return []

    async def ended(self) -> None:
        """Return once it has ended, waited for if it is our child."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._pidfd, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._pidfd)
        self._reap()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):  # an earlier shoald's child: init waits for it
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
