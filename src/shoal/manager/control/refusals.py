"""Errors as dockerd passes them on from the swarm's own gRPC service: users and scripts know them in this form."""

from shoal.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound, Unimplemented


def invalid(text: str) -> InvalidArgument:
    """The request can't work as it stands."""
    return InvalidArgument(f"rpc error: code = InvalidArgument desc = {text}")


def in_use(text: str) -> FailedPrecondition:
    """The object's state does not allow it."""
    return FailedPrecondition(f"rpc error: code = FailedPrecondition desc = {text}")


def exists(text: str) -> Conflict:
    """The name is taken."""
    return Conflict(f"rpc error: code = AlreadyExists desc = {text}")


def unimplemented(text: str) -> Unimplemented:
    """Docker's swarm does not do this either."""
    return Unimplemented(f"rpc error: code = Unimplemented desc = {text}")


def missing(text: str) -> NotFound:
    """It is not there (any more)."""
    return NotFound(f"rpc error: code = NotFound desc = {text}")


def out_of_sequence() -> InvalidArgument:
    """An update was made from an older version than the present one.

    dockerd answers 500 with gRPC code Unknown; the request is the one at fault, so here it is a bad request.
    """
    return InvalidArgument("rpc error: code = Unknown desc = update out of sequence")
