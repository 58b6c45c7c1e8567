"""What ``docker save`` writes since Docker 25: an OCI layout, with ``manifest.json`` and ``repositories`` beside it.

Both kinds of reader find what they know: dockerd's before 25 follow ``manifest.json`` to the same blobs.
"""

import tarfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from shoal.container.image.manifest import (
    IMAGE_NAME_ANNOTATION,
    OCI_INDEX,
    REF_NAME_ANNOTATION,
    Descriptor,
    Index,
    Manifest,
)
from shoal.container.reference import Reference

_BLOCK = 512
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'

Read = Callable[[str], AsyncIterator[bytes]]
"""A blob's bytes, by its digest."""


@dataclass(frozen=True, slots=True)
class SavedImage:
    """An image to write, under ``names`` (with tags; none for an image that was asked for by its id)."""

    descriptor: Descriptor
    manifest: Manifest
    names: tuple[Reference, ...]


class _DockerEntry(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    repo_tags: list[str] | None
    layers: list[str]


async def write_archive(images: Sequence[SavedImage], read: Read) -> AsyncIterator[bytes]:
    """The tar, piece by piece; each blob is in it once."""
    yield _header("blobs", folder=True)
    yield _header("blobs/sha256", folder=True)
    written: set[str] = set()
    for image in images:
        for blob in (image.descriptor, image.manifest.config, *image.manifest.layers):
            if blob.digest in written:
                continue
            written.add(blob.digest)
            yield _header(_path(blob.digest), blob.size)
            async for chunk in read(blob.digest):
                yield chunk
            yield _padding(blob.size)
    for name, content in _documents(images).items():
        yield _header(name, len(content)) + content + _padding(len(content))
    yield bytes(2 * _BLOCK)


def _documents(images: Sequence[SavedImage]) -> Mapping[str, bytes]:
    index: list[Descriptor] = []
    entries: list[_DockerEntry] = []
    repositories: dict[str, dict[str, str]] = {}
    for image in images:
        for name in image.names or (None,):
            index.append(msgspec.structs.replace(image.descriptor, annotations=_annotations(name)))
        layers = [_path(layer.digest) for layer in image.manifest.layers]
        tags = [name.familiar for name in image.names]
        entries.append(_DockerEntry(_path(image.manifest.config.digest), tags or None, layers))
        for name in image.names:
            if name.tag is not None and layers:
                repositories.setdefault(name.familiar_name, {})[name.tag] = layers[-1].rpartition("/")[2]
    documents = {
        "index.json": msgspec.json.encode(Index(manifests=index, media_type=OCI_INDEX)),
        "manifest.json": msgspec.json.encode(entries),
        "oci-layout": _LAYOUT,
    }
    return documents | ({"repositories": msgspec.json.encode(repositories)} if repositories else {})


def _annotations(name: Reference | None) -> dict[str, str] | None:
    if name is None:
        return None
    return {IMAGE_NAME_ANNOTATION: str(name), REF_NAME_ANNOTATION: name.tag or ""}


def _path(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return f"blobs/{algorithm}/{value}"


def _header(name: str, size: int = 0, *, folder: bool = False) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o755 if folder else 0o644
    info.type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
    return info.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)
