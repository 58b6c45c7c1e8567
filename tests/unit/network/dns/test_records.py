"""Answers from tables."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InvalidArgument
from shoal.network.dns.message import TC, Rcode, Type, read_name, write_name
from shoal.network.dns.records import Forward, Known, Table, index, respond
from shoal.wire.keeper import TASK_TTL, Pointer, Record

WEB = Record("web", ("10.0.1.2",))
TASKS = Record("tasks.web", ("10.0.1.3", "10.0.1.4", "10.0.1.5"), shuffle=True, ttl=TASK_TTL)
BOTH = Record("Both", ("10.0.1.9", "fd00::9"))
TABLE = index([WEB, TASKS, BOTH], [Pointer("10.0.1.3", "web.1.abc.net"), Pointer("fd00::9", "both.net")])


def ask(name: str, kind: int = Type.A, *, size: int | None = None, klass: int = 1, flags: int = 0x0100) -> bytes:
    opt = b"" if size is None else b"\0" + struct.pack(">HHIH", Type.OPT, size, 0, 0)
    head = struct.pack(">HHHHHH", 7, flags, 1, 0, 0, 1 if opt else 0)
    return head + write_name(name.encode()) + struct.pack(">HH", kind, klass) + opt


def read(packet: bytes) -> tuple[int, list[tuple[int, int, bytes]]]:
    """Flags, and (type, ttl, data) of each answer."""
    _, flags, _, count, _, _ = struct.unpack_from(">HHHHHH", packet)
    _, at = read_name(packet, 12)
    at += 4
    found = []
    for _ in range(count):
        kind, _, ttl, size = struct.unpack_from(">HHIH", packet, at + 2)
        found.append((kind, ttl, packet[at + 12 : at + 12 + size]))
        at += 12 + size
    return flags, found


def known(query: bytes, *tables: Table, stream: bool = False) -> list[tuple[int, list[tuple[int, int, bytes]]]]:
    outcome = respond(query, tables or (TABLE,), stream=stream)
    assert isinstance(outcome, Known)
    return [read(query[:2] + variant) for variant in outcome.variants]


def addresses(query: bytes, *tables: Table) -> list[list[str]]:
    return [[str(ip_address(data)) for _, _, data in answers] for _, answers in known(query, *tables)]


def test_a_vip() -> None:
    [(flags, answers)] = known(ask("web"))
    assert flags == 0x8180
    assert answers == [(Type.A, 600, ip_address("10.0.1.2").packed)]


def test_case_does_not_matter_and_comes_back() -> None:
    outcome = respond(ask("wEB"), [TABLE])
    assert isinstance(outcome, Known)
    assert b"wEB" in outcome.variants[0]
    assert addresses(ask("BOTH")) == [["10.0.1.9"]]


def test_tasks_take_turns() -> None:
    turns = addresses(ask("tasks.web"))
    assert [turn[0] for turn in turns] == ["10.0.1.3", "10.0.1.4", "10.0.1.5"]
    assert all(sorted(turn) == ["10.0.1.3", "10.0.1.4", "10.0.1.5"] for turn in turns)


def test_a_family_that_is_not_there_is_empty_not_unknown() -> None:
    assert known(ask("web", Type.AAAA)) == [(0x8180, [])]
    assert known(ask("web", 65)) == [(0x8180, [])]


def test_any_gives_both_families() -> None:
    assert addresses(ask("both", Type.ANY)) == [["10.0.1.9", "fd00::9"]]


def test_the_way_back() -> None:
    [(_, [(kind, _, data)])] = known(ask("3.1.0.10.in-addr.arpa", Type.PTR))
    assert (kind, read_name(data, 0)[0]) == (Type.PTR, b"web.1.abc.net")
    assert known(ask(ip_address("fd00::9").reverse_pointer, Type.PTR))[0][1]


def test_the_first_table_that_has_an_address_answers() -> None:
    other = index([Record("web", ("10.0.2.2", "fd00::2"))], [])
    assert addresses(ask("web"), TABLE, other) == [["10.0.1.2"]]
    assert addresses(ask("web"), other, TABLE) == [["10.0.2.2"]]
    assert addresses(ask("web", Type.AAAA), TABLE, other) == [["fd00::2"]]


@pytest.mark.parametrize("query", [ask("example.org"), ask("web", klass=3), ask("9.9.9.9.in-addr.arpa", Type.PTR)])
def test_the_unknown_is_forwarded(query: bytes) -> None:
    assert isinstance(respond(query, [TABLE]), Forward)


def test_too_much_for_a_datagram() -> None:
    many = index([Record("many", tuple(f"10.0.{n // 250}.{n % 250}" for n in range(300)), shuffle=True)], [])
    outcome = known(ask("many"), many)
    assert len(outcome) == 16
    assert all(flags & TC and not answers for flags, answers in outcome)
    assert len(known(ask("many", size=8192), many)[0][1]) == 300
    assert len(known(ask("many"), many, stream=True)[0][1]) == 300


def test_what_cannot_be_answered() -> None:
    assert respond(b"", [TABLE]) is None
    assert respond(ask("web", flags=0x8180), [TABLE]) is None
    assert read_rcode(respond(ask("web", flags=0x2000), [TABLE])) == Rcode.NOTIMP
    assert read_rcode(respond(ask("web")[:-2], [TABLE])) == Rcode.FORMERR


def test_a_later_edns_is_refused() -> None:
    packet = ask("web") + b""
    packet = packet[:11] + b"\1" + packet[12:] + b"\0" + struct.pack(">HHIH", Type.OPT, 4096, 1 << 16, 0)
    answer = respond(packet, [TABLE])
    assert isinstance(answer, bytes)
    assert answer[-6] == 1  # BADVERS is 16: one in the OPT record's upper bits


def read_rcode(answer: object) -> int:
    assert isinstance(answer, bytes)
    return answer[3] & 0xF


@pytest.mark.parametrize(
    "record", [Record("", ("10.0.0.1",)), Record("a..b", ()), Record("x" * 64, ()), Record("web", ("10.0.0",))]
)
def test_records_that_cannot_be(record: Record) -> None:
    with pytest.raises(InvalidArgument):
        index([record], [])


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=40).map(lambda tail: ask("web") + tail)))
def test_no_packet_raises(packet: bytes) -> None:
    assert isinstance(respond(packet, [TABLE]), Known | Forward | bytes | None)


@given(st.integers(0, 40), st.integers(0, 255))
def test_no_change_of_a_byte_raises(at: int, value: int) -> None:
    packet = bytearray(ask("tasks.web", size=1232))
    packet[at % len(packet)] = value
    assert isinstance(respond(bytes(packet), [TABLE]), Known | Forward | bytes | None)
