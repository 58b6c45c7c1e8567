"""Clients' expressions: what Python's own say, but in bounded time."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.api.patterns import BadPattern, is_found, pattern

parts = st.sampled_from(
    ["a", "b", "-", ".", "^", "$", "\\.", "\\d", "[ab]", "[^a]", "[a-c]", "(", "(?:", ")", "|", "*", "+", "?", "*?",
     "{2}", "{1,}", "{0,2}"]
)  # fmt: skip


@given(st.lists(parts, max_size=8).map("".join), st.text("abc-.1", max_size=8))
def test_it_finds_what_python_finds(text: str, candidate: str) -> None:
    try:
        expected = re.search(text, candidate) is not None
    except re.error:
        return
    try:
        assert pattern(text).found_in(candidate) == expected
    except BadPattern:
        return


@pytest.mark.parametrize(
    "text", ["^web$", "^/?web", "w.b", "(web|db)$", "(?i)^WEB", "we[ab]+", "^(we)?b+$", "eb", "^w{1,2}e"]
)
def test_what_people_write(text: str) -> None:
    assert is_found(text, "web")
    assert not is_found(text, "other")


@pytest.mark.parametrize(
    "text", ["(", "[", "a**", "*a", "\\", "(?<x>a)", "a{2", "(" * 200, "((a{100}){100}){100}", ")"]
)
def test_what_is_none_matches_only_itself(text: str) -> None:
    assert is_found(text, f"x{text}y")
    assert not is_found(text, "aaaa") or text == "a{2"


@pytest.mark.parametrize(
    "text", ["(a+)+$", "^(a|a)*$", "(a|aa)+$", "(.*)*b", "a?" * 60 + "a" * 60 + "b", "(a*)*(a*)*c"]
)
def test_what_takes_python_for_ever(text: str) -> None:
    begun = time.process_time()
    assert not is_found(text, "a" * 63 + "!")
    assert time.process_time() - begun < 1
