"""What a container has changed in its image's files: its own layer compared with those below, for threads."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from shoal.engine.rootview import stacked
from shoal.kernel.mounts import open_in, view
from shoal.objects.results import Change

MODIFIED, ADDED, DELETED = 0, 1, 2

# The runtime makes these for its mounts; the user changed nothing.
_MOUNT_POINTS = {
    "/dev", "/proc", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/dev/console", "/dev/pts", "/dev/shm",
    "/dev/mqueue", "/sys/fs", "/sys/fs/cgroup", "/sbin/docker-init",
}  # fmt: skip


def changes(folders: Sequence[Path]) -> list[Change]:
    """By path. ``folders`` are the layers, the container's own first (kernel doc, overlayfs.rst: whiteouts)."""
    own, *below = folders
    base = view(stacked([str(folder) for folder in below])) if below else None
    try:
        return sorted(_walk(own, "", base), key=lambda change: change.path)
    finally:
        if base is not None:
            os.close(base)


def _walk(folder: Path, path: str, base: int | None) -> Iterator[Change]:
    for entry in os.scandir(folder):
        place, status = f"{path}/{entry.name}", entry.stat(follow_symlinks=False)
        old = _in(base, place)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            if old is not None:
                yield Change(path=place, kind=DELETED)
            continue
        if not stat.S_ISDIR(status.st_mode):
            if place not in _MOUNT_POINTS or status.st_size:
                yield Change(path=place, kind=ADDED if old is None else MODIFIED)
            continue
        inner = list(_walk(Path(entry.path), place, base))
        yield from inner
        # A folder is copied up for a mount point in it, too: then nothing about it is the user's doing.
        untouched = old is not None and _same(old, status) and not inner and any(os.scandir(entry.path))
        if not untouched and (place not in _MOUNT_POINTS or inner):
            yield Change(path=place, kind=ADDED if old is None else MODIFIED)


def _in(base: int | None, path: str) -> os.stat_result | None:
    if base is None:
        return None
    try:
        fd = open_in(base, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def _same(old: os.stat_result, new: os.stat_result) -> bool:
    return (old.st_mode, old.st_uid, old.st_gid) == (new.st_mode, new.st_uid, new.st_gid)
