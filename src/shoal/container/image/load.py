"""``docker load`` and ``docker import``: from a tar, spooled on disk, to the content store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.container.archive import Archive, ArchivedImage
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.leases import lease
from shoal.container.image.catalogue import Catalogue, Image
from shoal.container.image.changes import apply_changes
from shoal.container.image.config import History, ImageConfig, RootFS, RunConfig, encode_config
from shoal.container.image.layers import Layers
from shoal.container.image.manifest import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    Descriptor,
    Manifest,
    Platform,
    digest_of,
    encode,
)
from shoal.container.image.names import Names
from shoal.container.image.progress import LoadReport, Progress, Report, line, silent
from shoal.container.image.spool import Spool
from shoal.container.reference import Reference

_DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Loads:
    """Takes archives in; ``folder`` is where they are spooled."""

    def __init__(
        self, *, containerd: Containerd, layers: Layers, names: Names, catalogue: Catalogue, clock: Clock, folder: Path
    ) -> None:
        self._containerd = containerd
        self._layers = layers
        self._names = names
        self._catalogue = catalogue
        self._clock = clock
        self._folder = folder

    async def load(self, chunks: AsyncIterator[bytes], platform: Platform, report: Report) -> list[Image]:
        """Load every image of the archive. Raises :class:`InvalidArgument` when it is none, or is not what it says."""
        with Spool(self._folder) as spool:
            await spool.fill(chunks)
            archive = await asyncio.to_thread(Archive, spool.file)
            return [
                await self._load(archive, found, report) for found in await asyncio.to_thread(archive.images, platform)
            ]

    async def _load(self, archive: Archive, found: ArchivedImage, report: Report) -> Image:
        def fetch(blob: Descriptor) -> AsyncIterator[bytes]:
            return archive.read(found.blobs[blob.digest])

        target = Descriptor(
            media_type=found.manifest_type, digest=digest_of(found.manifest_content), size=len(found.manifest_content)
        )
        image_id = found.manifest.config.digest
        async with lease(self._containerd, clock=self._clock) as held:
            config = await self._layers.store_config(found.manifest.config, fetch, held)
            told = LoadReport(found.manifest.layers, config.rootfs.diff_ids, report)
            await self._layers.bring(found.manifest, config, fetch, lease=held, report=told)
            await self._layers.store_manifest(target, found.manifest_content, found.manifest, held)
            await self._names.give(image_id, target, found.names)
        for name in found.names:
            report(Progress(stream=f"Loaded image: {name.familiar}\n"))
        if not found.names:
            report(Progress(stream=f"Loaded image ID: {image_id}\n"))
        return await self._catalogue.find(image_id)

    async def import_(
        self,
        chunks: AsyncIterator[bytes],
        *,
        name: Reference | None,
        changes: Sequence[str],
        message: str,
        platform: Platform,
        report: Report,
    ) -> Image:
        """Make an image of one layer from a root file system's tar. Raises :class:`InvalidArgument`."""
        run = apply_changes(RunConfig(env=[_DEFAULT_PATH]), changes)
        with Spool(self._folder) as spool:
            await spool.fill(chunks)
            await asyncio.to_thread(spool.check_tar)
            created = self._clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            config = ImageConfig(
                architecture=platform.architecture,
                os=platform.os,
                variant=platform.variant,
                created=created,
                comment=message,
                config=run,
                rootfs=RootFS(diff_ids=[spool.digest]),
                history=[History(created=created, comment=message)],
            )
            config_content = encode_config(config)
            blob = Descriptor(media_type=DOCKER_CONFIG, digest=digest_of(config_content), size=len(config_content))
            layer = Descriptor(media_type=DOCKER_LAYER, digest=spool.digest, size=spool.size)
            manifest = Manifest(config=blob, layers=[layer], media_type=DOCKER_MANIFEST)
            content = encode(manifest)
            target = Descriptor(media_type=DOCKER_MANIFEST, digest=digest_of(content), size=len(content))

            def fetch(asked: Descriptor) -> AsyncIterator[bytes]:
                return _whole(config_content) if asked == blob else spool.read()

            async with lease(self._containerd, clock=self._clock) as held:
                await self._layers.store_config(blob, fetch, held)
                told = LoadReport(manifest.layers, config.rootfs.diff_ids, silent)
                await self._layers.bring(manifest, config, fetch, lease=held, report=told)
                await self._layers.store_manifest(target, content, manifest, held)
                await self._names.give(blob.digest, target, [name] if name is not None else [])
        report(line(blob.digest))
        return await self._catalogue.find(blob.digest)


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
