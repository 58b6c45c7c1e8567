"""``docker cp``, ``export`` and ``diff``: a container's files, whether it runs or not."""

import asyncio
import errno
import os
import posixpath
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import IO

from shoal.container import rootfs, user
from shoal.container.runtime import Runtime
from shoal.engine import rootview
from shoal.engine.changes import changes
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.pipes import reading, writing
from shoal.engine.records import Records
from shoal.engine.tarread import TarReader
from shoal.engine.tarwrite import TarWriter
from shoal.errors import Internal, InvalidArgument, NotFound
from shoal.kernel.mounts import open_in
from shoal.objects.base import timestamp
from shoal.objects.container import Container
from shoal.objects.results import Change, PathStat

# Go's fs.FileMode: the permissions are Unix's, the rest is not.
_GO_KINDS = (
    (stat.S_ISDIR, 1 << 31), (stat.S_ISLNK, 1 << 27), (stat.S_ISBLK, 1 << 26), (stat.S_ISCHR, 1 << 26 | 1 << 21),
    (stat.S_ISFIFO, 1 << 25), (stat.S_ISSOCK, 1 << 24),
)  # fmt: skip
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


# What the names, kinds and targets in an archive lead to, rather than a disk or a kernel.
_ARCHIVES_FAULT = {
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL,
    errno.EPERM, errno.EXDEV, errno.EFBIG, errno.ENOTEMPTY,
}  # fmt: skip


class Archives:
    """``archive_*``, ``changes`` and ``export`` of :class:`shoal.api.backends_containers.ContainerBackend`."""

    def __init__(self, *, records: Records, lifecycle: Lifecycle, runtime: Runtime) -> None:
        self._records = records
        self._lifecycle = lifecycle
        self._runtime = runtime

    async def archive_stat(self, ref: str, path: str) -> PathStat:
        """Look at a path; a symbolic link is not followed unless the path ends with a slash. Raises NotFound."""
        container = self._records.get(ref)
        async with rootview.opened(container, self._runtime) as root:
            return await asyncio.to_thread(_found, lambda: _stat(root, path), path, ref)

    async def archive_get(self, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
        """A path and all below it, as a tar whose names start with the path's last part. Raises NotFound."""
        container = self._records.get(ref)
        async with AsyncExitStack() as held:
            root = await held.enter_async_context(rootview.opened(container, self._runtime))
            found = await asyncio.to_thread(_found, lambda: _stat(root, path), path, ref)
            places = [point.destination for point in container.mounts]
            still_held = held.pop_all()
        return found, _streamed(lambda out: _write(out, root, path, places), still_held)

    async def archive_put(
        self, ref: str, path: str, body: AsyncIterator[bytes], *, no_overwrite_dir_non_dir: bool, copy_uid_gid: bool
    ) -> None:
        """Unpack a tar, plain or compressed, into the directory ``path``.

        With ``copy_uid_gid`` all belongs to the container's user. Raises NotFound, InvalidArgument.
        """
        key = self._records.get(ref).id
        async with AsyncExitStack() as held:
            container = self._records.get(key)
            if not container.is_running:
                await held.enter_async_context(self._lifecycle.lock(key))
                await self._lifecycle.cleared(key)
            container = self._records.get(key)
            root = await held.enter_async_context(rootview.opened(container, self._runtime, writable=True))
            place = _clean(path)
            await asyncio.to_thread(_found, lambda: _check_folder(root, place), path, ref)
            _check_writable(container, place)
            owner = await self._owner(container) if copy_uid_gid else None
            reader = TarReader(root, place, owner=owner, keep_kinds=no_overwrite_dir_non_dir)
            await writing(body, lambda source: _unpack(reader, source))

    async def export(self, ref: str) -> AsyncIterator[bytes]:
        """The container's file system without its volumes, as a tar."""
        container = self._records.get(ref)
        async with AsyncExitStack() as held:
            root = await held.enter_async_context(rootview.opened(container, self._runtime, volumes=False))
            still_held = held.pop_all()
        return _streamed(lambda out: _write(out, root, "/", ()), still_held)

    async def changes(self, ref: str) -> list[Change]:
        """What differs from the image."""
        container = self._records.get(ref)
        folders = rootfs.layers(await self._runtime.rootfs(container.id))
        return await asyncio.to_thread(changes, folders)

    async def _owner(self, container: Container) -> tuple[int, int] | None:
        if not container.config.user:
            return None
        layers = await self._runtime.rootfs(container.id)
        passwd, group = await asyncio.to_thread(
            lambda: (rootfs.read_text(layers, "etc/passwd"), rootfs.read_text(layers, "etc/group"))
        )
        found = user.resolve(container.config.user, passwd=passwd, group=group).user
        return found.uid, found.gid


async def _streamed(produce: Callable[[IO[bytes]], None], held: AsyncExitStack) -> AsyncIterator[bytes]:
    """What a thread writes, until the reader has had enough; ``held`` is let go afterwards."""
    async with held:
        async for data in reading(produce):
            yield data


def _write(out: IO[bytes], root: int, path: str, places: "list[str] | tuple[str, ...]") -> None:
    folder, name = posixpath.split(_clean(path))
    if not name:
        base = open_in(root, "/", os.O_RDONLY | os.O_DIRECTORY)
    elif _follows(path):
        base = open_in(root, posixpath.join(folder, name), os.O_RDONLY | os.O_DIRECTORY)
    else:
        base = open_in(root, folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        devices = {os.fstat(base).st_dev, *(device for place in places if (device := _device(root, place)) is not None)}
        with suppress(FileNotFoundError):
            devices.add(os.stat(name or ".", dir_fd=base, follow_symlinks=False).st_dev)
        with TarWriter(out, devices) as writer:
            if not name:
                writer.add_below(base, "")
            elif _follows(path):
                writer.add(base, ".", name)
            else:
                writer.add(base, name, name)
    except RecursionError as error:
        raise Internal("the archive is not whole: folders are nested too deep") from error
    finally:
        os.close(base)


def _device(root: int, place: str) -> int | None:
    try:
        fd = open_in(root, place, os.O_PATH)
    except OSError:
        return None
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)


def _unpack(reader: TarReader, source: IO[bytes]) -> None:
    try:
        reader.unpack(source)
    except OSError as error:
        kind = InvalidArgument if error.errno in _ARCHIVES_FAULT else Internal
        raise kind(f"the archive cannot be unpacked: {error}") from error


def _found(look: Callable[[], PathStat], path: str, ref: str) -> PathStat:
    try:
        return look()
    except (OSError, ValueError) as error:  # a path with a NUL in it is no OSError
        raise NotFound(f"Could not find the file {path} in container {ref}") from error


def _stat(root: int, path: str) -> PathStat:
    cleaned = _clean(path)
    follow = os.O_DIRECTORY if _follows(path) else os.O_NOFOLLOW
    above, name = posixpath.split(cleaned)
    fd = open_in(root, cleaned, os.O_PATH | follow)
    try:
        status = os.fstat(fd)
        target = os.readlink("", dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
    finally:
        os.close(fd)
    return PathStat(
        name=name or "/",
        size=status.st_size,
        mode=go_mode(status.st_mode),
        mtime=timestamp(datetime.fromtimestamp(status.st_mtime, UTC)),
        link_target=posixpath.normpath(posixpath.join(above, target)) if target else "",
    )


def _check_folder(root: int, place: str) -> PathStat:
    found = _stat(root, place)
    if not found.mode & _GO_KINDS[0][1]:
        # A link to a folder is one, too.
        try:
            found = _stat(root, f"{place}/")
        except NotADirectoryError as error:
            raise InvalidArgument("extraction point is not a directory") from error
    return found


def _check_writable(container: Container, place: str) -> None:
    inside = [p for p in container.mounts if place == p.destination or place.startswith(f"{p.destination}/")]
    if inside:
        if not max(inside, key=lambda point: len(point.destination)).rw:
            raise InvalidArgument("mounted volume is marked read-only")
    elif container.host_config.readonly_rootfs:
        raise InvalidArgument("container rootfs is marked read-only")


def go_mode(mode: int) -> int:
    """st_mode in the bits of Go's ``fs.FileMode``."""
    kind = next((bits for is_kind, bits in _GO_KINDS if is_kind(mode)), 0)
    return kind | sum(bit for unix, bit in _GO_BITS if mode & unix) | mode & 0o777


def _clean(path: str) -> str:
    return posixpath.normpath(f"/{path.lstrip('/')}")


def _follows(path: str) -> bool:
    return path.endswith(("/", "/."))
