"""A gRPC call, named and typed.

The calls are declared beside their users, ``KILL = Unary("…tasks.v1.Tasks/Kill", KillRequest, Empty)``, since grpcio's
generated stubs carry no types.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

Req = TypeVar("Req", bound=Message)
Resp = TypeVar("Resp", bound=Message)


@dataclass(frozen=True, slots=True)
class Unary(Generic[Req, Resp]):
    """One question, one answer."""

    path: str
    request: type[Req]
    response: type[Resp]


@dataclass(frozen=True, slots=True)
class Streaming(Generic[Req, Resp]):
    """One question, a stream of answers."""

    path: str
    request: type[Req]
    response: type[Resp]


@dataclass(frozen=True, slots=True)
class Duplex(Generic[Req, Resp]):
    """A stream both ways."""

    path: str
    request: type[Req]
    response: type[Resp]
