"""What is known, and the answers from it. Pure: packet and tables in, packet or :class:`Forward` out.

TTLs are the records' own: 600 s for a service's VIP, which stays while its tasks come and go (and is what Docker
gives everything), 5 s for ``tasks.<service>``, dnsrr names and containers, whose addresses go with them. A known name
without an address of the family that is asked for, or asked for any other type, exists and is empty (NOERROR): an
NXDOMAIN for AAAA or HTTPS would make resolvers drop the A record too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from shoal.errors import InvalidArgument
from shoal.network.dns.message import (
    CLASS_ANY,
    CLASS_IN,
    HEADER,
    QR,
    Answer,
    Malformed,
    Query,
    Rcode,
    Type,
    read_query,
    write_formerr,
    write_name,
    write_response,
)
from shoal.wire.keeper import TASK_TTL, Pointer, Record

_MAX_ROTATIONS = 16
_OPCODE_MASK = 0x7800


@dataclass(frozen=True, slots=True)
class Entry:
    """All that one name stands for."""

    answers: tuple[Answer, ...]
    shuffle: bool


@dataclass(frozen=True, slots=True)
class Table:
    """The records of one network, or one sandbox's own, by name in lower case."""

    names: dict[bytes, Entry]


@dataclass(frozen=True, slots=True)
class Known:
    """Answers that are right until a table changes, without their two bytes of id; several are given in turn."""

    variants: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Forward:
    """Nothing is known: the upstream resolvers are to be asked."""

    query: Query


def index(records: Iterable[Record], pointers: Iterable[Pointer]) -> Table:
    """The table of these records; several of one name are joined. Raises :class:`InvalidArgument`."""
    names: dict[bytes, Entry] = {}
    for record in records:
        _add(names, _key(record.name), _addresses(record), shuffle=record.shuffle)
    for pointer in pointers:
        reverse = _address(pointer.address).reverse_pointer.encode()
        _key(pointer.name)
        data = write_name(pointer.name.encode())
        _add(names, reverse, (Answer(Type.PTR, TASK_TTL, data),), shuffle=False)
    return Table(names)


def respond(packet: bytes, tables: Sequence[Table], *, stream: bool = False) -> Known | Forward | bytes | None:
    """What to do about ``packet``: an answer from the tables, to ask upstream, an error to send, or nothing at all.

    The first table that knows the name answers. ``stream`` (TCP) knows no size limit. Never raises.
    """
    if len(packet) < HEADER.size or packet[2] & QR >> 8:
        return None
    if int.from_bytes(packet[2:4]) & _OPCODE_MASK:
        return write_formerr(packet, Rcode.NOTIMP)
    try:
        query = read_query(packet)
    except Malformed:
        return write_formerr(packet)
    if query.edns_version:
        return write_response(query, (), rcode=Rcode.BADVERS)
    if query.klass not in (CLASS_IN, CLASS_ANY):
        return Forward(query)
    entries = [entry for table in tables if (entry := table.names.get(query.name)) is not None]
    if not entries:
        return Forward(query)
    limit = None if stream else query.udp_size
    for entry in entries:
        answers = tuple(a for a in entry.answers if query.type in (a.type, Type.ANY))
        if answers:
            orders = _rotations(answers) if entry.shuffle else (answers,)
            return Known(tuple(write_response(query, order, limit=limit)[2:] for order in orders))
    return Known((write_response(query, ())[2:],))


def failure(query: Query, rcode: Rcode) -> bytes:
    """The response that says only that it did not work."""
    return write_response(query, (), rcode=rcode)


def _rotations(answers: tuple[Answer, ...]) -> tuple[tuple[Answer, ...], ...]:
    """``answers`` from each of them on, or from evenly spread ones where they are many."""
    count = min(len(answers), _MAX_ROTATIONS)
    starts = [len(answers) * turn // count for turn in range(count)]
    return tuple(answers[start:] + answers[:start] for start in starts)


def _add(names: dict[bytes, Entry], key: bytes, answers: tuple[Answer, ...], *, shuffle: bool) -> None:
    before = names.get(key)
    if before is not None:
        answers = before.answers + tuple(a for a in answers if a not in before.answers)
        shuffle = shuffle or before.shuffle
    names[key] = Entry(answers, shuffle)


def _addresses(record: Record) -> tuple[Answer, ...]:
    addresses = [_address(text) for text in record.addresses]
    return tuple(
        Answer(Type.A if isinstance(address, IPv4Address) else Type.AAAA, record.ttl, address.packed)
        for address in addresses
    )


def _key(name: str) -> bytes:
    key = name.rstrip(".").lower().encode()
    try:
        if not key:
            raise Malformed("a record needs a name")
        write_name(key)
    except Malformed as error:
        raise InvalidArgument(str(error)) from error
    return key


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid address {text!r}") from error
