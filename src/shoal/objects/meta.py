"""What every object in the store carries, and the small pieces that several objects share."""

from shoal.objects.base import Object


class Version(Object, frozen=True, omit_defaults=False):
    """The store's revision at which the object last changed; an update must name the one it was made from."""

    index: int = 0


class Driver(Object, frozen=True):
    """A driver by its name, with options that only it understands."""

    name: str | None = None
    options: dict[str, str] | None = None
