"""Regular expressions that clients send (``docker ps --filter name=^web``), matched in time that their length bounds.

Go's are: it follows all ways at a time (Thompson's construction). Python's tries one after the other, and there are
short expressions for which that takes for ever, with everybody else waiting. What is understood here is what Go's and
Python's have in common: characters, classes, groups, alternatives, repetitions, ``^`` and ``$``, ``(?i)`` at the start.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

_MOST_STATES: Final = 400
_DEEPEST: Final = 40
_ATOM: Final = re.compile(r"\\[dDsSwW]|\\[^a-zA-Z0-9]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\]()|*+?^$]", re.DOTALL)
_REPEAT: Final = re.compile(r"([*+?]|\{([0-9]{1,3})(?:(,)([0-9]{0,3}))?\})\??")


class BadPattern(Exception):
    """It is no expression, or more than is understood."""


class _State(NamedTuple):
    """What to go on with: after a character that ``takes`` allows, or at once where ``holds`` at that place."""

    then: tuple[int, ...]
    takes: re.Pattern[str] | None = None
    holds: Callable[[int, str], bool] | None = None


Build = Callable[[int], int]
"""Adds the states of a part, given the one to go on with after it; returns the one to begin with."""


@lru_cache(maxsize=256)
def pattern(text: str) -> "Pattern":
    """Raises BadPattern."""
    return Pattern(text)


class Pattern:
    """One expression."""

    def __init__(self, text: str) -> None:
        self._flags = re.DOTALL | (re.IGNORECASE if text.startswith("(?i)") else 0)
        self._text = text.removeprefix("(?i)")
        self._at = 0
        self._states = [_State(())]  # the first is the end
        build = self._alternatives(0)
        if self._at < len(self._text):
            raise BadPattern(text)
        self._start = build(0)

    def found_in(self, text: str) -> bool:
        """Whether some part of ``text`` matches."""
        current: set[int] = set()
        for place in range(len(text) + 1):
            self._enter(current, (self._start,), place, text)
            if 0 in current:
                return True
            if place < len(text):
                following: set[int] = set()
                for state in (self._states[number] for number in current):
                    if state.takes is not None and state.takes.match(text, place, place + 1):
                        self._enter(following, state.then, place + 1, text)
                current = following
        return False

    def _enter(self, into: set[int], numbers: Iterable[int], place: int, text: str) -> None:
        waiting = list(numbers)
        while waiting:
            number = waiting.pop()
            if number not in into:
                into.add(number)
                state = self._states[number]
                if state.takes is None and (state.holds is None or state.holds(place, text)):
                    waiting += state.then

    def _add(self, state: _State) -> int:
        if len(self._states) >= _MOST_STATES:
            raise BadPattern(self._text)
        self._states.append(state)
        return len(self._states) - 1

    def _next_is(self, character: str) -> bool:
        if not self._text.startswith(character, self._at):
            return False
        self._at += len(character)
        return True

    def _alternatives(self, depth: int) -> Build:
        if depth > _DEEPEST:
            raise BadPattern(self._text)
        parts = [self._sequence(depth)]
        while self._next_is("|"):
            parts.append(self._sequence(depth))
        return lambda then: self._add(_State(tuple(part(then) for part in parts))) if len(parts) > 1 else parts[0](then)

    def _sequence(self, depth: int) -> Build:
        parts: list[Build] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            parts.append(self._repeated(self._one(depth)))

        def build(then: int) -> int:
            for part in reversed(parts):
                then = part(then)
            return then

        return build

    def _one(self, depth: int) -> Build:
        if self._next_is("^"):
            return lambda then: self._add(_State((then,), holds=lambda place, _text: place == 0))
        if self._next_is("$"):
            return lambda then: self._add(_State((then,), holds=lambda place, text: place == len(text)))
        if self._next_is("(?:") or self._next_is("("):
            inner = self._alternatives(depth + 1)
            if not self._next_is(")"):
                raise BadPattern(self._text)
            return inner
        if (atom := _ATOM.match(self._text, self._at)) is None:
            raise BadPattern(self._text)
        self._at = atom.end()
        try:
            takes = re.compile(atom[0], self._flags)
        except re.error as error:
            raise BadPattern(self._text) from error
        return lambda then: self._add(_State((then,), takes=takes))

    def _repeated(self, one: Build) -> Build:
        if (found := _REPEAT.match(self._text, self._at)) is None:
            return one
        self._at = found.end()
        sign, low, comma, high = found.groups()
        least = int(low) if low else int(sign == "+")
        most = 1 if sign == "?" else least if low and not comma else int(high) if high else None

        def build(then: int) -> int:
            if most is None:
                then = self._loop(one, then)
            else:
                after = then
                for _ in range(most - least):
                    then = self._add(_State((one(then), after)))
            for _ in range(least):
                then = one(then)
            return then

        return build

    def _loop(self, one: Build, then: int) -> int:
        here = self._add(_State(()))
        self._states[here] = _State((one(here), then))
        return here


def is_found(text: str, candidate: str) -> bool:
    """Whether ``candidate`` contains ``text``, or matches it as an expression; what is none matches nothing."""
    if text in candidate:
        return True
    try:
        return pattern(text).found_in(candidate)
    except BadPattern:
        return False
