"""What the disk says, in words that tell a person what to do."""

import errno
import os
import sqlite3
from pathlib import Path

from shoal.errors import Internal, NoRoom, ShoalError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_FILES = (errno.EMFILE, errno.ENFILE)
_NO_PROCESSES = (errno.EAGAIN, errno.ENOMEM)
_MACHINES = (*_NO_SPACE, *_NO_FILES, *_NO_PROCESSES, errno.EROFS, errno.EIO)


def refusal(what: str, error: OSError | sqlite3.Error, root: Path) -> ShoalError:
    """The error of ours: :class:`NoRoom` where that is what is missing below ``root``, else :class:`Internal`."""
    kind = NoRoom if _is_full(error, root) else Internal
    return kind(f"{what}: {explain(error, root)}")


def machines(error: BaseException, root: Path) -> ShoalError | None:
    """The error of ours for one that is the machine's doing, wherever it came up; None for any other."""
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        error = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    if not isinstance(error, OSError) or error.errno not in _MACHINES:
        return None
    return refusal(error.filename if isinstance(error.filename, str) else "the engine cannot go on", error, root)


def explain(error: OSError | sqlite3.Error, root: Path) -> str:
    """The reason and the remedy for something below ``root``, the folder that a person would look at."""
    if _is_full(error, root):
        return f"no space left on device: free some below {root}"
    if _is_read_only(error, root):
        return f"the file system of {root} is read-only: mount it writable"
    if isinstance(error, OSError):
        if error.errno in _NO_FILES:
            return "too many open files: raise the daemon's limit (LimitNOFILE=, ulimit -n)"
        if error.errno in _NO_PROCESSES:
            return f"no memory or process to be had ({(error.strerror or '').lower()}): raise the daemon's limits"
        return (error.strerror or str(error)).lower()
    return str(error)


def _is_full(error: OSError | sqlite3.Error, root: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno in _NO_SPACE
    if _primary(error) == sqlite3.SQLITE_FULL:
        return True
    # Where it cannot grow its index file, SQLite has nothing better to say than that there was an I/O error.
    return _primary(error) in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and _free(root) == 0


def _is_read_only(error: OSError | sqlite3.Error, root: Path) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.EROFS
    if _primary(error) == sqlite3.SQLITE_READONLY:
        return True
    return _primary(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR) and _probe(root) == errno.EROFS


def _primary(error: sqlite3.Error) -> int:
    """The lower byte of SQLite's result code (sqlite.org/rescode.html); 0 where Python's module raised by itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _free(root: Path) -> int:
    """Blocks that can be had below the folder; -1 where nobody knows."""
    try:
        return os.statvfs(root).f_bavail
    except OSError:
        return -1


def _probe(root: Path) -> int:
    """What is in the way of a new file there: an errno, 0 for nothing. A file system that has failed does not always
    say of itself that it is read-only."""
    try:
        os.close(os.open(root, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return error.errno or 0
    return 0
