"""Images as the API sees them, and what happened to them.

An image on a node is the container runtime's own; what the API reads of it is written down here as Protocols.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

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


class ImageRunConfig(Protocol):
    """How to run an image; encodes itself with the API's keys, leaving out what is not set."""

    @property
    def labels(self) -> Mapping[str, str] | None: ...


class ImageRootFS(Protocol):
    @property
    def diff_ids(self) -> Sequence[str]: ...


class ImageDocument(Protocol):
    """The image's config blob. ``created`` is RFC 3339, as whoever built it wrote it."""

    @property
    def architecture(self) -> str: ...
    @property
    def os(self) -> str: ...
    @property
    def variant(self) -> str: ...
    @property
    def os_version(self) -> str: ...
    @property
    def created(self) -> str | None: ...
    @property
    def author(self) -> str: ...
    @property
    def comment(self) -> str: ...
    @property
    def docker_version(self) -> str: ...
    @property
    def rootfs(self) -> ImageRootFS: ...


class ImageTarget(Protocol):
    """The image's manifest, as a descriptor."""

    @property
    def media_type(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def size(self) -> int: ...


class ImageRecord(Protocol):
    """An image on this node: ``size`` of its unpacked layers in bytes, ``tagged`` when it last got a name."""

    @property
    def id(self) -> str: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def digests(self) -> Sequence[str]: ...
    @property
    def target(self) -> ImageTarget: ...
    @property
    def config(self) -> ImageDocument: ...
    @property
    def run_config(self) -> ImageRunConfig: ...
    @property
    def size(self) -> int: ...
    @property
    def tagged(self) -> datetime | None: ...
    @property
    def chain_ids(self) -> Sequence[str]: ...


class HistoryStep(Protocol):
    """A step of an image's making; ``created`` is RFC 3339 or empty."""

    @property
    def id(self) -> str: ...
    @property
    def created(self) -> str: ...
    @property
    def created_by(self) -> str: ...
    @property
    def comment(self) -> str: ...
    @property
    def tags(self) -> Sequence[str]: ...
    @property
    def size(self) -> int: ...
