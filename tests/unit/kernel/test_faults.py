import errno

import pytest

from shoal.errors import Conflict, Forbidden, Internal, NotFound, ShoalError
from shoal.kernel.faults import KernelError, fault, from_os


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EEXIST, Conflict),
        (errno.EBUSY, Conflict),
        (errno.ENODEV, NotFound),
        (errno.ENOENT, NotFound),
        (errno.ESRCH, NotFound),
        (errno.EADDRNOTAVAIL, NotFound),
        (errno.EPERM, Forbidden),
        (errno.EINVAL, Internal),
        (errno.ENOBUFS, Internal),
        (99999, Internal),
    ],
)
def test_an_errno_has_its_kind(number: int, kind: type[ShoalError]) -> None:
    error = fault(number, "add the bridge br0", "the kernel's words")
    assert isinstance(error, kind)
    assert error.errno == number
    assert str(error).startswith("add the bridge br0: the kernel's words (")
    assert isinstance(error.__cause__, OSError)


def test_an_oserror_keeps_its_number() -> None:
    assert from_os(FileNotFoundError(errno.ENOENT, "x"), "look").errno == errno.ENOENT
    assert isinstance(from_os(OSError("without a number"), "look"), KernelError)
