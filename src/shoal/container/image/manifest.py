"""Descriptors, manifests and indexes, of the OCI image specification and of Docker's schema 2: the same JSON fields."""

import hashlib
from typing import TypeVar

import msgspec

from shoal.errors import InvalidArgument

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
SCHEMA1_MANIFESTS = frozenset(
    {
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    }
)
MANIFESTS = frozenset({DOCKER_MANIFEST, OCI_MANIFEST})
INDEXES = frozenset({DOCKER_INDEX, OCI_INDEX})
IMAGE_NAME_ANNOTATION = "io.containerd.image.name"
REF_NAME_ANNOTATION = "org.opencontainers.image.ref.name"
_MANIFEST_LIMIT = 4 << 20

T = TypeVar("T")


def _two() -> int:
    """The schema's version, from a factory so that it is written although it is the default."""
    return 2


class Platform(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What an image runs on; ``variant`` is the ``v8`` of ``linux/arm64/v8``."""

    architecture: str = ""
    os: str = ""
    variant: str = ""
    os_version: str = msgspec.field(name="os.version", default="")

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Points at a blob by its digest; ``size`` in bytes."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] | None = None
    urls: list[str] | None = None


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One platform's image: its config and its layers, bottom first."""

    config: Descriptor
    layers: list[Descriptor]
    schema_version: int = msgspec.field(default_factory=_two)
    media_type: str = ""
    annotations: dict[str, str] | None = None


class Index(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Manifests of one image for several platforms (or, in an archive, of several images)."""

    manifests: list[Descriptor]
    schema_version: int = msgspec.field(default_factory=_two)
    media_type: str = ""
    annotations: dict[str, str] | None = None


def digest_of(content: bytes) -> str:
    """``sha256:`` and the hex digest."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def parse_manifest(content: bytes) -> Manifest:
    """Raises :class:`InvalidArgument` when it is no image manifest."""
    return _decode(content, Manifest, "manifest")


def parse_index(content: bytes) -> Index:
    """Raises :class:`InvalidArgument` when it is no index."""
    return _decode(content, Index, "manifest list")


def encode(document: Manifest | Index) -> bytes:
    """The document's bytes, the same for the same document."""
    return msgspec.json.format(msgspec.json.encode(document), indent=3)


def media_type_of(content: bytes, declared: str) -> str:
    """What kind of document it is: as the transport says, else as it says itself, else as its fields show."""
    declared = declared.partition(";")[0].strip()
    if declared in MANIFESTS or declared in INDEXES or declared in SCHEMA1_MANIFESTS:
        return declared
    probe = _decode(content, _Probe, "manifest")
    if probe.media_type:
        return probe.media_type
    if probe.schema_version == 1:
        return next(iter(SCHEMA1_MANIFESTS))
    return OCI_INDEX if probe.manifests is not None else OCI_MANIFEST


class _Probe(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    manifests: list[msgspec.Raw] | None = None


def _decode(content: bytes, kind: type[T], what: str) -> T:
    if len(content) > _MANIFEST_LIMIT:
        raise InvalidArgument(f"{what} is too large: {len(content)} bytes")
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidArgument(f"invalid {what}: {error}") from error
