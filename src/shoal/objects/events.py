"""Events (Engine API, ``EventMessage``); the first three keys are the older form that clients still read."""

import msgspec

from shoal.objects.base import Object


class Actor(Object, frozen=True, omit_defaults=False):
    """What the event is about."""

    id: str = ""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)


class EventMessage(Object, frozen=True):
    """``time`` in seconds, ``time_nano`` in nanoseconds since 1970."""

    status: str | None = msgspec.field(default=None, name="status")
    id: str | None = msgspec.field(default=None, name="id")
    from_: str | None = msgspec.field(default=None, name="from")
    type: str = ""
    action: str = ""
    actor: Actor = Actor()
    scope: str | None = msgspec.field(default=None, name="scope")
    time: int = msgspec.field(default=0, name="time")
    time_nano: int = msgspec.field(default=0, name="timeNano")
