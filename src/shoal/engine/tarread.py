"""A tar unpacked below a root that others arranged, for threads: no name and no link in either leads out of it."""

import contextlib
import io
import os
import posixpath
import shutil
import stat
import tarfile
from typing import IO, Self, cast

from shoal.container.image.spool import Unpacked
from shoal.errors import InvalidArgument
from shoal.kernel.mounts import open_in

_PAX_XATTR = "SCHILY.xattr."
_HEAD_LIMIT = 1 << 20
_HEADS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
)  # fmt: skip
_COPY = 1 << 18


class _Member(tarfile.TarInfo):
    """A head that is refused where what it announces belongs to the head and would not fit in memory, as by Go's
    ``archive/tar``."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        head = super().frombuf(buf, encoding, errors)
        if head.type in _HEADS and head.size > _HEAD_LIMIT:
            raise tarfile.ReadError("header field too long")
        return head


class TarReader:
    """Unpacks into ``place``, a folder in the tree ``root``.

    ``owner`` is whom everything is to belong to, None for whom the tar says. With ``keep_kinds`` a folder is never
    replaced by something else, nor the other way round.
    """

    def __init__(self, root: int, place: str, *, owner: tuple[int, int] | None, keep_kinds: bool) -> None:
        self._root = root
        self._place = place
        self._owner = owner
        self._keep_kinds = keep_kinds
        self._folders: list[tuple[str, float]] = []

    def unpack(self, source: IO[bytes]) -> None:
        """Read a tar to its end, plain or compressed. Raises InvalidArgument for what is none, or will not fit."""
        try:
            with tarfile.open(fileobj=io.BufferedReader(Unpacked(source)), mode="r|", tarinfo=_Member) as tar:
                for member in tar:
                    tar.members.clear()  # type: ignore[attr-defined]  # it keeps all of them, and there is no end to them
                    if sum(map(len, tar.pax_headers.values())) > _HEAD_LIMIT:
                        raise InvalidArgument("the archive cannot be read: header field too long")
                    self._add(tar, member)
        except tarfile.TarError as error:
            raise InvalidArgument(f"the archive cannot be read: {error}") from error
        except (ValueError, OverflowError, RecursionError) as error:
            # A NUL in a name, a number that is none of the kernel's, folders in folders in folders.
            raise InvalidArgument(f"the archive cannot be unpacked: {error}") from error
        # Only now: whatever is put into a folder changes its time.
        for path, mtime in reversed(self._folders):
            with contextlib.suppress(FileNotFoundError):
                fd = open_in(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
                os.utime(fd, (mtime, mtime))
                os.close(fd)

    def _path(self, name: str) -> str:
        """Where a name of the tar is in the tree. Raises InvalidArgument for one that goes upward."""
        cleaned = posixpath.normpath(name.lstrip("/") or ".")
        if cleaned == ".." or cleaned.startswith("../"):
            raise InvalidArgument(f"invalid path in archive: {name!r}")
        return posixpath.join(self._place, cleaned) if cleaned != "." else self._place

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = self._path(member.name)
        if path == self._place:
            return
        above, name = posixpath.split(path)
        folder = self._folder(above)
        try:
            if self._make_room(folder, name, member):
                self._make(tar, member, folder, name)
            self._dress(member, folder, name)
        finally:
            os.close(folder)
        if member.isdir():
            self._folders.append((path, member.mtime))

    def _folder(self, path: str) -> int:
        """A descriptor of the folder, made where it is missing."""
        missing: list[str] = []
        while True:
            try:
                folder = open_in(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
                break
            except FileNotFoundError:
                missing.append(path)
                path = posixpath.dirname(path)
        for path in reversed(missing):
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(posixpath.basename(path), 0o755, dir_fd=folder)
            finally:
                os.close(folder)
            folder = open_in(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
        return folder

    def _make_room(self, folder: int, name: str, member: tarfile.TarInfo) -> bool:
        """Remove what the member replaces; False when it is a folder that is there already."""
        try:
            here = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return True
        is_folder = stat.S_ISDIR(here.st_mode)
        if is_folder and member.isdir():
            return False
        if self._keep_kinds and is_folder:
            raise InvalidArgument(f'cannot overwrite directory "{name}" with non-directory "{self._place}"')
        if self._keep_kinds and member.isdir():
            raise InvalidArgument(f'cannot overwrite non-directory "{name}" with directory "{self._place}"')
        if is_folder:
            shutil.rmtree(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
        return True

    def _make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, folder: int, name: str) -> None:
        if member.isdir():
            os.mkdir(name, 0o700, dir_fd=folder)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=folder)
        elif member.islnk():
            above, target = posixpath.split(self._path(member.linkname))
            other = self._folder(above)
            try:
                os.link(target, name, src_dir_fd=other, dst_dir_fd=folder, follow_symlinks=False)
            finally:
                os.close(other)
        elif member.ischr() or member.isblk():
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(name, 0o600 | kind, os.makedev(member.devmajor, member.devminor), dir_fd=folder)
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=folder)
        elif (source := tar.extractfile(member)) is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
                _copy(source, file, member)

    def _dress(self, member: tarfile.TarInfo, folder: int, name: str) -> None:
        """Owner, then mode (a change of owner takes set-user-ID away), then time."""
        if member.islnk():
            return
        uid, gid = self._owner or (member.uid, member.gid)
        os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
        if not member.issym():
            _chmod(folder, name, member.mode & 0o7777)
        if member.isreg():
            self._set_attributes(member, folder, name)
        os.utime(name, (member.mtime, member.mtime), dir_fd=folder, follow_symlinks=False)

    def _set_attributes(self, member: tarfile.TarInfo, folder: int, name: str) -> None:
        found = {key: value for key, value in member.pax_headers.items() if key.startswith(_PAX_XATTR)}
        if not found:
            return
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            for key, value in found.items():
                with contextlib.suppress(OSError):  # the file system may not have them
                    os.setxattr(fd, key.removeprefix(_PAX_XATTR), value.encode("utf-8", "surrogateescape"))
        finally:
            os.close(fd)


def _copy(source: IO[bytes], file: IO[bytes], member: tarfile.TarInfo) -> None:
    """The member's bytes; where a sparse one has holes, the file has them too: they may be larger than the disk."""
    if not member.issparse():
        shutil.copyfileobj(source, file, _COPY)
        return
    assert isinstance(source, io.BufferedReader)
    raw = source.raw  # the buffer would ask the stream whether it can seek; within the member it need not
    # typeshed has it as bytes; it is where there are data, and how many.
    for offset, size in cast("list[tuple[int, int]]", member.sparse):
        raw.seek(offset)
        file.seek(offset)
        while size > 0 and (data := raw.read(min(size, _COPY))):
            file.write(data)
            size -= len(data)
    file.truncate(member.size)


def _chmod(folder: int, name: str, mode: int) -> None:
    """Change what is there and not what a link leads to: a process in the container may put one in its place."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)
