"""Spans of time as Docker's daemon puts them into words."""

from datetime import datetime

from shoal.objects.base import ZERO_TIME, parse_time


def about(seconds: float) -> str:
    """How long, roughly: ``Less than a second``, ``5 seconds``, ``About an hour``, ``3 weeks``, ``2 years``."""
    whole, hours = int(seconds), int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if whole < 3600:
        return "About a minute" if whole < 120 else f"{whole // 60} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    if hours < 24 * 14:
        return f"{hours // 24} days"
    if hours < 24 * 60:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds / 3600) // 24 // 365} years"


def since(text: str, now: datetime) -> str:
    """How long ago the moment ``text`` (RFC 3339) was."""
    return about((now - parse_time(text)).total_seconds())


def is_zero(text: str) -> bool:
    """Whether a moment is Go's zero time, or missing: it has not come yet."""
    return not text or text == ZERO_TIME


def unix(text: str | None) -> int:
    """Seconds since 1970, 0 for what is no time."""
    if text is None or is_zero(text):
        return 0
    try:
        return int(parse_time(text).timestamp())
    except ValueError:
        return 0
