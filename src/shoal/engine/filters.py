"""What the prunes and lists of the engine's own objects are narrowed to: Docker's ``filters``, by key. Pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from shoal.errors import InvalidArgument
from shoal.objects.base import parse_time

Filters = Mapping[str, Sequence[str]]
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?\Z")


def check(filters: Filters, *known: str) -> None:
    """Raises InvalidArgument for a key that is not ``known``."""
    for key in filters:
        if key not in known:
            raise InvalidArgument(f"invalid filter '{key}'")


def allows_labels(filters: Filters, labels: Mapping[str, str] | None) -> bool:
    """Whether the labels have all that ``label`` asks for and none of what ``label!`` forbids."""
    held = labels or {}
    return all(_has(held, text) for text in filters.get("label", ())) and not any(
        _has(held, text) for text in filters.get("label!", ())
    )


def flag(filters: Filters, key: str) -> bool | None:
    """A filter that means yes or no; None where it is not given. Raises InvalidArgument."""
    values = {value.lower() for value in filters.get(key, ())}
    if not values:
        return None
    if values <= {"1", "true"}:
        return True
    if values <= {"0", "false"}:
        return False
    raise InvalidArgument(f"invalid filter '{key}={','.join(sorted(values))}'")


def until(filters: Filters, now: datetime) -> datetime | None:
    """The moment before which something must have been made: RFC 3339, seconds since 1970, or how long ago (``1h30m``).

    :raises InvalidArgument: it is none of these, or there are several.
    """
    values = filters.get("until", ())
    if not values:
        return None
    if len(values) > 1:
        raise InvalidArgument("more than one until filter specified")
    try:
        return _moment(values[0], now)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument(f"invalid until filter: {values[0]!r}") from error


def _moment(text: str, now: datetime) -> datetime:
    if text.replace(".", "", 1).isdecimal():
        return datetime.fromtimestamp(float(text), UTC)
    if text and (found := _DURATION.match(text)):
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return now - timedelta(hours=hours, minutes=minutes, seconds=seconds)
    try:
        moment = parse_time(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid until filter: {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _has(labels: Mapping[str, str], text: str) -> bool:
    key, equals, value = text.partition("=")
    return key in labels and (not equals or labels[key] == value)
