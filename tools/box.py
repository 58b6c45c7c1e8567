"""A machine within the machine: network, mount and process namespaces of its own, with a neighbour on a wire.

The lab uses one where it would disturb what runs on the machine, and each worker of the end-to-end tests has its own.
Inside, ``/run`` is empty and private (so ``/run/netns``, the default sockets and pid files are the box's own), ``eth0``
has an address and leads to the namespace ``neighbour``, which is the default route, the resolver and "another host".
Files outside ``/run`` and ``/sys`` are the machine's. When the box ends, every process in it does.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ADDRESS = "192.168.77.10"
NEIGHBOUR = "neighbour"
NEIGHBOUR_ADDRESS = "192.168.77.1"

# The first process waits for children that lose their parent, as an init does: a shell's wait does that.
_SETUP = f"""
set -e
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/cgroup
# A sysfs shows the network namespace that it was mounted in; the cgroups are the machine's.
mount --rbind /sys/fs/cgroup /run/cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/cgroup /sys/fs/cgroup
umount -l /run/cgroup
rmdir /run/cgroup
target=$(readlink -m /etc/resolv.conf)
mkdir -p "$(dirname "$target")"
[ -e "$target" ] || : >"$target"
echo "nameserver {NEIGHBOUR_ADDRESS}" >/run/box-resolv.conf
mount --bind /run/box-resolv.conf "$target"
ip link set lo up
ip netns add {NEIGHBOUR}
ip link add eth0 type veth peer name eth0 netns {NEIGHBOUR}
ip address add {ADDRESS}/24 dev eth0
ip link set eth0 up
ip -n {NEIGHBOUR} link set lo up
ip -n {NEIGHBOUR} address add {NEIGHBOUR_ADDRESS}/24 dev eth0
ip -n {NEIGHBOUR} link set eth0 up
ip route add default via {NEIGHBOUR_ADDRESS}
echo ready
exec >/dev/null 2>&1 </dev/null
sleep infinity & wait
"""


class BoxError(Exception):
    """The namespaces could not be made; the text says why."""


class Box:
    """Those namespaces, from :meth:`start` to :meth:`stop`. With ``stay``, they outlive the process that made them."""

    def __init__(self, *, stay: bool = False) -> None:
        self._stay = stay
        self._process: subprocess.Popen[str] | None = None
        self.pid = 0

    def start(self) -> None:
        """Make the namespaces. Raises :class:`BoxError`."""
        tied = [] if self._stay else ["setpriv", "--pdeathsig", "KILL", "--"]
        unshare = ["unshare", "--net", "--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        self._process = subprocess.Popen(
            [*tied, *unshare, "--propagation", "private", "--", "sh", "-c", _SETUP],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        said = self._process.stdout.readline()
        if said.strip() != "ready":
            reason = self._process.stderr.read().strip()
            self._process.wait()
            raise BoxError(f"cannot make namespaces: {reason or 'unshare failed'}")
        self._process.stdout.close()
        self._process.stderr.close()
        self.pid = _child_of(self._process.pid)

    def enter(self, command: Sequence[str], *, netns: str | None = None) -> list[str]:
        """The command line that runs ``command`` in the box, in its namespace ``netns`` if that is given."""
        into = ["ip", "netns", "exec", netns] if netns else []
        return ["nsenter", "--target", str(self.pid), "--all", "--", *into, *command]

    def run(
        self,
        command: Sequence[str],
        *,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        timeout: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the box to its end. Raises subprocess.TimeoutExpired."""
        return subprocess.run(
            self.enter(command, netns=netns),
            env={**os.environ, **(env or {})},
            input=input if input is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def processes(self) -> list[int]:
        """The processes in the box but its first two, by the numbers they have outside."""
        own = os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        found = []
        for name in os.listdir("/proc"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                if name.isdigit() and os.stat(f"/proc/{name}/ns/pid").st_ino == own:
                    found.append(int(name))
        keep = {self.pid, *_children(self.pid, named="sleep")}
        return [pid for pid in found if pid not in keep and not _is_dead(pid)]

    def stop(self) -> None:
        """End every process in the box, and with the last the namespaces, links and mounts."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        deadline = time.monotonic() + 10
        while Path(f"/proc/{self.pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)


def _child_of(pid: int) -> int:
    children = _children(pid)
    if len(children) != 1:
        raise BoxError(f"cannot find the first process of the namespaces among {children}")
    return children[0]


def _children(pid: int, named: str | None = None) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            stat = Path(f"/proc/{name}/stat").read_text()
            command, rest = stat[stat.index("(") + 1 : stat.rindex(")")], stat[stat.rindex(")") + 2 :].split()
            if int(rest[1]) == pid and named in (None, command):
                found.append(int(name))
    return found


def _is_dead(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat[stat.rindex(")") + 2] == "Z"
