"""One host of a lab: namespaces of its own, and all that happens to a machine."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path

from shoal.client.engine import Engine
from shoal.client.transport import parse_endpoint
from shoal.errors import Conflict, Internal, ShoalError, Unavailable
from shoal.lab.cgroups import Cgroup
from shoal.lab.state import HostState, LabState
from shoal.lab.underlay import Underlay

INSIDE = "unix:///run/docker.sock"
_READY_SECONDS = 120.0
_LOG_LINES = 15

# A host's process 1, in its new namespaces. It waits for its wire before it starts shoald, so a host whose maker is
# killed before that ends with it; and for children that lose their parent, as an init does.
_BOOT = """set -e
name=$1 folder=$2
echo "$name" >/proc/sys/kernel/hostname
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock /run/netns /run/cgroup
# A sysfs shows the network namespace that it was mounted in; the cgroups are the machine's.
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
rmdir /run/cgroup
for file in hosts resolv.conf; do
  target=$(readlink -m "/etc/$file")
  # What is on the machine's own disk is not for a lab to make; in the new /run there is nothing yet.
  case $target in /run/*) mkdir -p "${target%/*}" && : >"$target" ;; esac
  if [ -e "$target" ]; then mount --bind "$folder/$file" "$target"; fi
done
echo ready
read -r _
exec >/dev/null 2>&1 </dev/null
{ "$folder/shoald" >>"$folder/shoald.log" 2>&1 || :; : >"$folder/ended"; } &
sleep infinity & wait
"""
_UNSHARE = (
    "setsid", "--fork", "unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child",
    "--mount-proc", "--propagation", "slave",
)  # fmt: skip


class Condition(Enum):
    """What a host is doing."""

    RUNNING = "running"
    PAUSED = "paused"
    OFF = "off"


class Host:
    """A host, whether or not it runs; nothing is remembered of it here."""

    def __init__(self, *, folder: Path, state: HostState, lab: LabState, underlay: Underlay) -> None:
        self._state = state
        self._lab = lab
        self._underlay = underlay
        self._cgroup = Cgroup(f"/shoal-lab-{lab.name}-{state.name}")
        self.name = state.name
        self.address = state.address
        self.folder = folder
        self.socket = folder / "docker.sock"
        self.log = folder / "shoald.log"

    @property
    def docker_host(self) -> str:
        """What a client outside of the host takes for DOCKER_HOST."""
        return f"unix://{self.socket}"

    @property
    def is_another_labs(self) -> bool:
        """Whether something runs in its cgroup before this lab has made it."""
        return self._cgroup.in_use

    @property
    def pid(self) -> int:
        """Its process 1, as it is numbered here; 0 when it is off."""
        return self._cgroup.first()

    @property
    def condition(self) -> Condition:
        """What it is doing."""
        if not self.pid:
            return Condition.OFF
        return Condition.PAUSED if self._cgroup.frozen else Condition.RUNNING

    def engine(self) -> Engine:
        """A client of its shoald; to be closed."""
        return Engine(parse_endpoint(self.docker_host))

    def answers(self) -> bool:
        """Whether its shoald does."""
        with contextlib.closing(self.engine()) as engine, contextlib.suppress(ShoalError):
            return bool(engine.version)
        return False

    def enter(self, command: Sequence[str], *, env: Mapping[str, str] | None = None) -> list[str]:
        """The command line that runs ``command`` in the host. Raises Conflict when it is off or paused."""
        if (condition := self.condition) is not Condition.RUNNING:
            raise Conflict(f"{self.name} is {condition.value}")
        # The folder of this very program comes last: its shoal is there where none is installed.
        path = f"{os.environ.get('PATH', os.defpath)}:{Path(sys.executable).parent}"
        variables = {"DOCKER_HOST": INSIDE, "PATH": path, **(env or {})}
        into = ["nsenter", "--target", str(self.pid), "--all", "--"]
        words = ["env", "-u", "SHOAL_HOST", *(f"{key}={value}" for key, value in variables.items()), *command]
        return self._cgroup.joining([*into, *words])

    def run(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        input: str = "",
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the host to its end. Raises Conflict when it is off, and subprocess.TimeoutExpired."""
        return subprocess.run(
            self.enter(command, env=env), input=input, capture_output=True, text=True, timeout=timeout, check=False
        )

    def start(self) -> None:
        """Switch it on and wait until its shoald answers; fine when it does already.

        Raises Unavailable, with the end of shoald's log, when it does not come up, and Conflict for a paused host.
        """
        if self.condition is Condition.PAUSED:
            raise Conflict(f"{self.name} is paused: shoal lab resume {self.name}")
        if not self.pid:
            self._clear()
            self._prepare()
            self._boot()
        self._wait()

    def kill(self) -> None:
        """Cut its power: every process dies, its wire is gone, its disk stays. Off already is fine."""
        # First, for a machine without power says nothing more, not even that its connections end.
        self._underlay.disconnect(self._state)
        self._cgroup.end()
        self._clear()

    def pause(self) -> None:
        """Freeze every process, containers' too; the kernel goes on answering for it, as far as it does alone."""
        if not self.pid:
            raise Conflict(f"{self.name} is off")
        self._cgroup.freeze()

    def resume(self) -> None:
        """Let them go on."""
        self._cgroup.thaw()

    def _clear(self) -> None:
        """Take away what a boot would: the wire, what is left of the cgroup, the socket."""
        self._underlay.disconnect(self._state)
        self._cgroup.end()
        self.socket.unlink(missing_ok=True)
        (self.folder / "ended").unlink(missing_ok=True)

    def _prepare(self) -> None:
        """Write the files that the host needs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = "".join(f"{host.address}\t{host.name}\n" for host in self._lab.hosts)
        (self.folder / "hosts").write_text(
            f"127.0.0.1\tlocalhost\n::1\tlocalhost\n{names}{self._lab.outside}\toutside\n"
        )
        # Nobody need be listening there: the answer is then a refusal, at once.
        (self.folder / "resolv.conf").write_text(f"nameserver {self._lab.outside}\noptions timeout:1 attempts:1\n")
        (self.folder / "daemon.json").write_text("{}\n")
        (self.folder / "boot").write_text(_BOOT)
        # What is asked of a registry that isn't there would only be waited for.
        start = shlex.join(["env", "DOCKER_SERVICE_PREFER_OFFLINE_IMAGE=1", _program("shoald"), *self.flags()])
        script = self.folder / "shoald"
        script.write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        script.chmod(0o755)

    def flags(self) -> list[str]:
        """shoald's flags, the lab's own last."""
        return [
            *("--config-file", str(self.folder / "daemon.json"), "--data-root", str(self.folder / "data")),
            *("--cgroup-parent", self._cgroup.path, "-H", INSIDE, "-H", self.docker_host),
            *self._lab.flags,
        ]

    def _boot(self) -> None:
        self._cgroup.make()
        boot = ["--", "sh", str(self.folder / "boot"), self.name, str(self.folder)]
        process = subprocess.Popen(
            # Joined before there are namespaces, so that whatever is made from here on is found again.
            self._cgroup.joining([*_UNSHARE, *boot]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
        )
        with process:  # it has forked: what is waited for has ended
            assert process.stdin is not None and process.stdout is not None
            said = ""
            for line in process.stdout:
                if line == "ready\n":
                    break
                said += line
            else:
                raise Unavailable(f"{self.name}: cannot make its namespaces: {said.strip() or 'unshare failed'}")
            if not (pid := self.pid):
                raise Internal(f"{self.name}: its first process is not to be found in {self._cgroup.path}")
            self._underlay.connect(self._state, pid)
            process.stdin.write("go\n")

    def _wait(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not self.answers():
            if (self.folder / "ended").exists() or not self.pid or time.monotonic() > deadline:
                raise Unavailable(f"{self.name}: shoald does not come up; the end of {self.log}:\n{self.log_end()}")
            time.sleep(0.05)

    def log_end(self) -> str:
        """The last lines of shoald's log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        return ""


def _program(name: str) -> str:
    """A program of ours: the one beside this very interpreter, else the one on PATH. Raises Unavailable."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not installed: pip install shoal, or make build")
    return found
