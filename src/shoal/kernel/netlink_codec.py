"""Netlink's bytes: messages and attributes, both ways (netlink(7), include/uapi/linux/netlink.h).

An attribute is a 4-byte head (length with the head, type) and a payload, padded to 4 bytes; a message a 16-byte head
(length, type, flags, sequence number, port) and a body, which starts with a fixed part that its type defines. Numbers
are the machine's own unless the name says ``be``.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_ACK_TLVS = 0x200

_TYPE_MASK = 0x3FFF  # the upper two bits say "nested" and "big-endian"
_NESTED = 0x8000
_HEAD = struct.Struct("=IHHII")
_ATTR = struct.Struct("=HH")
_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")
_S32 = struct.Struct("=i")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

Attributes = dict[int, bytes]


class Frame(NamedTuple):
    """One message as it came."""

    type: int
    flags: int
    sequence: int
    body: bytes


def pack_message(type_: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A whole message, ready to send; the kernel fills in the port."""
    length = 16 + len(body)
    return _HEAD.pack(length, type_, flags, sequence, 0) + body + _PADDING[length & 3]


def frames(data: bytes) -> Iterator[Frame]:
    """The messages of a datagram; what is cut off at the end is left out."""
    offset, end = 0, len(data)
    while offset + 16 <= end:
        length, type_, flags, sequence, _port = _HEAD.unpack_from(data, offset)
        if length < 16 or offset + length > end:
            return
        yield Frame(type_, flags, sequence, data[offset + 16 : offset + length])
        offset += (length + 3) & ~3


def attributes(data: bytes, offset: int = 0) -> Attributes:
    """The attributes from ``offset`` on, by type; of several with one type the last. A cut-off one ends it."""
    found: Attributes = {}
    end = len(data)
    unpack = _ATTR.unpack_from
    while offset + 4 <= end:
        length, type_ = unpack(data, offset)
        if length < 4 or offset + length > end:
            break
        found[type_ & _TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def attr(type_: int, payload: bytes = b"") -> bytes:
    """One attribute, padded."""
    length = 4 + len(payload)
    return _ATTR.pack(length, type_) + payload + _PADDING[length & 3]


def nest(type_: int, *inner: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attr(type_ | _NESTED, b"".join(inner))


def u8(type_: int, value: int) -> bytes:
    """An attribute of one byte; True and False count as 1 and 0."""
    return attr(type_, bytes((value,)))


def u32(type_: int, value: int) -> bytes:
    """An attribute of four bytes."""
    return attr(type_, _U32.pack(value))


def be16(type_: int, value: int) -> bytes:
    """An attribute of two bytes in network order, as ports are."""
    return attr(type_, value.to_bytes(2, "big"))


def string(type_: int, value: str) -> bytes:
    """An attribute with a C string."""
    return attr(type_, value.encode() + b"\0")


def to_u32(payload: bytes) -> int:
    """The payload of an attribute of four bytes."""
    value: int = _U32.unpack_from(payload)[0]
    return value


def to_s32(payload: bytes) -> int:
    """The payload of a signed attribute of four bytes."""
    value: int = _S32.unpack_from(payload)[0]
    return value


def to_u16(payload: bytes) -> int:
    """The payload of an attribute of two bytes."""
    value: int = _U16.unpack_from(payload)[0]
    return value


def to_string(payload: bytes) -> str:
    """The payload of an attribute with a C string; bytes that are no UTF-8 come as surrogates."""
    return payload.rstrip(b"\0").decode(errors="surrogateescape")
