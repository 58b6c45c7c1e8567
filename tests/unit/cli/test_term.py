import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.cli.term import Escape, parse_keys
from shoal.errors import InvalidArgument


def test_keys() -> None:
    assert parse_keys("ctrl-p,ctrl-q") == b"\x10\x11"
    assert parse_keys("a,ctrl-[") == b"a\x1b"
    with pytest.raises(InvalidArgument):
        parse_keys("ctrl-!")


@given(st.lists(st.binary(max_size=4)), st.just(b"\x10\x11"))
def test_what_is_typed_arrives_but_for_a_held_back_beginning(pieces: list[bytes], keys: bytes) -> None:
    escape = Escape(keys)
    sent, done = b"", False
    for piece in pieces:
        more, done = escape.feed(piece)
        sent += more
        if done:
            break
    typed = b"".join(pieces)
    if keys in typed:
        assert done and sent == typed.split(keys)[0]
    else:
        assert not done and typed.startswith(sent) and typed[len(sent) :] in (b"", keys[:1])
