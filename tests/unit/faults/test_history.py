from collections.abc import Sequence

import pytest
from tests.faults.history import Answer, Found, Kind, Sightings, Write, judge, longest_gap

CREATE, UPDATE, DELETE = Kind
DONE, REFUSED, UNCERTAIN = Answer


def write(kind: Kind, mark: str, answer: Answer, base: int = 0) -> Write:
    return Write(kind, "web", mark, answer, "node1", base)


MADE = write(CREATE, "a", DONE)


@pytest.mark.parametrize(
    ("writes", "marks"),
    [
        ([], None),
        ([MADE], "a"),
        ([write(CREATE, "a", REFUSED)], None),
        ([write(CREATE, "a", UNCERTAIN)], None),
        ([write(CREATE, "a", UNCERTAIN)], "a"),
        ([MADE, write(UPDATE, "b", DONE, 3), write(UPDATE, "c", REFUSED, 3)], "ab"),
        ([MADE, write(UPDATE, "b", UNCERTAIN, 3), write(UPDATE, "c", DONE, 3)], "ac"),
        ([MADE, write(UPDATE, "b", UNCERTAIN, 3), write(UPDATE, "c", DONE, 5)], "abc"),
        ([MADE, write(DELETE, "d", DONE)], None),
        ([MADE, write(DELETE, "d", REFUSED)], "a"),
        ([MADE, write(DELETE, "d", REFUSED), write(DELETE, "e", UNCERTAIN)], None),
        ([MADE, write(DELETE, "d", UNCERTAIN)], "a"),
    ],
)
def test_what_the_answers_said_is_there(writes: Sequence[Write], marks: str | None) -> None:
    found = {} if marks is None else {"web": Found(frozenset(marks), 9)}
    assert judge(writes, found).holds


@pytest.mark.parametrize(
    ("writes", "marks", "said"),
    [
        ([MADE], None, "lost: web is not there"),
        ([write(CREATE, "a", UNCERTAIN), write(UPDATE, "b", DONE, 3)], None, "lost: web is not there"),
        ([MADE, write(UPDATE, "b", DONE, 3)], "a", "lost: update web from version 3, mark b"),
        ([MADE, write(DELETE, "d", DONE)], "a", "lost: web is there"),
        ([MADE, write(DELETE, "d", REFUSED)], None, "ghost: web is gone"),
        ([write(CREATE, "a", REFUSED)], "a", "ghost: create web, mark a"),
        ([MADE, write(UPDATE, "b", REFUSED, 3)], "ab", "ghost: update web from version 3, mark b"),
        ([MADE], "ax", "ghost: web has the mark x"),
        ([], "", "ghost: web has no mark"),
        ([MADE, write(UPDATE, "b", DONE, 3), write(UPDATE, "c", DONE, 3)], "abc", "version backwards: two from one"),
        ([MADE, write(UPDATE, "b", DONE, 9)], "ab", "version backwards: version 9 at the end"),
    ],
)
def test_what_is_not_as_the_answers_said_is_told(writes: Sequence[Write], marks: str | None, said: str) -> None:
    found = {} if marks is None else {"web": Found(frozenset(marks), 9)}
    lines = judge(writes, found).lines
    assert len(lines) == 1 and lines[0].startswith(said), lines


def test_versions_at_one_manager_only_go_up() -> None:
    seen = Sightings()
    early = seen.before("node1")
    seen.seen(seen.before("node1"), {"a": 5, "b": 7})
    # This look began before the other one had ended, and that manager has shown nothing so far.
    seen.seen(early, {"a": 4, "b": 7})
    seen.seen(seen.before("node2"), {"a": 1, "b": 1})
    assert seen.lines == []
    seen.seen(seen.before("node1"), {"a": 4, "b": 7})
    assert seen.lines == ["a at node1: version 4 after 5"]
    seen.changed("node1", "a", 6)
    seen.seen(seen.before("node1"), {"a": 5}, only="a")
    assert seen.lines[1:] == ["a at node1: version 5 after 6"]


def test_what_is_not_removed_stays_and_what_is_removed_stays_gone() -> None:
    seen = Sightings()
    seen.seen(seen.before("node1"), {"a": 5, "b": 7})
    seen.leaving("a")
    seen.seen(seen.before("node1"), {"b": 7})
    seen.seen(seen.before("node1"), {}, only="a")
    assert seen.lines == []
    seen.seen(seen.before("node1"), {}, only="b")
    seen.seen(seen.before("node1"), {"a": 5, "b": 7})
    assert seen.lines == ["b at node1: not there after version 7", "a at node1: there again after it was gone"]


def test_the_longest_time_without_a_write_and_the_longest_one_that_nothing_excuses() -> None:
    assert longest_gap([], []) == (0, 0)
    assert longest_gap([1, 2, 9, 4, 30], [(12, 14)]) == (21, 5)
    assert longest_gap([1, 2, 9, 4, 30], []) == (21, 21)
