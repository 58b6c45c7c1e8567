"""Volumes as the Engine API lists and prunes them; a single one is sent as it is (``shoal.objects.volume``)."""

from shoal.objects.container import Pascal
from shoal.objects.volume import Volume


class VolumeList(Pascal, frozen=True):
    """The answer of ``GET /volumes``."""

    volumes: list[Volume]
    warnings: list[str] | None = None


class VolumesPruned(Pascal, frozen=True):
    """The answer of ``POST /volumes/prune``; the space in bytes."""

    volumes_deleted: list[str]
    space_reclaimed: int
