"""One shoald for the lab and the end-to-end tests: started, asked until it is ready, ended or killed.

``enter`` is what leads into the namespaces where it shall live (see :meth:`box.Box.enter`), nothing for the machine's
own. Everything that it writes is in the one folder it is given, which is as empty as before once it has been ended.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Enter = Callable[[Sequence[str]], list[str]]

_READY_SECONDS = 30.0
_END_SECONDS = 30.0


class EngineError(Exception):
    """shoald does not start or end as it should; the text has the end of its log."""


class Shoald:
    """A daemon with its own data root, exec root, pid file, log and socket in ``folder``."""

    def __init__(self, folder: Path, enter: Enter, *, flags: Sequence[str] = (), cgroup_parent: str = "/shoal") -> None:
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.log = folder / "shoald.log"
        self.cgroup_parent = cgroup_parent
        # What is started, and with what in its environment.
        self.program: Sequence[str] = [str(Path(sys.executable).with_name("shoald"))]
        self.environment: dict[str, str] = {}
        self._enter = enter
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        """Start it, this time with more flags, and wait until it answers. Raises :class:`EngineError`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self._enter([*self.command(), *flags]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # What is asked of a registry that isn't there would only be waited for.
                env={**os.environ, "DOCKER_SERVICE_PREFER_OFFLINE_IMAGE": "1", **self.environment},
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise EngineError(f"shoald does not come up; the end of its log:\n{self.log_end()}")
            time.sleep(0.02)

    def command(self) -> list[str]:
        """The command line, as a person could type it."""
        return [
            *self.program,
            *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "run")),
            *("--pidfile", str(self.folder / "shoald.pid"), "-H", self.host),
            *("--cgroup-parent", self.cgroup_parent),
            *self._flags,
        ]

    def answers(self) -> bool:
        """Whether it serves ``/_ping``."""
        ask = ["curl", "-sf", "-o", "/dev/null", "-m", "5", "--unix-socket", str(self.socket), "http://shoal/_ping"]
        return subprocess.run(ask, check=False).returncode == 0

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def was_killed(self) -> bool:
        """Whether it has died of SIGKILL; nsenter, in between, says so as a shell does."""
        return self._process is not None and self._process.poll() in (-signal.SIGKILL, 128 + signal.SIGKILL)

    @property
    def pid(self) -> int:
        """Its number outside of its namespaces: what was started is nsenter, which becomes it or waits for it."""
        assert self._process is not None
        return _innermost(self._process.pid)

    def stop(self) -> int:
        """End it politely; its exit status. Raises :class:`EngineError` when it does not end."""
        os.kill(self.pid, signal.SIGTERM)
        assert self._process is not None
        try:
            return self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise EngineError(f"shoald does not end; the end of its log:\n{self.log_end()}") from None

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait()

    def forget(self) -> None:
        """Its namespaces have ended with all that ran in them: remove what a boot would take away too."""
        assert self._process is not None
        self._process.wait()
        self.remove_cgroups()
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        self.socket.unlink(missing_ok=True)

    def remove_cgroups(self) -> None:
        """What containers leave that ended with their namespaces: their cgroups, under this daemon's own parent."""
        for parent in _hierarchies(self.cgroup_parent):
            for folder, _, _ in os.walk(parent, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def log_end(self, lines: int = 15) -> str:
        """The last lines that it has logged."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _hierarchies(path: str) -> list[Path]:
    root = Path("/sys/fs/cgroup")
    bases = [root] if (root / "cgroup.controllers").exists() else [entry for entry in root.iterdir() if entry.is_dir()]
    return [base / path.strip("/") for base in bases]


def _innermost(pid: int) -> int:
    """The process that nsenter waits for, where it is one: entering a namespace of processes takes a child."""
    if Path(f"/proc/{pid}/comm").read_text().strip() != "nsenter":
        return pid
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                stat = Path(f"/proc/{name}/stat").read_text()
                if int(stat[stat.rindex(")") + 2 :].split()[1]) == pid:
                    return int(name)
    return pid
