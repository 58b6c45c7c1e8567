"""Docker's log format."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.keeper.jsonlog import MAX_ENTRY, LineSplitter, encode, format_time, parse_time
from shoal.wire.keeper import Stream


@given(
    st.lists(st.binary(max_size=200) | st.binary(min_size=1, max_size=3).map(lambda piece: piece * 9000), max_size=8)
)
def test_nothing_is_lost_however_it_arrives(chunks: list[bytes]) -> None:
    splitter = LineSplitter()
    entries = [entry for chunk in chunks for entry in splitter.feed(chunk)]
    rest = splitter.take()
    assert b"".join(entries + rest) == b"".join(chunks)
    assert all(len(entry.rstrip(b"\n")) <= MAX_ENTRY for entry in entries + rest)
    assert all(b"\n" not in entry[:-1] for entry in entries)


def test_a_long_line_comes_in_pieces() -> None:
    splitter = LineSplitter()
    assert [len(entry) for entry in splitter.feed(b"x" * (2 * MAX_ENTRY + 5) + b"\ny")] == [MAX_ENTRY, MAX_ENTRY, 6]
    assert splitter.end() == [b"y\n"]
    assert splitter.end() == []


def test_no_character_is_torn() -> None:
    pieces = LineSplitter().feed(b"a" + "€".encode() * 12000 + b"\n")
    assert len(pieces) == 3
    assert "".join(piece.decode() for piece in pieces) == "a" + "€" * 12000 + "\n"


def test_an_entry_is_dockers() -> None:
    line = encode(b'say "hi" \xff\t\xe2\x82\xac\n', Stream.STDERR, 1_700_000_000_120_000_000)
    assert line.startswith(b'{"log":"') and line.endswith(b"}\n")
    assert json.loads(line) == {
        "log": 'say "hi" \ufffd\t€\n',
        "stream": "stderr",
        "time": "2023-11-14T22:13:20.12Z",
    }


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_times_are_read_back(when: int) -> None:
    assert parse_time(format_time(when)) == when


@pytest.mark.parametrize("text", ["", "2023-11-14T22:13:20", "2023-11-14T22:13:20+01:00", "2023-11-14 22:13Z"])
def test_no_time(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)
