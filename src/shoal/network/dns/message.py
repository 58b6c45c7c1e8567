"""DNS packets, as far as a stub resolver's peer needs them: questions read, answers written. Pure.

RFC 1035 section 4 (format), RFC 6891 (EDNS), RFC 7766 (TCP). A question's bytes are echoed as they came, so clients
that randomise the case of letters (0x20) get their own case back.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

HEADER = struct.Struct(">HHHHHH")
_RECORD = struct.Struct(">HHIH")
_TYPE_CLASS = struct.Struct(">HH")

QR = 0x8000
TC = 0x0200
RD = 0x0100
RA = 0x0080
_OPCODE = 0x7800
_ECHOED_FLAGS = _OPCODE | RD

PLAIN_UDP_SIZE = 512
OUR_UDP_SIZE = 1232  # what we say we take; the value of DNS flag day 2020
_QUESTION_NAME = b"\xc0\x0c"  # a compression pointer to the question, which starts right after the header


class Type(IntEnum):
    """Record types that are answered here."""

    A = 1
    PTR = 12
    AAAA = 28
    OPT = 41
    ANY = 255


class Rcode(IntEnum):
    """Response codes that are given here."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    BADVERS = 16


CLASS_IN = 1
CLASS_ANY = 255


class Malformed(Exception):
    """The packet breaks off, or its names are not names."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question. ``name`` is in lower case, labels joined by dots (a dot inside a label is written ``\\.``)."""

    id: int
    flags: int
    name: bytes
    type: int
    klass: int
    question: bytes
    udp_size: int
    edns: bool
    edns_version: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One record of an answer to the question's own name: data in wire form."""

    type: int
    ttl: int
    data: bytes


def read_name(packet: bytes, start: int) -> tuple[bytes, int]:
    """The uncompressed name at ``start`` and the offset after it. Raises :class:`Malformed`."""
    labels = []
    at = start
    while True:
        if at >= len(packet):
            raise Malformed("the name breaks off")
        size = packet[at]
        if size == 0:
            break
        if size > 63:
            raise Malformed("a label of over 63 bytes, or a pointer in a question")
        label = packet[at + 1 : at + 1 + size]
        if len(label) < size:
            raise Malformed("the label breaks off")
        labels.append(label.replace(b".", b"\\."))
        at += 1 + size
        if at - start > 254:
            raise Malformed("a name of over 255 bytes")
    return b".".join(labels).lower(), at + 1


def write_name(name: bytes) -> bytes:
    """``name`` in wire form. Raises :class:`Malformed` when it cannot be one."""
    labels = name.rstrip(b".").split(b".") if name.rstrip(b".") else []
    if any(not 0 < len(label) < 64 for label in labels) or len(name) > 253:
        raise Malformed(f"{name!r} is no DNS name")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def read_query(packet: bytes) -> Query:
    """The question in ``packet``, which is at least a header long. Raises :class:`Malformed`."""
    ident, flags, questions, answers, authorities, additional = HEADER.unpack_from(packet)
    if questions != 1:
        raise Malformed("not one question")
    name, at = read_name(packet, HEADER.size)
    if at + 4 > len(packet):
        raise Malformed("the question breaks off")
    type_, klass = _TYPE_CLASS.unpack_from(packet, at)
    end = at + 4
    udp_size, edns, version = PLAIN_UDP_SIZE, False, 0
    at = end
    for _ in range(answers + authorities + additional):
        _, at = read_name(packet, at)
        if at + _RECORD.size > len(packet):
            raise Malformed("a record breaks off")
        record_type, record_class, ttl, size = _RECORD.unpack_from(packet, at)
        at += _RECORD.size + size
        if at > len(packet):
            raise Malformed("a record's data breaks off")
        if record_type == Type.OPT:
            if edns:
                raise Malformed("two OPT records")
            # An OPT record's class is the sender's UDP size; its TTL holds, among others, the version.
            udp_size, edns, version = max(PLAIN_UDP_SIZE, record_class), True, ttl >> 16 & 0xFF
    return Query(ident, flags, name, type_, klass, packet[HEADER.size : end], udp_size, edns, version)


def write_response(query: Query, answers: tuple[Answer, ...], *, rcode: int = 0, limit: int | None = None) -> bytes:
    """The response to ``query``; beyond ``limit`` bytes (None: no limit) the answers are left out and TC is set."""
    flags = QR | query.flags & _ECHOED_FLAGS | RA | rcode & 0xF
    opt = b""
    if query.edns:
        opt = b"\0" + struct.pack(">HHIH", Type.OPT, OUR_UDP_SIZE, rcode >> 4 << 24, 0)
    body = b"".join(
        _QUESTION_NAME + _RECORD.pack(answer.type, CLASS_IN, answer.ttl, len(answer.data)) + answer.data
        for answer in answers
    )
    count = len(answers)
    if limit is not None and HEADER.size + len(query.question) + len(body) + len(opt) > limit:
        flags, body, count = flags | TC, b"", 0
    return HEADER.pack(query.id, flags, 1, count, 0, 1 if opt else 0) + query.question + body + opt


def write_formerr(packet: bytes, rcode: Rcode = Rcode.FORMERR) -> bytes:
    """A bare header that says the packet (of at least a header's length) could not be read."""
    ident, flags = struct.unpack_from(">HH", packet)
    return HEADER.pack(ident, QR | flags & _ECHOED_FLAGS | RA | rcode, 0, 0, 0, 0)
