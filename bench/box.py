"""A machine of its own for an engine: network, mount and process namespaces, and a cgroup that go away as one.

Nothing an engine does in there can meet the host or the other engine, and whatever it leaves behind ends with the box:
the first process of the process namespace takes all others along.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_ADDRESS = "10.99.9.1"
# $1 is the box's folder. SIGCHLD, ignored, stays so through exec: orphans are reaped.
_INIT = f"""
set -e
mount -t tmpfs bench /run
mkdir -p /run/netns /run/lock
mount --bind "$1/resolv.conf" /etc/resolv.conf
ip link set lo up
ip link add eth0 type veth peer name up0
ip addr add {_ADDRESS}/24 dev eth0
ip link set eth0 up
ip link set up0 up
ip route add default via 10.99.9.254
sysctl -qw net.ipv4.ip_forward=1
touch "$1/ready"
trap '' CHLD
exec sleep infinity
"""


class Box:
    """Namespaces that live from construction to :meth:`close`. ``address`` is the one of its only outer link,
    ``mounts`` names its mount namespace.

    Raises RuntimeError when the machine does not let us make them.
    """

    address = _ADDRESS

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"shoal-bench-{name}-", dir="/var/tmp"))
        self.cgroup = f"/{self.folder.name}"
        # Asked for a registry, it refuses at once.
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._holder = subprocess.Popen(
            [*unshare, "--propagation", "private", "sh", "-c", _INIT, "box", str(self.folder)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until((self.folder / "ready").exists, seconds=10, ended=self._holder)
        except (RuntimeError, TimeoutError) as error:
            self._holder.kill()
            reason = self._holder.stderr.read().strip() if self._holder.stderr else ""
            shutil.rmtree(self.folder)
            raise RuntimeError(f"cannot make namespaces: {reason or error}") from error
        self._init = self._first_process()
        self.mounts = os.readlink(f"/proc/{self._init}/ns/mnt")

    def command(self, *arguments: str) -> list[str]:
        """That runs ``arguments`` inside."""
        return ["nsenter", "--target", str(self._init), "--net", "--mount", "--pid", "--", *arguments]

    def run(self, *arguments: str) -> str:
        """Run to the end, inside; its output. Raises CalledProcessError."""
        return subprocess.run(self.command(*arguments), check=True, capture_output=True, text=True).stdout

    def processes(self) -> Iterator[tuple[int, str]]:
        """What runs inside: pid, as seen from outside, and command line."""
        namespace = os.readlink(f"/proc/{self._init}/ns/pid")
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if os.readlink(entry / "ns/pid") == namespace:
                        yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()

    def close(self) -> None:
        """End all that runs inside, and remove folder and cgroups."""
        self._holder.kill()
        self._holder.wait()
        wait_until(lambda: not Path(f"/proc/{self._init}").exists(), seconds=30)
        # What was mounted inside is busy until the last process's namespace is gone.
        wait_until(self._removed, seconds=30)

    def _removed(self) -> bool:
        shutil.rmtree(self.folder, ignore_errors=True)
        return _remove_cgroups(self.cgroup.strip("/")) and not self.folder.exists()

    def _first_process(self) -> int:
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()
        return int(children[0])


def wait_until(
    holds: Callable[[], bool], *, seconds: float, ended: "subprocess.Popen[str] | None" = None, pause: float = 0.005
) -> None:
    """Ask ``holds`` every ``pause`` seconds until it does. Raises TimeoutError, and RuntimeError when the
    process ``ended`` does so first."""
    deadline = time.monotonic() + seconds
    while not holds():
        if ended is not None and ended.poll() is not None:
            raise RuntimeError(f"it ended with status {ended.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(pause)


def _remove_cgroups(name: str) -> bool:
    """Remove the cgroup ``name`` with all below it, in every hierarchy; whether they are gone."""
    roots = [root for parent in (_CGROUPS, *_folders(_CGROUPS)) if (root := parent / name).is_dir()]
    for root in roots:
        for path, _, _ in os.walk(root, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
    return not any(root.exists() for root in roots)


def _folders(path: Path) -> Sequence[Path]:
    return [entry for entry in path.iterdir() if entry.is_dir()]
