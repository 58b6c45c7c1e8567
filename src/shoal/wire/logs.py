"""What a node sends into the stream of a log (:class:`shoal.wire.cluster.ReadLog`), as MessagePack."""

from typing import Annotated, Literal

import msgspec

# In ns since 1970, up to the year 2262: others could not be shown as dates.
Moment = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Line(msgspec.Struct, frozen=True, array_like=True):
    """A :class:`~shoal.objects.results.LogLine`. Whose it is says the stream that it comes by."""

    stream: Literal["stdout", "stderr"]
    time: Moment
    data: bytes


class LogLines(msgspec.Struct, frozen=True):
    """Lines in their order. The first message has none, and in ``now`` the node's time (ns since 1970) before it began
    to read; a later one without any says that there are no more at the moment."""

    now: Moment
    lines: list[Line]


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[LogLines] = msgspec.msgpack.Decoder(LogLines)


def pack_lines(message: LogLines) -> bytes:
    """One message as MessagePack."""
    return _encoder.encode(message)


def unpack_lines(data: bytes) -> LogLines:
    """A node's message. Raises msgspec.DecodeError or msgspec.ValidationError."""
    return _decoder.decode(data)
