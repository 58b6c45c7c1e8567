"""Finding a request's handler: a table by method and first word of the path, so that it costs microseconds.

aiohttp's own router would try the pattern of every versioned route in turn. Patterns are written as there:
``{name}`` is one segment, ``{name:.+}`` what the expression matches (images' names contain slashes).
"""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

from aiohttp import web

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_VERSIONED: Final = re.compile(r"/v([0-9][0-9.]{0,15})(/.*)", re.DOTALL)
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)(?::([^{}]+))?\}")
_STREAM: Final = "stream"


class Match(NamedTuple):
    """What a request's method and path lead to. ``version`` is the path's, None without one."""

    handler: Handler
    values: dict[str, str]
    is_stream: bool
    version: str | None


def stream(method: str, path: str, handler: Handler) -> web.RouteDef:
    """A route that serves its client alone: its handler is cancelled at once when the client goes away.

    For answers that last (logs, events, wait, attach, pull). GET and HEAD are always treated so. Any other handler
    runs to its end whether or not somebody still waits, so that no change of ours stops halfway.
    """
    return web.RouteDef(method, path, handler, {_STREAM: True})


class Router:
    """The table of all routes, each served with and without a version in front of its path."""

    def __init__(self, routes: Sequence[web.RouteDef]) -> None:
        self._table: defaultdict[tuple[str, str], list[tuple[re.Pattern[str], Handler, bool]]] = defaultdict(list)
        for route in routes:
            lasting = bool(route.kwargs.get(_STREAM)) or route.method in ("GET", "HEAD")
            # RouteDef also allows aiohttp's view classes, which nothing here uses.
            handler: Handler = route.handler
            entry = (_pattern(route.path), handler, lasting)
            self._table[route.method, _first(route.path)].append(entry)

    def find(self, method: str, path: str) -> Match | None:
        """The first route of the table that fits, None where there is none."""
        version: str | None = None
        if versioned := _VERSIONED.fullmatch(path):
            version, path = versioned.groups()
        for pattern, handler, lasting in self._table.get((method, _first(path)), ()):
            if match := pattern.fullmatch(path):
                return Match(handler, match.groupdict(), lasting, version)
        return None


def _first(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else path


def _pattern(path: str) -> re.Pattern[str]:
    expression, end = "", 0
    for found in _PLACEHOLDER.finditer(path):
        expression += re.escape(path[end : found.start()]) + f"(?P<{found[1]}>{found[2] or '[^/]+'})"
        end = found.end()
    return re.compile(expression + re.escape(path[end:]), re.DOTALL)
