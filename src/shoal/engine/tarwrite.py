"""Files below a folder's descriptor as a tar stream, for threads. No symbolic link is followed."""

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Collection
from types import TracebackType
from typing import IO

_CAPABILITY = "security.capability"
_PAX_CAPABILITY = f"SCHILY.xattr.{_CAPABILITY}"


class TarWriter:
    """Writes entries to ``out``; folders on other devices than ``devices`` are entered by name only."""

    def __init__(self, out: IO[bytes], devices: Collection[int]) -> None:
        self._tar = tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 18)
        self._devices = devices
        self._links: dict[tuple[int, int], str] = {}

    def add(self, folder: int, entry: str, name: str) -> None:
        """Add ``entry`` of the open ``folder`` and all below it; ``name`` is what it is called in the tar. What goes
        away meanwhile is left out."""
        try:
            status = os.stat(entry, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        info = _info(status, name)
        if info is None:
            return
        if status.st_nlink > 1 and not info.isdir():
            if (first := self._links.setdefault((status.st_dev, status.st_ino), name)) != name:
                info.type, info.linkname, info.size = tarfile.LNKTYPE, first, 0
        with contextlib.suppress(FileNotFoundError):
            self._put(folder, entry, info, status)

    def add_below(self, folder: int, prefix: str) -> None:
        """Add everything in the open (readable) ``folder``, under names that start with ``prefix``."""
        for child in sorted(os.listdir(folder)):
            self.add(folder, child, prefix + child)

    def __enter__(self) -> "TarWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the end of the tar, unless it is broken off."""
        self._tar.__exit__(kind, error, trace)

    def _put(self, folder: int, entry: str, info: tarfile.TarInfo, status: os.stat_result) -> None:
        if info.issym():
            info.linkname = os.readlink(entry, dir_fd=folder)
        if not info.isreg():
            self._tar.addfile(info)
        else:
            # O_NONBLOCK: should a FIFO have taken the file's place by now, it must not hold us up.
            fd = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(fd, "rb") as file:
                with contextlib.suppress(OSError):
                    value = os.getxattr(fd, _CAPABILITY).decode("utf-8", "surrogateescape")
                    info.pax_headers = {_PAX_CAPABILITY: value}
                self._tar.addfile(info, _Padded(file, info.size))
        if info.isdir() and status.st_dev in self._devices:
            inner = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            try:
                self.add_below(inner, f"{info.name}/")
            finally:
                os.close(inner)


class _Padded(io.RawIOBase):
    """A file that has the size it had when it was looked at, whatever becomes of it."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._file.read(wanted)
        self._left -= wanted
        return data.ljust(wanted, b"\0")


_KINDS: tuple[tuple[Callable[[int], bool], bytes], ...] = (
    (stat.S_ISREG, tarfile.REGTYPE),
    (stat.S_ISDIR, tarfile.DIRTYPE),
    (stat.S_ISLNK, tarfile.SYMTYPE),
    (stat.S_ISCHR, tarfile.CHRTYPE),
    (stat.S_ISBLK, tarfile.BLKTYPE),
    (stat.S_ISFIFO, tarfile.FIFOTYPE),
)


def _info(status: os.stat_result, name: str) -> tarfile.TarInfo | None:
    """The entry's head; None for what a tar cannot hold (a socket)."""
    kind = next((kind for is_kind, kind in _KINDS if is_kind(status.st_mode)), None)
    if kind is None:
        return None
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, stat.S_IMODE(status.st_mode)
    info.uid, info.gid, info.mtime = status.st_uid, status.st_gid, status.st_mtime
    if kind == tarfile.REGTYPE:
        info.size = status.st_size
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return info
