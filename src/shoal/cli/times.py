"""Points in time as ``--since`` and ``--until`` take them: durations back from now, dates, seconds since 1970."""

from datetime import datetime

from shoal.cli.quantities import SECOND, parse_duration
from shoal.errors import InvalidArgument

FORMS = (
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
)


def timestamp(text: str, now: float) -> str:
    """``SECONDS.NANOSECONDS`` since 1970 of ``10m``, ``2024-01-02``, ``2024-01-02T15:04:05Z``, ``1700000000``.

    Raises ValueError for anything else; dates without a zone are local.
    """
    if not text:
        return ""
    try:
        seconds = now - parse_duration(text) / SECOND
        return f"{int(seconds)}.{int(seconds % 1 * SECOND):09d}"
    except InvalidArgument:
        pass
    for form in FORMS:
        try:
            moment = datetime.strptime(_microseconds(text), form)
        except ValueError:
            continue
        return f"{int(moment.timestamp())}.{moment.microsecond * 1000:09d}"
    whole, _, fraction = text.partition(".")
    if whole.isdigit() and (not fraction or fraction.isdigit()):
        return text
    raise ValueError(f'failed to parse value as time or duration: "{text}"')


def _microseconds(text: str) -> str:
    """The text with a fraction of at most six digits, which is what strptime reads."""
    before, point, rest = text.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return before + point + digits[:6] + rest[len(digits) :]
