"""From errno to the kinds of :mod:`shoal.errors`; every error that the kernel caused keeps its ``errno``."""

import errno
import os

from shoal.errors import Conflict, Forbidden, Internal, NotFound, ShoalError


class KernelError(ShoalError):
    """The kernel refused; always raised as one of the subclasses below, which say what to make of it."""

    def __init__(self, text: str, number: int) -> None:
        super().__init__(text)
        self.errno = number


class KernelNotFound(KernelError, NotFound):
    """The link, namespace, address, route or entry does not exist."""


class KernelConflict(KernelError, Conflict):
    """It exists already, or something else holds it."""


class KernelForbidden(KernelError, Forbidden):
    """The capability is missing."""


class KernelInternal(KernelError, Internal):
    """Anything else: the request was wrong, the kernel lacks a feature, or the machine is at its end."""


_KINDS: dict[int, type[KernelError]] = {
    errno.ENODEV: KernelNotFound,
    errno.ENOENT: KernelNotFound,
    errno.ESRCH: KernelNotFound,
    errno.EADDRNOTAVAIL: KernelNotFound,
    errno.EEXIST: KernelConflict,
    errno.EBUSY: KernelConflict,
    errno.EADDRINUSE: KernelConflict,
    errno.EPERM: KernelForbidden,
    errno.EACCES: KernelForbidden,
}


def fault(number: int, doing: str, detail: str = "") -> KernelError:
    """The error for a positive errno; ``doing`` says what was tried, ``detail`` is the kernel's own text, if any."""
    reason = os.strerror(number)
    text = f"{doing}: {detail} ({reason})" if detail else f"{doing}: {reason}"
    error = _KINDS.get(number, KernelInternal)(text, number)
    error.__cause__ = OSError(number, reason)
    return error


def from_os(error: OSError, doing: str) -> KernelError:
    """The error for what the standard library raised; to be raised ``from error``."""
    return fault(error.errno or errno.EIO, doing)
