import errno
import os
import sqlite3
from pathlib import Path

import pytest

from shoal.durable.faults import explain, machines, refusal
from shoal.errors import Internal, NoRoom

ROOT = Path("/var/lib/shoal")


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/var/lib/shoal/x")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left on device: free some below /var/lib/shoal"),
        (errno.EDQUOT, "no space left on device: free some below /var/lib/shoal"),
        (errno.EROFS, "the file system of /var/lib/shoal is read-only: mount it writable"),
        (errno.EMFILE, "too many open files: raise the daemon's limit"),
        (errno.EAGAIN, "no memory or process to be had"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_what_the_kernel_says(number: int, words: str) -> None:
    assert words in explain(os_error(number), ROOT)


def test_kinds() -> None:
    assert isinstance(refusal("it", os_error(errno.ENOSPC), ROOT), NoRoom)
    assert isinstance(refusal("it", os_error(errno.EROFS), ROOT), Internal)
    assert str(refusal("it", sqlite3.OperationalError("odd"), ROOT)) == "it: odd"


def test_only_what_is_the_machines_doing_is_taken_for_it() -> None:
    assert isinstance(machines(os_error(errno.ENOSPC), ROOT), NoRoom)
    assert "limits" in str(machines(RuntimeError("can't start new thread"), ROOT))
    for error in (RuntimeError("a fault of ours"), os_error(errno.ENOENT), ValueError()):
        assert machines(error, ROOT) is None
