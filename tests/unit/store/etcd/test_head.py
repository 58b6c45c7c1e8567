"""The head's value, and the comparisons that find it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import Damaged
from shoal.store.etcd.calls import created_at
from shoal.store.etcd.head import Head, is_at

ids = st.text("0123456789abcdef", min_size=1, max_size=32)
heads = st.builds(Head, st.integers(1, 10**15), ids, st.booleans())


@given(heads)
def test_a_head_is_read_as_it_was_written(head: Head) -> None:
    assert Head.parse(head.value) == head


@given(heads, st.integers(0, 10**15))
def test_a_commit_finds_the_heads_of_its_revision_that_wait_for_nothing(head: Head, revision: int) -> None:
    revision = revision or head.revision
    low, high = is_at(b"head", revision)
    assert (low.value < head.value < high.value) == (head.revision == revision and not head.packed)


def test_before_the_first_commit_there_is_none() -> None:
    assert is_at(b"head", 0) == [created_at(b"head", 0)]


@pytest.mark.parametrize("value", [b"", b"1/x", b"000000000000000x/x", b"0000000000000001 x", b"0000000000000001/\xff"])
def test_what_is_no_head_is_damage(value: bytes) -> None:
    with pytest.raises(Damaged, match="not one of ours"):
        Head.parse(value)
