"""Reads what ``docker save`` writes: ``manifest.json`` with layer tars, or an OCI layout, or both in one tar.

The tar lies on disk (:class:`~shoal.container.image.spool.Spool`); only its index of members and the small JSON files
are ever in memory. Where both forms are there the OCI layout counts: it has the manifests as they were, so digests
stay. Functions that are not async block, and belong in a thread.
"""

import asyncio
import hashlib
import os
import posixpath
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TypeVar

import msgspec

from shoal.container.image.config import ImageConfig, parse_config
from shoal.container.image.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    IMAGE_NAME_ANNOTATION,
    INDEXES,
    MANIFESTS,
    OCI_LAYER_ZSTD,
    REF_NAME_ANNOTATION,
    Descriptor,
    Manifest,
    Platform,
    digest_of,
    encode,
    media_type_of,
    parse_index,
    parse_manifest,
)
from shoal.container.image.platform import select
from shoal.container.image.spool import compressed_as
from shoal.container.reference import Reference, parse
from shoal.errors import InvalidArgument

_CHUNK = 1 << 20
_DOCUMENT_LIMIT = 16 << 20
_LINK_LIMIT = 8
_MEMBER_LIMIT = 20_000
_LAYER_TYPES = {"": DOCKER_LAYER, "gzip": DOCKER_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive: where its bytes lie in the spooled tar."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image in an archive: its manifest, as found or as made for it, and the files that hold its blobs."""

    manifest: Manifest
    manifest_type: str
    manifest_content: bytes
    config: ImageConfig
    blobs: Mapping[str, Member]
    names: tuple[Reference, ...]


class _DockerEntry(msgspec.Struct, frozen=True, rename="pascal"):
    """An entry of ``manifest.json`` (Docker image specification v1.2)."""

    config: str
    layers: list[str]
    repo_tags: list[str] | None = None


class Archive:
    """An opened archive; ``file`` is the spooled tar, and stays the caller's to close."""

    def __init__(self, file: IO[bytes]) -> None:
        self._descriptor = file.fileno()
        self._members = _index(file)

    def images(self, platform: Platform) -> list[ArchivedImage]:
        """All images for ``platform`` in it. Raises :class:`InvalidArgument` when it is no image archive."""
        if "index.json" in self._members and "oci-layout" in self._members:
            index = parse_index(self._read("index.json"))
            if index.manifests:
                return _merged([self._from_layout(entry, platform) for entry in index.manifests if _is_image(entry)])
        if "manifest.json" in self._members:
            entries = _decode(self._read("manifest.json"), list[_DockerEntry], "manifest.json")
            return [self._from_docker(entry) for entry in entries]
        raise InvalidArgument("invalid archive: does not contain a manifest.json")

    async def read(self, member: Member) -> AsyncIterator[bytes]:
        """The file's bytes, a chunk at a time."""
        position, end = member.offset, member.offset + member.size
        while position < end:
            chunk = await asyncio.to_thread(os.pread, self._descriptor, min(_CHUNK, end - position), position)
            if not chunk:
                raise InvalidArgument(f"invalid archive: {member.name} is cut off")
            position += len(chunk)
            yield chunk

    def _member(self, name: str) -> Member:
        member = self._members.get(_safe_name(name))
        if member is None:
            raise InvalidArgument(f"invalid archive: {name} is missing")
        return member

    def _blob(self, blob: Descriptor) -> Member:
        member = self._member(_blob_name(blob.digest))
        if member.size != blob.size:
            raise InvalidArgument(
                f"invalid archive: {blob.digest} has {member.size} bytes, its manifest says {blob.size}"
            )
        return member

    def _read(self, name: str) -> bytes:
        member = self._member(name)
        if member.size > _DOCUMENT_LIMIT:
            raise InvalidArgument(f"invalid archive: {name} is too large")
        return os.pread(self._descriptor, member.size, member.offset)

    def _hash(self, member: Member) -> str:
        hashed = hashlib.sha256()
        for position in range(0, member.size, _CHUNK):
            size = min(_CHUNK, member.size - position)
            hashed.update(os.pread(self._descriptor, size, member.offset + position))
        return "sha256:" + hashed.hexdigest()

    def _from_layout(self, entry: Descriptor, platform: Platform) -> ArchivedImage:
        """An image of an OCI layout (OCI image specification, image-layout.md)."""
        content = self._read(_blob_name(entry.digest))
        kind = media_type_of(content, entry.media_type)
        if kind in INDEXES:
            chosen = select([m for m in parse_index(content).manifests if _is_image(m)], platform)
            if chosen is None:
                raise InvalidArgument(f"no matching manifest for {platform} in the archive")
            content = self._read(_blob_name(chosen.digest))
            kind = media_type_of(content, chosen.media_type)
        if kind not in MANIFESTS:
            raise InvalidArgument(f"invalid archive: unsupported media type {kind}")
        manifest = parse_manifest(content)
        blobs = {blob.digest: self._blob(blob) for blob in (manifest.config, *manifest.layers)}
        config = parse_config(self._read(_blob_name(manifest.config.digest)))
        return ArchivedImage(manifest, kind, content, _checked(config, manifest), blobs, _names(entry))

    def _from_docker(self, entry: _DockerEntry) -> ArchivedImage:
        """An image of ``manifest.json``, which has no manifest in a registry's sense: one is made."""
        content = self._read(entry.config)
        config = parse_config(content)
        if len(config.rootfs.diff_ids) != len(entry.layers):
            raise InvalidArgument("invalid manifest, layers length mismatch")
        config_digest = digest_of(content)
        blobs = {config_digest: self._member(entry.config)}
        layers: list[Descriptor] = []
        for name, diff_id in zip(entry.layers, config.rootfs.diff_ids, strict=True):
            member = self._member(name)
            compression = compressed_as(os.pread(self._descriptor, 8, member.offset))
            # A plain tar's digest is the diff id, and is checked when it is stored; another's must be computed.
            digest = self._hash(member) if compression else diff_id
            layers.append(Descriptor(media_type=_LAYER_TYPES[compression], digest=digest, size=member.size))
            blobs[digest] = member
        manifest = Manifest(
            config=Descriptor(media_type=DOCKER_CONFIG, digest=config_digest, size=len(content)),
            layers=layers,
            media_type=DOCKER_MANIFEST,
        )
        names = tuple(_tag(text) for text in entry.repo_tags or ())
        return ArchivedImage(manifest, DOCKER_MANIFEST, encode(manifest), config, blobs, names)


def _index(file: IO[bytes]) -> dict[str, Member]:
    """The regular files by name; links resolved, within the archive only."""
    members: dict[str, Member] = {}
    links: dict[str, str] = {}
    file.seek(0)
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for count, info in enumerate(tar):
                if count > _MEMBER_LIMIT:
                    raise InvalidArgument(f"invalid archive: more than {_MEMBER_LIMIT} files")
                name = _safe_name(info.name)
                if info.isreg():
                    members[name] = Member(name, info.offset_data, info.size)
                elif info.issym():
                    links[name] = _safe_name(posixpath.join(posixpath.dirname(name), info.linkname))
                elif info.islnk():
                    links[name] = _safe_name(info.linkname)
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidArgument(f"invalid archive: {error}") from error
    for name, target in links.items():
        for _hop in range(_LINK_LIMIT):
            if target in members:
                members[name] = members[target]
                break
            target = links.get(target, target)
    return members


def _safe_name(name: str) -> str:
    """The name in its plain form. Raises :class:`InvalidArgument` when it leads out of the archive."""
    plain = posixpath.normpath(name)
    if posixpath.isabs(plain) or plain == ".." or plain.startswith("../"):
        raise InvalidArgument(f"invalid archive: {name!r} leads out of it")
    return plain


def _blob_name(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _is_image(entry: Descriptor) -> bool:
    """Not an attestation, which BuildKit lists beside the images as for an unknown platform."""
    return entry.platform is None or entry.platform.architecture != "unknown"


def _names(entry: Descriptor) -> tuple[Reference, ...]:
    annotations = entry.annotations or {}
    name = annotations.get(IMAGE_NAME_ANNOTATION, "")
    short = annotations.get(REF_NAME_ANNOTATION, "")
    # The second is a bare tag in most layouts, and then no name; some tools put the whole reference there.
    text = name or (short if "/" in short or ":" in short else "")
    reference = parse(text) if text else None
    return (reference.or_latest(),) if reference is not None and reference.digest is None else ()


def _tag(text: str) -> Reference:
    """A name for an image; a digest is none: it may be another image's."""
    name = parse(text)
    if name.digest is not None:
        raise InvalidArgument(f'invalid tag "{text}"')
    return name


def _checked(config: ImageConfig, manifest: Manifest) -> ImageConfig:
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise InvalidArgument("invalid manifest, layers length mismatch")
    return config


def _merged(images: Sequence[ArchivedImage]) -> list[ArchivedImage]:
    """A layout lists an image once for each of its names."""
    found: dict[str, ArchivedImage] = {}
    for image in images:
        digest = digest_of(image.manifest_content)
        known = found.get(digest)
        names = (*known.names, *(n for n in image.names if n not in known.names)) if known else image.names
        found[digest] = ArchivedImage(
            image.manifest, image.manifest_type, image.manifest_content, image.config, image.blobs, names
        )
    return list(found.values())


def _decode(content: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidArgument(f"invalid archive: {what}: {error}") from error
