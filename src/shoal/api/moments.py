"""Moments in queries and log lines: ``seconds.nanoseconds`` since 1970 in, RFC 3339 with nine digits out."""

import re
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from shoal.errors import InvalidArgument

_FARTHEST: Final = (1 << 63) // 1_000_000_000 - 1
"""Seconds whose nanoseconds fit in 64 bits, as in Go: beyond them there is nothing to tell apart."""
_MOMENT: Final = re.compile(r"(-?\d{1,12})(?:\.(\d{1,}))?", re.ASCII)


def query_moment(request: web.Request, name: str) -> int | None:
    """A moment in nanoseconds, None where it is absent. Raises InvalidArgument in Go's words."""
    text = request.query.get(name, "")
    if not text:
        return None
    if (match := _MOMENT.fullmatch(text)) is None:
        raise InvalidArgument(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    seconds, fraction = match.groups()
    return max(-_FARTHEST, min(int(seconds), _FARTHEST)) * 1_000_000_000 + int((fraction or "0")[:9].ljust(9, "0"))


def rfc3339_nano(nanoseconds: int) -> str:
    """``2026-11-23T15:54:18.076449701Z``: always nine digits, so that lines stay aligned and sort as text."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
