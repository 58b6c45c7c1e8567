"""The errors that callers can act on, as kinds.

    ShoalError
    ├── InvalidArgument     the request can never work as it stands        400
    ├── Unauthorized        who asks is not known, or not well enough      401
    ├── Forbidden           known, and still not allowed                   403
    ├── NotFound            what is named does not exist                   404
    ├── Conflict            it exists, or its state does not allow this    409
    ├── NotModified         it is so already                               304
    ├── FailedPrecondition  swarm objects: in use, out of date             400
    ├── Unavailable         not now: no swarm here, no registry there      503
    │   ├── NoRoom          not before somebody frees space on the disk    507
    │   └── Uncertain       asked, and never heard whether it was done     503
    ├── Unimplemented       Docker can, we cannot (yet)                    501
    └── Internal            our fault, or the machine's                    500
        └── Damaged         state on disk that cannot be trusted           500

Foreign errors are translated where they enter: netlink's errno in ``kernel``, gRPC's codes in ``container``, SQLite's
in ``store``; the cause is chained. ``api/status.py`` has the only table from kind to HTTP status.
"""


class ShoalError(Exception):
    """Base of all errors that Shoal raises on purpose; its text is meant for the user."""


class InvalidArgument(ShoalError):
    """The request can never work as it stands."""


class Unauthorized(ShoalError):
    """Who asks is not known, or not well enough."""


class Forbidden(ShoalError):
    """Who asks is known, and still not allowed to."""


class NotFound(ShoalError):
    """What the request names does not exist."""


class Conflict(ShoalError):
    """The name is taken, or the state of the object does not allow this."""


class NotModified(ShoalError):
    """The object is already as the request wants it; no failure."""


class FailedPrecondition(ShoalError):
    """A swarm object is in use or out of date; Docker answers these as bad requests."""


class Unavailable(ShoalError):
    """It cannot be done now: this node is no swarm manager, a registry does not answer."""


class NoRoom(Unavailable):
    """The disk is full. Nothing was changed, and the same can be asked again once there is room."""


class Uncertain(Unavailable):
    """It was asked for, and no answer came: it may be done, now or later, or never. Look before asking again."""


class Unimplemented(ShoalError):
    """Docker knows this, Shoal does not (yet)."""


class Internal(ShoalError):
    """Our own fault, or the machine's: a kernel or runtime call failed that should not have."""


class Damaged(Internal):
    """State on disk cannot be trusted. Whoever starts from it must not: a backup or ``--recover`` is needed first."""
