"""What happened to images, as the API tells it."""

import msgspec

from shoal.objects.container import Pascal


class ImageRemoval(Pascal, frozen=True, omit_defaults=True):
    """One record of a removal: a name that went (``nginx:latest``), or the image or a layer (``sha256:…``)."""

    untagged: str | None = None
    deleted: str | None = None


class ImagePruneResult(msgspec.Struct, frozen=True):
    """What a prune took away, and the bytes that this freed."""

    removed: list[ImageRemoval]
    space: int = 0
