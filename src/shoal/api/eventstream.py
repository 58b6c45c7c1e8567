"""Which events a listener wants, and when it has had enough."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from shoal.aio.broadcast import Lagged, Subscription
from shoal.aio.clock import Clock
from shoal.api.backends import EventSource
from shoal.api.filters import Filters
from shoal.objects.events import EventMessage

_log = logging.getLogger(__name__)

_SECOND: Final = 1_000_000_000
_NOUNS: Final = ("container", "plugin", "volume", "network", "daemon", "service", "node", "secret", "config")


async def live_events(
    source: EventSource,
    live: Subscription[EventMessage],
    filters: Filters,
    *,
    since: int | None,
    until: int | None,
    clock: Clock,
) -> AsyncIterator[EventMessage]:
    """The remembered events from ``since`` on (none without it), then ``live``, until the moment ``until`` (both in
    nanoseconds since 1970). A listener that falls far behind loses events rather than holding anybody up."""
    if since is not None:
        start = datetime.fromtimestamp(since // _SECOND, UTC)
        for event in source.since(start):
            if since <= event.time_nano and (until is None or event.time_nano <= until) and wants(filters, event):
                yield event
    deadline = None
    if until is not None:
        deadline = asyncio.get_running_loop().time() + until / _SECOND - clock.now().timestamp()
    while events := await _next(live, deadline):
        for event in events:
            if wants(filters, event):
                yield event


async def _next(live: Subscription[EventMessage], deadline: float | None) -> list[EventMessage]:
    """The next events; none once the source has closed or the loop's time is ``deadline``."""
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                return await live.drain()
        except TimeoutError:
            return []
        except Lagged:
            _log.warning("a listener to events was too slow and has missed some")


def wants(filters: Filters, event: EventMessage) -> bool:
    """Whether an event passes the filters of ``/events``."""
    attributes = event.actor.attributes
    return (
        filters.allows("type", event.type)
        and filters.allows("scope", event.scope)
        and filters.allows("event", event.action, event.action.partition(":")[0])
        and filters.allows_labels(attributes)
        and all(filters.allows_prefix(noun, event.actor.id, attributes.get("name")) for noun in _NOUNS)
        and _wants_image(filters, event)
    )


def _wants_image(filters: Filters, event: EventMessage) -> bool:
    """An image is meant by its id or its name, with a tag or without; by containers' events it is an attribute."""
    name = event.actor.attributes.get("name" if event.type == "image" else "image", "")
    untagged = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    return filters.allows("image", event.actor.id, name, untagged)
