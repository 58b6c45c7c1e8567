"""The host's device nodes, for ``--device`` and ``--privileged``. Looks at /dev: for a thread."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from shoal.container.oci import Device
from shoal.errors import InvalidArgument, NotFound

# Mounts of their own in every container, and what runc makes itself.
_PASSED_OVER = frozenset({"pts", "shm", "fd", "mqueue", "console", "ptmx", ".udev", ".lxc", ".lxd-mounts"})


def node(path: Path, inside: str = "") -> Device:
    """The device at ``path`` (links followed), to be called ``inside`` in the container. Raises NotFound,
    InvalidArgument when it is no device."""
    try:
        found = path.stat()
    except OSError as error:
        raise NotFound(
            f'error gathering device information while adding custom device "{path}": no such file'
        ) from error
    if (device := _device(inside or str(path), found)) is None:
        raise InvalidArgument(
            f'error gathering device information while adding custom device "{path}": not a device node'
        )
    return device


def tree(path: Path, inside: str = "") -> tuple[Device, ...]:
    """Every device below the folder ``path``, as lying below ``inside``; or the one device that ``path`` is."""
    if not os.path.isdir(path):
        return (node(path, inside),)
    return tuple(sorted(_below(path, inside or str(path)), key=lambda device: device.path))


def every(root: Path = Path("/dev")) -> tuple[Device, ...]:
    """All that a privileged container gets."""
    return tree(root, "/dev")


def _below(folder: Path, inside: str) -> Iterator[Device]:
    for entry in os.scandir(folder):
        if entry.name in _PASSED_OVER:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(Path(entry.path), f"{inside}/{entry.name}")
        elif (device := _device(f"{inside}/{entry.name}", entry.stat(follow_symlinks=False))) is not None:
            yield device


def _device(inside: str, found: os.stat_result) -> Device | None:
    if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        return None
    return Device(
        path=inside,
        type="c" if stat.S_ISCHR(found.st_mode) else "b",
        major=os.major(found.st_rdev),
        minor=os.minor(found.st_rdev),
        file_mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
    )
