"""Packets: what is written can be read, and nothing that is read can hurt."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.network.dns.message import Malformed, Query, Type, read_name, read_query, write_name

LABELS = st.lists(st.from_regex(rb"[a-z0-9_-]{1,63}", fullmatch=True), min_size=1, max_size=6)


def query(name: bytes, kind: int = Type.A, *, opt: bytes = b"", flags: int = 0x0100, ident: int = 7) -> bytes:
    return (
        struct.pack(">HHHHHH", ident, flags, 1, 0, 0, 1 if opt else 0)
        + write_name(name)
        + struct.pack(">HH", kind, 1)
        + opt
    )


@given(LABELS.filter(lambda labels: sum(map(len, labels)) + len(labels) <= 253))
def test_a_written_name_is_read_back(labels: list[bytes]) -> None:
    name = b".".join(labels)
    assert read_name(write_name(name), 0) == (name, len(name) + 2)


@given(st.binary(max_size=600))
def test_any_bytes_are_a_query_or_malformed(packet: bytes) -> None:
    try:
        parsed = read_query(packet.ljust(12, b"\0"))
    except Malformed:
        return
    assert isinstance(parsed, Query)


def test_edns_says_how_much_the_client_takes() -> None:
    opt = b"\0" + struct.pack(">HHIH", Type.OPT, 4096, 0, 0)
    assert read_query(query(b"web", opt=opt)).udp_size == 4096
    assert read_query(query(b"web")).udp_size == 512
    tiny = b"\0" + struct.pack(">HHIH", Type.OPT, 100, 0, 0)
    assert read_query(query(b"web", opt=tiny)).udp_size == 512


def test_the_question_keeps_its_case() -> None:
    parsed = read_query(query(b"WeB.Net"))
    assert parsed.name == b"web.net"
    assert b"WeB" in parsed.question


@pytest.mark.parametrize(
    "packet",
    [
        query(b"web")[:-1],
        query(b"web")[:14],
        query(b"web")[:4] + b"\0\2" + query(b"web")[6:],
        query(b"web")[:12] + b"\xc0\x0c\0\1\0\1",
        query(b"web")[:12] + b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\x01a\0\0\1\0\1",
        query(b"web", opt=b"\0" + struct.pack(">HHIH", Type.OPT, 4096, 0, 9)),
    ],
    ids=["no class", "torn label", "two questions", "a pointer", "too long", "torn option"],
)
def test_malformed(packet: bytes) -> None:
    with pytest.raises(Malformed):
        read_query(packet)


@pytest.mark.parametrize("name", [b"a..b", b".a", b"a" * 64, b"a." * 140])
def test_no_name(name: bytes) -> None:
    with pytest.raises(Malformed):
        write_name(name)
