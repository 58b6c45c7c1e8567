from hypothesis import given
from hypothesis import strategies as st

from shoal.kernel import netlink_codec as nl

types = st.integers(0, 0x3FFF)
payloads = st.binary(max_size=70)
numbers = st.integers(0, 0xFFFFFFFF)


@given(st.dictionaries(types, payloads, max_size=8), st.binary(max_size=3).map(lambda b: b * 4))
def test_attributes_come_back(attrs: dict[int, bytes], head: bytes) -> None:
    packed = head + b"".join(nl.attr(t, p) for t, p in attrs.items())
    assert len(packed) % 4 == 0
    assert nl.attributes(packed, len(head)) == attrs


@given(types, st.dictionaries(types, payloads, max_size=4))
def test_nested_attributes_come_back(outer: int, inner: dict[int, bytes]) -> None:
    packed = nl.nest(outer, *(nl.attr(t, p) for t, p in inner.items()))
    assert nl.attributes(nl.attributes(packed)[outer]) == inner


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), numbers, payloads), max_size=5))
def test_messages_come_back(messages: list[tuple[int, int, int, bytes]]) -> None:
    packed = b"".join(nl.pack_message(*m) for m in messages)
    assert [tuple(f) for f in nl.frames(packed)] == messages


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    assert sum(len(f.body) + 16 for f in nl.frames(data)) <= len(data)
    assert sum(len(p) + 4 for p in nl.attributes(data).values()) <= len(data)


@given(st.dictionaries(types, payloads, min_size=1, max_size=5), st.data())
def test_what_is_cut_off_is_left_out(attrs: dict[int, bytes], data: st.DataObject) -> None:
    packed = b"".join(nl.attr(t, p) for t, p in attrs.items())
    found = nl.attributes(packed[: data.draw(st.integers(0, len(packed)))])
    assert list(found.items()) == list(attrs.items())[: len(found)]


@given(types, numbers, st.integers(0, 0xFFFF), st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_values_come_back(type_: int, number: int, port: int, text: str) -> None:
    assert nl.to_u32(nl.attributes(nl.u32(type_, number))[type_]) == number
    assert int.from_bytes(nl.attributes(nl.be16(type_, port))[type_], "big") == port
    assert nl.to_string(nl.attributes(nl.string(type_, text))[type_]) == text
    assert nl.attributes(nl.u8(type_, True))[type_] == b"\1"


@given(st.integers(-(2**31), 2**31 - 1))
def test_signed_numbers(number: int) -> None:
    assert nl.to_s32(number.to_bytes(4, "little", signed=True)) == number
