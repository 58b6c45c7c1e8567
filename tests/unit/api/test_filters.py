"""Both forms of filters, what they let pass, and what they refuse."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.api.filters import Filters, parse_filters
from shoal.errors import InvalidArgument

words = st.text(st.characters(codec="utf-8"), max_size=8)
sets = st.dictionaries(words, st.lists(words, unique=True, max_size=4), max_size=4)


@given(sets, st.booleans())
def test_both_forms_mean_the_same(values: dict[str, list[str]], flag: bool) -> None:
    older = parse_filters(msgspec.json.encode(values).decode(), None)
    newer = parse_filters(msgspec.json.encode({k: dict.fromkeys(v, flag) for k, v in values.items()}).decode(), None)
    assert dict(older.values()) == dict(newer.values()) == {k: tuple(v) for k, v in values.items()}


@given(st.text())
def test_what_is_no_filter_is_refused_and_nothing_else_happens(text: str) -> None:
    try:
        parse_filters(text, ["label"])
    except InvalidArgument as error:
        assert str(error).startswith("invalid filter")


def test_unknown_keys_are_named() -> None:
    with pytest.raises(InvalidArgument, match=r"^invalid filter 'foo'$"):
        parse_filters('{"foo":["a"]}', ["label", "name"])
    assert not parse_filters("", ["label"])
    assert not parse_filters("null", ["label"])


@given(st.dictionaries(words, words, max_size=4), st.lists(words, max_size=3))
def test_every_label_must_hold(labels: dict[str, str], wanted: list[str]) -> None:
    filters = Filters({"label": wanted})
    held = all("=" in w and labels.get(w.split("=", 1)[0]) == w.split("=", 1)[1] or w in labels for w in wanted)
    if not any("=" in name for name in labels):
        assert filters.allows_labels(labels) == held


def test_an_empty_value_means_any_for_the_swarms_objects_alone() -> None:
    filters = Filters({"label": ["x="]})
    assert not filters.allows_labels({"x": "y"})
    assert filters.allows_labels({"x": "y"}, empty_is_any=True)
    assert not filters.allows_labels({"z": ""}, empty_is_any=True)


@given(words, words)
def test_parts_and_prefixes(value: str, candidate: str) -> None:
    filters = Filters({"name": [value]})
    assert filters.allows_prefix("name", candidate) == candidate.startswith(value)
    if value in candidate:
        assert filters.allows_part("name", candidate)


def test_names_may_be_regular_expressions_and_bad_ones_match_nothing() -> None:
    assert Filters({"name": ["^a.c$"]}).allows_part("name", "abc")
    assert not Filters({"name": ["^a.c$"]}).allows_part("name", "xabc")
    assert not Filters({"name": ["("]}).allows_part("name", "abc")


def test_booleans() -> None:
    assert Filters({"dangling": ["1"]}).boolean("dangling")
    assert not Filters({"dangling": ["false"]}).boolean("dangling", default=True)
    assert Filters({}).boolean("dangling", default=True)
    for values in (["maybe"], ["true", "false"]):
        with pytest.raises(InvalidArgument, match="dangling"):
            Filters({"dangling": values}).boolean("dangling")
