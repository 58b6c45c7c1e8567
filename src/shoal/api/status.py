"""Which HTTP status an error is answered with: the only table there is."""

from typing import Final

from shoal.errors import (
    Conflict,
    FailedPrecondition,
    Forbidden,
    Internal,
    InvalidArgument,
    NoRoom,
    NotFound,
    NotModified,
    ShoalError,
    Unauthorized,
    Unavailable,
    Unimplemented,
)

_STATUS: Final[dict[type[ShoalError], int]] = {
    NotModified: 304,
    InvalidArgument: 400,
    FailedPrecondition: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Internal: 500,
    Unimplemented: 501,
    Unavailable: 503,
    NoRoom: 507,
}


def status_of(error: ShoalError) -> int:
    """The status for an error's kind, or for the nearest kind that it is derived from; 500 where there is none."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
