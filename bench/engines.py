"""The two engines, each in a box: started, stopped, asked."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from box import Box, wait_until
from engineapi import Connection

_START_SECONDS = 60.0


class Engine:
    """One daemon: ``program`` is what is run with dockerd's flags, ``client`` its own command line."""

    def __init__(self, *, name: str, program: Sequence[str], client: str) -> None:
        self.name = name
        self.box = Box(name)
        folder = self.box.folder
        self.socket = folder / "engine.sock"
        self.client = [client, "--host", f"unix://{self.socket}"]
        self.docker = ["docker", "--host", f"unix://{self.socket}"]
        # No settings of the user who runs this: some would have Python compile itself at every start.
        self.environment = {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin",
            "HOME": str(folder),
            "DOCKER_CONFIG": str(folder),
            "PYTHONPYCACHEPREFIX": str(folder / "pyc"),
        }
        (folder / "daemon.json").write_text("{}")
        self._pidfile = folder / "engine.pid"
        self._log = folder / "engine.log"
        self._process: subprocess.Popen[str] | None = None
        self._command = self.box.command(
            *program,
            *("--host", f"unix://{self.socket}"),
            *("--data-root", str(folder / "data")),
            *("--exec-root", "/run/engine"),
            *("--pidfile", str(self._pidfile)),
            *("--config-file", str(folder / "daemon.json")),
            *("--cgroup-parent", self.box.cgroup),
            *("--exec-opt", "native.cgroupdriver=cgroupfs"),
        )

    def start(self) -> float:
        """Seconds from the start of the process until it answers. Raises RuntimeError with the end of its log."""
        since = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, text=True
            )
        try:
            wait_until(self._answers, seconds=_START_SECONDS, ended=self._process)
        except (RuntimeError, TimeoutError) as error:
            raise RuntimeError(f"{self.name} does not start: {error}\n{self.log_tail()}") from error
        return time.perf_counter() - since

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        if self._process is not None:
            self.box.run("kill", self._pidfile.read_text().strip())
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        """End it and all that it ran, without asking."""
        self.box.close()
        if self._process is not None:
            self._process.wait()

    def connect(self) -> Connection:
        """A connection to its API."""
        return Connection(self.socket)

    def log_tail(self) -> str:
        """The end of what it logged."""
        return self._log.read_text(errors="replace")[-2000:]

    def memory(self) -> int:
        """The proportional set size, in bytes, of daemon and helpers: neither containers nor their shims."""
        return sum(_proportional(pid) for pid, command in self.box.processes() if self._is_daemon(pid, command))

    def _is_daemon(self, pid: int, command: str) -> bool:
        if command.startswith(("sleep infinity", "nsenter ")) or "containerd-shim" in command:
            return False
        try:
            return os.readlink(f"/proc/{pid}/ns/mnt") == self.box.mounts
        except FileNotFoundError:
            return False  # it has ended meanwhile

    def _answers(self) -> bool:
        try:
            connection = self.connect()
        except OSError:
            return False
        try:
            return bool(connection.get("/_ping") == b"OK")
        except (OSError, ValueError):
            return False
        finally:
            connection.close()


def dockerd() -> Engine:
    """Debian's. Raises RuntimeError where there is none."""
    program = shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise RuntimeError("there is no dockerd to compare with: tools/setup.sh bench installs it")
    return Engine(name="peer", program=[program], client="docker")


def shoald() -> Engine:
    """This checkout's, of the environment that runs this."""
    programs = Path(sys.executable).parent
    return Engine(name="shoal", program=[str(programs / "shoald")], client=str(programs / "shoal"))


def _proportional(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended meanwhile
    return next((int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:")), 0)
