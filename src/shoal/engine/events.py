"""What happens on this node, for ``/events``: live, and the last few hundred for those who ask ``since``."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from shoal.aio.broadcast import Broadcast, Subscription
from shoal.aio.clock import Clock
from shoal.engine.journal import Journal
from shoal.objects.container import Container
from shoal.objects.events import Actor, EventMessage

_KEPT = 256


class Events:
    """The node's event stream (Engine API, ``/events``). With ``path``, what happened before a restart of shoald is
    remembered too (:mod:`shoal.engine.journal`)."""

    def __init__(self, clock: Clock, *, path: Path | None = None) -> None:
        self._clock = clock
        self._journal = Journal(path, kept=_KEPT) if path is not None else None
        self._recent: deque[EventMessage] = deque(self._journal.last if self._journal else (), maxlen=_KEPT)
        self._live: Broadcast[EventMessage] = Broadcast(limit=10_000)

    def emit(
        self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str], *, scope: str = "local"
    ) -> None:
        """Tell everybody that something happened just now."""
        now = self._clock.now()
        event = EventMessage(
            type=kind,
            action=action,
            actor=Actor(id=actor_id, attributes=dict(attributes)),
            scope=scope,
            time=int(now.timestamp()),
            time_nano=int(now.timestamp() * 1_000_000) * 1000,
        )
        if kind == "container":
            event = msgspec.structs.replace(event, status=action, id=actor_id, from_=attributes.get("image"))
        self._recent.append(event)
        if self._journal is not None:
            self._journal.write(event)
        self._live.send(event)

    def of_container(self, action: str, container: Container, **more: str) -> None:
        """An event about a container, with the attributes that Docker gives: image, name and labels."""
        attributes = {
            **(container.config.labels or {}),
            "image": container.config.image,
            "name": container.name,
            **more,
        }
        self.emit("container", action, container.id, attributes)

    def since(self, moment: datetime) -> list[EventMessage]:
        """The events from ``moment`` on that are still remembered."""
        start = int(moment.timestamp() * 1_000_000) * 1000
        return [event for event in self._recent if event.time_nano >= start]

    @contextmanager
    def subscribe(self) -> Iterator[Subscription[EventMessage]]:
        """Everything from now on."""
        with self._live.subscribe() as subscription:
            yield subscription

    @property
    def listeners(self) -> int:
        """How many listen at the moment."""
        return self._live.listeners

    def close(self) -> None:
        """End every listener's stream."""
        self._live.close()
