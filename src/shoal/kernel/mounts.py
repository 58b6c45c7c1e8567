"""Mounts, and looking at a tree of files that others arranged without being led out of it.

A *view* is a tree of mounts that hangs nowhere: it has a descriptor for its root and goes when that is closed
(open_tree(2)), so a crash leaves nothing mounted. Whatever is opened in it, or in another process's root, goes through
:func:`open_in`, for which the root is ``/`` and magic links lead nowhere (openat2(2)).
"""

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from shoal.kernel.faults import fault, from_os

T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.unshare.argtypes = [ctypes.c_int]
_libc.syscall.restype = ctypes.c_long

# The same numbers on every architecture since they were added (Linux 5.2 and 5.6).
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_OPENAT2 = 428, 429, 437
_OPEN_TREE_CLONE, _AT_EMPTY_PATH, _AT_RECURSIVE = 1, 0x1000, 0x8000
_MOVE_FROM_EMPTY, _MOVE_TO_EMPTY = 0x4, 0x40
_RESOLVE_NO_MAGICLINKS, _RESOLVE_IN_ROOT = 0x02, 0x10
_CLONE_NEWNS = 0x20000
_AT_FDCWD = -100
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_SET = {
    "ro": 0x1, "nosuid": 0x2, "nodev": 0x4, "noexec": 0x8, "sync": 0x10, "remount": 0x20, "mand": 0x40, "dirsync": 0x80,
    "noatime": 0x400, "nodiratime": 0x800, "bind": _MS_BIND, "rbind": _MS_BIND | _MS_REC, "relatime": 0x200000,
    "strictatime": 0x1000000,
}  # fmt: skip
_CLEAR = {"rw": 0x1, "suid": 0x2, "dev": 0x4, "exec": 0x8, "async": 0x10, "atime": 0x400, "defaults": 0}
# A place that is there on every machine, and whose own content nobody needs where it is covered.
_STAND = "/proc"


class MountCall(NamedTuple):
    """The arguments of a mount(2); ``options`` as on mount(8)'s command line."""

    kind: str
    source: str
    options: tuple[str, ...] = ()


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def mount(call: MountCall, target: Path) -> None:
    """Mount it there, for everybody on the machine to see."""
    _mount(call, os.fspath(target))


def unmount(target: Path) -> None:
    """Take the uppermost mount away; who still uses it keeps it until then. Nothing mounted there is fine."""
    if _libc.umount2(bytes(target), _MNT_DETACH) < 0 and ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):
        raise fault(ctypes.get_errno(), f"unmount {target}")


def is_mounted(target: Path) -> bool:
    """Whether something is mounted at that very path."""
    wanted = os.fspath(target)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(_unescape(line.split(" ", 5)[4]) == wanted for line in file)


def view(root: MountCall, binds: Sequence[tuple[str, str]] = ()) -> int:
    """The descriptor of a tree that is ``root`` with folders and files of the host bound into it.

    ``binds`` are sources and their places in the tree, outer before inner; one whose source or place is
    not there is left out.
    """
    return _in_a_thread_of_its_own(lambda: _view(root, binds))


def open_in(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open ``path`` with ``root`` (a folder's descriptor) as its ``/``, wherever its symbolic links may point.

    :raises OSError: as open(2) says; ELOOP for a magic link such as ``/proc/1/root``.
    """
    if "\0" in path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    while True:
        fd = _libc.syscall(
            _SYS_OPENAT2, root, ctypes.c_char_p(os.fsencode(path)), ctypes.byref(how), ctypes.sizeof(how)
        )
        if fd >= 0:
            return int(fd)
        if ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):  # EAGAIN: a rename went on beside the lookup of ..
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def _view(root: MountCall, binds: Sequence[tuple[str, str]]) -> int:
    _check(_libc.unshare(_CLONE_NEWNS), "unshare the mounts")
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None), "keep mounts private")
    # Before the stand is covered, in case a source lies there.
    sources = [(_open_tree(_AT_FDCWD, source), place) for source, place in binds if os.path.exists(source)]
    try:
        _mount(root, _STAND)
        base = os.open(_STAND, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for tree, place in sources:
                _bind(base, tree, place)
            return _open_tree(base, "")
        finally:
            os.close(base)
    except OSError as error:
        raise from_os(error, "look into a root file system") from error
    finally:
        for tree, _ in sources:
            os.close(tree)


def _bind(base: int, tree: int, place: str) -> None:
    try:
        target = open_in(base, place, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if stat.S_ISDIR(os.fstat(target).st_mode) != stat.S_ISDIR(os.fstat(tree).st_mode):
            return
        nothing, flags = ctypes.c_char_p(b""), _MOVE_FROM_EMPTY | _MOVE_TO_EMPTY
        _check(_libc.syscall(_SYS_MOVE_MOUNT, tree, nothing, target, nothing, flags), f"bind to {place}")
    finally:
        os.close(target)


def _open_tree(base: int, path: str) -> int:
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | _AT_EMPTY_PATH | os.O_CLOEXEC
    fd = _libc.syscall(_SYS_OPEN_TREE, base, ctypes.c_char_p(os.fsencode(path)), flags)
    _check(fd, f"open the tree {path}")
    return int(fd)


def _mount(call: MountCall, target: str) -> None:
    flags, data = _flags(call.options)
    text = ",".join(data)
    if call.kind == "overlay" and len(text) > 3000:
        # mount(2) takes a page of options: many layers fit when they are named from the folder they share.
        text = _shortened(data)
    doing = f"mount {call.source} on {target}"
    arguments = os.fsencode(call.source), os.fsencode(target), call.kind.encode()
    _check(_libc.mount(*arguments, flags, text.encode() or None), doing)
    if flags & _MS_BIND and flags & ~(_MS_BIND | _MS_REC):  # a bind takes no other flag when it is made
        _check(_libc.mount(*arguments, flags | _MS_REMOUNT, None), doing)


def _flags(options: Sequence[str]) -> tuple[int, list[str]]:
    """mount(2)'s flags, and what is for the file system itself."""
    flags, data = 0, []
    for option in options:
        if option in _SET:
            flags |= _SET[option]
        elif option in _CLEAR:
            flags &= ~_CLEAR[option]
        else:
            data.append(option)
    return flags, data


def _shortened(data: Sequence[str]) -> str:
    """Overlay options relative to the working folder, which is set: only for a thread that has one of its own."""
    options = dict(option.partition("=")[::2] for option in data)
    layers = options["lowerdir"].split(":")
    shared = os.path.commonpath(layers)
    os.chdir(shared)
    options["lowerdir"] = ":".join(os.path.relpath(layer, shared) for layer in layers)
    return ",".join(f"{key}={value}" if value else key for key, value in options.items())


def _in_a_thread_of_its_own(work: Callable[[], T]) -> T:
    """Run ``work`` in a thread that ends with it: its mount namespace, which it never leaves, ends then too."""
    with ThreadPoolExecutor(1, thread_name_prefix="mounts") as thread:
        return thread.submit(work).result()


def _unescape(text: str) -> str:
    """mountinfo writes blanks and backslashes as three octal digits (proc(5))."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _check(result: int, doing: str) -> None:
    if result < 0:
        raise fault(ctypes.get_errno(), doing)
