"""The images there are, read back from containerd's image records.

A record's name is a reference in full (``docker.io/library/nginx:latest``, ``…/nginx@sha256:…``) and its target one
platform's manifest; the image's id is the manifest's config's digest, as Docker counts. An image that has lost its last
name keeps a record ``dangling@<id>``. What a digest points at never changes, so it is read once and remembered.
"""

import logging
from collections.abc import Iterable
from datetime import datetime

import msgspec

from shoal.container.containerd.content import ContentStore
from shoal.container.containerd.images import ImageRecord, ImageRecords
from shoal.container.containerd.snapshots import Snapshots
from shoal.container.image.config import ImageConfig, RunConfig, chain_ids, parse_config
from shoal.container.image.manifest import MANIFESTS, Descriptor, Manifest, parse_manifest
from shoal.container.image.removal import is_id_of
from shoal.container.reference import Reference, is_image_id, parse
from shoal.errors import InvalidArgument, NotFound

_log = logging.getLogger(__name__)
DANGLING = "dangling@"
_HEX_LENGTH = 64


class Image(msgspec.Struct, frozen=True):
    """An image on this node. ``size``: its unpacked layers, in bytes; ``tagged``: when it last got a name."""

    id: str
    names: tuple[Reference, ...]
    target: Descriptor
    manifest: Manifest
    config: ImageConfig
    size: int
    tagged: datetime | None

    @property
    def tags(self) -> list[str]:
        """Docker's RepoTags: ``nginx:latest``."""
        return [name.familiar for name in self.names if name.digest is None]

    @property
    def digests(self) -> list[str]:
        """Docker's RepoDigests: ``nginx@sha256:…``."""
        return [name.familiar for name in self.names if name.digest is not None]

    @property
    def run_config(self) -> RunConfig:
        """How to run it where the user says nothing."""
        return self.config.config or RunConfig()

    @property
    def chain_ids(self) -> list[str]:
        """The snapshots of its layers, bottom first; the last is what a container's snapshot stands on."""
        return chain_ids(self.config.rootfs.diff_ids)

    @property
    def chain_id(self) -> str:
        """The snapshot that a container of it stands on; empty for an image without layers."""
        return self.chain_ids[-1] if self.config.rootfs.diff_ids else ""


class _Parsed(msgspec.Struct, frozen=True):
    manifest: Manifest
    config: ImageConfig


class Catalogue:
    """Finds images by name, id or digest."""

    def __init__(self, *, content: ContentStore, records: ImageRecords, snapshots: Snapshots) -> None:
        self._content = content
        self._records = records
        self._snapshots = snapshots
        self._parsed: dict[str, _Parsed] = {}
        self._sizes: dict[str, int] = {}

    async def images(self) -> list[Image]:
        """Every image, in no order. A record that cannot be read is left out, and logged."""
        groups: dict[str, list[ImageRecord]] = {}
        for record in await self._records.list():
            parsed = await self._read(record)
            if parsed is not None:
                groups.setdefault(parsed.manifest.config.digest, []).append(record)
        images = [await self._image(image_id, records) for image_id, records in groups.items()]
        self._forget(images)
        return images

    async def find(self, text: str) -> Image:
        """By whole id, name (``latest`` where it says nothing), digest, or start of the id, in this order.

        Raises :class:`NotFound` and :class:`InvalidArgument` with Docker's texts.
        """
        whole = f"sha256:{text}" if len(text) == _HEX_LENGTH and is_image_id(f"sha256:{text}") else text
        images = await self.images()
        if is_image_id(whole):
            found = [image for image in images if image.id == whole]
            if not found:
                raise NotFound(f"No such image: {whole}")
            return found[0]
        reference = parse(text).or_latest()
        if reference.digest is not None:
            # As for Docker, the digest alone counts where a tag is given too.
            reference = reference.with_digest(reference.digest)
        for image in images:
            if reference in image.names or reference.digest == image.id:
                return image
        starts = [image for image in images if is_id_of(text, image.id)]
        if len(starts) != 1:
            raise NotFound(f"No such image: {reference.familiar}")
        return starts[0]

    async def named(self, reference: Reference) -> Image | None:
        """The image that has exactly this name."""
        try:
            record = await self._records.get(str(reference))
        except NotFound:
            return None
        parsed = await self._read(record)
        if parsed is None:
            return None
        return await self._image(parsed.manifest.config.digest, [record])

    async def _read(self, record: ImageRecord) -> _Parsed | None:
        digest = record.target.digest
        if (known := self._parsed.get(digest)) is not None:
            return known
        if record.target.media_type not in MANIFESTS:
            _log.warning("image %s is no manifest but %s", record.name, record.target.media_type)
            return None
        try:
            manifest = parse_manifest(await self._content.read_all(digest))
            parsed = _Parsed(manifest, parse_config(await self._content.read_all(manifest.config.digest)))
        except (NotFound, InvalidArgument) as error:
            _log.warning("image %s cannot be read: %s", record.name, error)
            return None
        return self._parsed.setdefault(digest, parsed)

    async def _image(self, image_id: str, records: list[ImageRecord]) -> Image:
        names = sorted((parse(r.name) for r in records if not r.name.startswith(DANGLING)), key=str)
        target = records[0].target
        parsed = self._parsed[target.digest]
        return Image(
            id=image_id,
            names=tuple(names),
            target=Descriptor(media_type=target.media_type, digest=target.digest, size=target.size),
            manifest=parsed.manifest,
            config=parsed.config,
            size=await self._size(chain_ids(parsed.config.rootfs.diff_ids)),
            tagged=max((r.updated for r in records if r.updated is not None), default=None),
        )

    async def _size(self, chain: list[str]) -> int:
        total = 0
        for key in chain:
            if key not in self._sizes:
                try:
                    self._sizes[key] = (await self._snapshots.usage(key)).size
                except NotFound:
                    continue
            total += self._sizes[key]
        return total

    def _forget(self, images: Iterable[Image]) -> None:
        """Drop what is remembered of images that are gone."""
        targets = {image.id for image in images}
        chains = {key for image in images for key in image.chain_ids}
        self._parsed = {d: p for d, p in self._parsed.items() if p.manifest.config.digest in targets}
        self._sizes = {key: size for key, size in self._sizes.items() if key in chains}
