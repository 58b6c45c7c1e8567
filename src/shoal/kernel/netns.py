"""Named network namespaces, as ``ip netns`` makes them, and the way into one and back.

The layout (a bind mount of the namespace on a file of the shared mount /run/netns) is ip-netns(8)'s, so ``ip netns
list`` and ``exec`` work on ours and we on theirs. Entering changes the calling thread: see the package.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shoal.errors import Internal, InvalidArgument
from shoal.kernel.faults import KernelConflict, KernelNotFound, fault, from_os

T = TypeVar("T")

BASE = Path("/run/netns")
HOST = Path("/proc/self/ns/net")  # the main thread's namespace, wherever a worker happens to be
_OURS = "/proc/thread-self/ns/net"

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.setns.argtypes = [ctypes.c_int, ctypes.c_int]
_libc.unshare.argtypes = [ctypes.c_int]


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace and what tells it from every other that lives now: its inode on nsfs."""

    path: Path
    inode: int


def create(name: str, base: Path = BASE, *, mark: str = "", prepare: Callable[[], None] = lambda: None) -> Namespace:
    """Make a namespace called ``name``, with a ``lo`` that is down. ``prepare`` is called in it before it is named.

    Whoever is killed in the middle leaves no namespace that is not prepared, and no file without the ``mark`` in it
    (:func:`leftovers`). A plain file of that name, left over from a crash or a reboot, is used. Raises Conflict if the
    namespace exists, InvalidArgument for a name that is no file name, and what ``prepare`` raises.
    """
    path = _path(name, base)
    if exists(name, base):
        raise KernelConflict(f"the namespace {name} exists already", errno.EEXIST)
    try:
        _share(base)
        with _coming_back():
            _check(_libc.unshare(_CLONE_NEWNET), f"make the namespace {name}")
            prepare()
            _put_file(path, mark)
            try:
                _mount(_OURS, path, _MS_BIND)
            except BaseException:
                path.unlink()
                raise
    except OSError as error:
        raise from_os(error, f"make the namespace {name}") from error
    return identify(path)


def _put_file(path: Path, mark: str) -> None:
    """The file that a namespace is mounted on, which comes to be with the mark in it."""
    if path.exists():
        return
    new = path.with_name(f".{path.name}.new")
    new.write_text(mark)
    new.chmod(0o444)
    new.rename(path)


def leftovers(mark: str, base: Path = BASE) -> list[str]:
    """The names under which no namespace is (any more), whose files have this mark."""
    found = []
    for name in os.listdir(base) if base.is_dir() else ():
        with suppress(OSError):
            if not exists(name, base) and (base / name).read_text(errors="replace") == mark:
                found.append(name)
    return found


def give_name(fd: int, name: str, base: Path = BASE, *, mark: str = "") -> None:
    """Give the namespace behind an open descriptor a name, as :func:`create` does. Raises Conflict if another has it,
    InvalidArgument for a name that is no file name."""
    path = _path(name, base)
    if exists(name, base):
        raise KernelConflict(f"the namespace {name} exists already", errno.EEXIST)
    try:
        _share(base)
        _put_file(path, mark)
    except OSError as error:
        raise from_os(error, f"name the namespace {name}") from error
    _mount(f"/proc/self/fd/{fd}", path, _MS_BIND)


def delete(name: str, base: Path = BASE) -> None:
    """Take the name away; the namespace goes when no process and no socket is left in it. Absent is fine."""
    path = _path(name, base)
    while _libc.umount2(bytes(path), _MNT_DETACH) == 0:
        pass  # two that gave it at the same time have put one mount upon the other
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):
        raise fault(ctypes.get_errno(), f"remove the namespace {name}")
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise from_os(error, f"remove the namespace {name}") from error


def exists(name: str, base: Path = BASE) -> bool:
    """Whether there is a namespace called ``name``; a leftover file without one does not count."""
    try:
        return _path(name, base).stat().st_dev == HOST.stat().st_dev
    except FileNotFoundError:
        return False


def list_names(base: Path = BASE) -> list[str]:
    """The names of all namespaces there, whoever made them, sorted."""
    try:
        return sorted(name for name in os.listdir(base) if exists(name, base))
    except FileNotFoundError:
        return []


def identify(path: Path) -> Namespace:
    """The namespace that ``path`` leads to: a name's file or a ``/proc/<pid>/ns/net``. Raises NotFound."""
    try:
        return Namespace(path, path.stat().st_ino)
    except OSError as error:
        raise from_os(error, f"look at the namespace {path}") from error


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A file descriptor of the namespace, for the block; it keeps the namespace alive meanwhile. Raises NotFound."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise from_os(error, f"open the namespace {path}") from error
    try:
        if os.fstat(fd).st_dev != HOST.stat().st_dev:
            raise KernelNotFound(f"open the namespace {path}: no namespace has that name", errno.ENOENT)
        yield fd
    finally:
        os.close(fd)


def run_in(path: Path | None, fn: Callable[[], T]) -> T:
    """Call ``fn`` with this thread in the namespace (None: where it is already), then go back; about 20 us.

    Raises NotFound if there is no such namespace and Internal if the way back is closed, after which the thread must
    not be used any more.
    """
    if path is None:
        return fn()
    with opened(path) as fd, _coming_back():
        _check(_libc.setns(fd, _CLONE_NEWNET), f"enter the namespace {path}")
        return fn()


@contextmanager
def _coming_back() -> Iterator[None]:
    home = os.open(_OURS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        failed = _libc.setns(home, _CLONE_NEWNET) < 0
        os.close(home)
        if failed:
            raise Internal(f"a thread cannot leave a network namespace: {os.strerror(ctypes.get_errno())}")


def _path(name: str, base: Path) -> Path:
    if not name or "/" in name or "\0" in name or name in (".", "..") or len(name.encode()) > 255:
        raise InvalidArgument(f"{name!r} is no name for a network namespace")
    return base / name


def _share(base: Path) -> None:
    """Make ``base`` a shared mount, so that a namespace unmounted here goes from every other mount namespace too."""
    base.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # iproute2 takes it too; two makers would stack two mounts
        if _libc.mount(b"", bytes(base), b"none", _MS_SHARED | _MS_REC, None) == 0:
            return
        if ctypes.get_errno() != errno.EINVAL:  # EINVAL: not a mount point yet
            raise fault(ctypes.get_errno(), f"share {base}")
        _mount(base, base, _MS_BIND | _MS_REC)
        _check(_libc.mount(b"", bytes(base), b"none", _MS_SHARED | _MS_REC, None), f"share {base}")
    finally:
        os.close(lock)


def _mount(source: str | Path, target: Path, flags: int) -> None:
    _check(_libc.mount(os.fsencode(source), bytes(target), b"none", flags, None), f"mount {target}")


def _check(result: int, doing: str) -> None:
    if result < 0:
        raise fault(ctypes.get_errno(), doing)
