"""A node's volumes (Engine API, ``/volumes``)."""

from typing import Any

import msgspec

from shoal.objects.container import Pascal


class VolumeUsage(Pascal, frozen=True):
    """Bytes on disk and containers that refer to it; -1 where nobody counted."""

    size: int = -1
    ref_count: int = -1


class Volume(Pascal, frozen=True, kw_only=True):
    """A directory that outlives containers; ``mountpoint`` is where it is on the host."""

    created_at: str
    driver: str = "local"
    labels: dict[str, str] | None = None
    mountpoint: str
    name: str
    options: dict[str, str] | None = None
    scope: str = "local"
    usage_data: VolumeUsage | msgspec.UnsetType = msgspec.UNSET


class VolumeCreateOptions(Pascal, frozen=True):
    """What was asked for; an empty ``name`` means an anonymous volume, for which the engine makes one up."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: dict[str, Any] | None = None
