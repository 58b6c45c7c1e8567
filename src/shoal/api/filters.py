"""The ``filters`` parameter of lists, prunes and events.

Its newer form is a map of maps, ``{"label": {"a=b": true}}``, its older one a map of lists, ``{"label": ["a=b"]}``.
Values of one key are alternatives (but every one of several labels must hold); keys must all hold.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import msgspec
from aiohttp import web

from shoal.api.patterns import is_found
from shoal.errors import InvalidArgument
from shoal.objects.base import untyped

_TRUE: Final = ("1", "true")
_FALSE: Final = ("0", "false")


class Filters:
    """What a list is asked to be narrowed to; empty lets everything pass."""

    def __init__(self, values: Mapping[str, Collection[str]]) -> None:
        self._values = {key: tuple(found) for key, found in values.items()}

    def __bool__(self) -> bool:
        return any(self._values.values())

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def values(self) -> Mapping[str, Sequence[str]]:
        """All of it, for a backend that filters by itself."""
        return self._values

    def get(self, key: str) -> tuple[str, ...]:
        """The values of a key, none where it is not asked for."""
        return self._values.get(key, ())

    def allows(self, key: str, *candidates: str | None) -> bool:
        """Whether any of the candidates is one of the key's values, or nothing was asked of it."""
        wanted = self.get(key)
        return not wanted or any(candidate in wanted for candidate in candidates if candidate is not None)

    def allows_prefix(self, key: str, *candidates: str | None) -> bool:
        """The same where a value may be the beginning of a candidate, as with ids."""
        wanted = self.get(key)
        return not wanted or any(c.startswith(value) for c in candidates if c is not None for value in wanted)

    def allows_part(self, key: str, *candidates: str | None) -> bool:
        """The same where a value may be any part of a candidate, or a regular expression that matches one."""
        wanted = self.get(key)
        return not wanted or any(is_found(value, c) for c in candidates if c is not None for value in wanted)

    def allows_labels(
        self, labels: Mapping[str, str] | None, key: str = "label", *, empty_is_any: bool = False
    ) -> bool:
        """Whether the labels have every ``name`` or ``name=value`` that is asked for.

        With ``empty_is_any``, ``name=`` means any value, as for the swarm's objects.
        """
        wanted = self.get(key)
        return all(_has_label(labels or {}, w.removesuffix("=") if empty_is_any else w) for w in wanted)

    def refuses_labels(self, labels: Mapping[str, str] | None, key: str = "label!") -> bool:
        """Whether the labels have one of those that must not be there (``label!`` of the prunes)."""
        return any(_has_label(labels or {}, wanted) for wanted in self.get(key))

    def boolean(self, key: str, default: bool = False) -> bool:
        """The value of a key that means yes or no. Raises InvalidArgument for any other value, and for both."""
        wanted = self.get(key)
        if not wanted:
            return default
        yes, no = any(v.lower() in _TRUE for v in wanted), any(v.lower() in _FALSE for v in wanted)
        if yes == no:
            raise invalid_value(key, wanted)
        return yes


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def invalid_value(key: str, values: Collection[str]) -> InvalidArgument:
    """The refusal of a filter's value, in Docker's words."""
    return InvalidArgument(f"invalid filter '{key}=[{' '.join(values)}]'")


def parse_filters(text: str, accepted: Collection[str] | None) -> Filters:
    """The filters in ``text``, which may be empty.

    :raises InvalidArgument: it has neither form, or a key that is not ``accepted`` (None accepts any).
    """
    if not text:
        return Filters({})
    try:
        raw = untyped(text)
        maps = msgspec.convert(raw, dict[str, dict[str, bool] | list[str]]) if raw is not None else {}
    except (msgspec.MsgspecError, InvalidArgument) as error:
        raise InvalidArgument("invalid filter") from error
    # A value that is mapped to false still counts: Docker looks at the keys alone.
    values = {key: tuple(found) for key, found in maps.items()}
    if accepted is not None:
        for key in values:
            if key not in accepted:
                raise InvalidArgument(f"invalid filter '{key}'")
    return Filters(values)


def filters_of(request: web.Request, accepted: Collection[str] | None) -> Filters:
    """The request's ``filters``; see :func:`parse_filters`."""
    return parse_filters(request.query.get("filters", ""), accepted)
