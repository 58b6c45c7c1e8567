"""The shims' processes, as they can be found without containerd, and what they hold.

A task whose making is cut short, because shoald or containerd died over it, can leave a shim behind: containerd has
forgotten the task, or was never told of it, while the shim waits for orders for ever, or only its folder (the bundle)
stays and is in the way of the next one. All of this blocks: it belongs in a thread.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shoal.aio.process import Process
from shoal.kernel import mounts

_SHIM = "containerd-shim-runc-v2"
SOCKETS = Path("/run/containerd/s")
"""Where shims listen, which no configuration moves."""
_DELETE_SECONDS = 10.0


@dataclass(frozen=True)
class Shim:
    """A shim's process; ``started`` (clock ticks since the boot) tells it from a later one with its number."""

    pid: int
    started: str
    container_id: str


def shims(socket: str, namespace: str) -> Iterator[Shim]:
    """The shims of the containerd at ``socket``."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            arguments = Path(f"/proc/{name}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if not arguments[0].endswith(_SHIM):
                continue
            options = dict(zip(arguments[1::2], arguments[2::2], strict=False))
            if options.get("-address") == socket and options.get("-namespace") == namespace and "-id" in options:
                stat = Path(f"/proc/{name}/stat").read_text()
                started = stat[stat.rindex(")") + 2 :].split()[19]
                yield Shim(int(name), started, options["-id"])


def bundle(socket: str, namespace: str, container_id: str) -> Path:
    """Where containerd keeps a task's files: beside its socket, which is in the folder that a boot takes away."""
    return Path(socket).parent / "io.containerd.runtime.v2.task" / namespace / container_id


def address(socket: str, namespace: str, container_id: str) -> Path:
    """Where a shim listens, which containerd knows by a hash (its SocketAddress)."""
    return SOCKETS / hashlib.sha256(f"{socket}/{namespace}/{container_id}".encode()).hexdigest()


def is_leftover(socket: str, namespace: str, container_id: str) -> bool:
    """Whether there is something left of a task that containerd does not know (any more): quickly asked."""
    return bundle(socket, namespace, container_id).is_dir() or address(socket, namespace, container_id).exists()


def clear(socket: str, namespace: str, container_id: str) -> None:
    """End the shim of a task that containerd does not know (any more), with its container's processes, and remove what
    they leave."""
    for shim in shims(socket, namespace):
        if shim.container_id == container_id:
            with contextlib.suppress(ProcessLookupError):
                process = Process.open(shim.pid)
                process.signal(signal.SIGKILL)
                process.close()
    address(socket, namespace, container_id).unlink(missing_ok=True)
    folder = bundle(socket, namespace, container_id)
    if not folder.is_dir():
        return
    command = [
        _SHIM,
        "-namespace",
        namespace,
        "-address",
        socket,
        "-id",
        container_id,
        "-bundle",
        str(folder),
        "delete",
    ]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        # What containerd itself runs for a shim that died: the container, runc's state and the root's mount go.
        subprocess.run(command, cwd=folder, capture_output=True, timeout=_DELETE_SECONDS, check=False)
    if not mounts.is_mounted(folder / "rootfs"):
        shutil.rmtree(folder, ignore_errors=True)
