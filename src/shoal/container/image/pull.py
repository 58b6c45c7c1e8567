"""``docker pull`` and ``docker push``: between a registry and the content store."""

from collections.abc import AsyncIterator

from shoal.aio.clock import Clock
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.content import ContentStore
from shoal.container.containerd.leases import lease
from shoal.container.distribution.auth import AuthConfig
from shoal.container.distribution.errors import RegistryError, for_push
from shoal.container.distribution.repository import Repository
from shoal.container.image.catalogue import Catalogue, Image
from shoal.container.image.layers import Layers
from shoal.container.image.manifest import Descriptor, Platform, parse_manifest
from shoal.container.image.names import Names
from shoal.container.image.progress import Progress, PullReport, Pushed, Report, line, short, silent, step, transfer
from shoal.container.reference import DEFAULT_TAG, Reference
from shoal.container.registry import Registry
from shoal.errors import NotFound

_REPORT_BYTES = 512 << 10


class Transfers:
    """Moves images; the registry's errors come as :mod:`shoal.container.registry` says."""

    def __init__(
        self,
        *,
        containerd: Containerd,
        content: ContentStore,
        registry: Registry,
        layers: Layers,
        names: Names,
        catalogue: Catalogue,
        clock: Clock,
    ) -> None:
        self._containerd = containerd
        self._content = content
        self._registry = registry
        self._layers = layers
        self._names = names
        self._catalogue = catalogue
        self._clock = clock

    async def pull(self, reference: Reference, platform: Platform, auth: AuthConfig, report: Report) -> Image:
        """Pull one image, named by tag or digest."""
        resolved = await self._registry.resolve(reference, platform, auth)
        report(line(f"Pulling from {reference.path}", reference.tag or str(reference.digest)))
        document = resolved.manifest
        manifest = parse_manifest(document.content)
        async with lease(self._containerd, clock=self._clock) as held:
            config = await self._layers.store_config(manifest.config, resolved.repository.blob, held)
            if config.os and config.os != platform.os:
                raise NotFound(f'image operating system "{config.os}" cannot be used on this platform')
            told = PullReport(manifest.layers, report)
            await self._layers.bring(manifest, config, resolved.repository.blob, lease=held, report=told)
            await self._layers.store_manifest(document.descriptor, document.content, manifest, held)
            canonical = reference.with_digest(resolved.digest)
            names = [canonical] if reference.digest is not None else [reference, canonical]
            before = await self._names.give(manifest.config.digest, document.descriptor, names)
        report(line(f"Digest: {resolved.digest}"))
        image_id = manifest.config.digest
        newer = before is None or before.id != image_id
        word = "Downloaded newer image" if newer else "Image is up to date"
        report(line(f"Status: {word} for {reference.familiar}"))
        return await self._catalogue.find(image_id)

    async def push(self, image: Image, reference: Reference, auth: AuthConfig, report: Report) -> str:
        """Push the image under ``reference`` (with a tag); returns the manifest's digest."""
        report(line(f"The push refers to repository [{reference.name}]"))
        for layer in image.manifest.layers:
            report(step(short(layer.digest), "Preparing"))
        try:
            repository = await self._registry.destination(reference, auth)
            for layer in image.manifest.layers:
                await self._push_blob(repository, layer, report)
            await self._push_blob(repository, image.manifest.config, None)
            content = await self._content.read_all(image.target.digest)
            tag = reference.tag or DEFAULT_TAG
            await repository.put(tag, image.target.media_type, content)
        except RegistryError as error:
            raise for_push(error) from error
        await self._names.give(image.id, image.target, [reference.with_digest(image.target.digest)])
        size = len(content)
        report(line(f"{tag}: digest: {image.target.digest} size: {size}"))
        report(Progress(aux=Pushed(tag, image.target.digest, size)))
        return image.target.digest

    async def _push_blob(self, repository: Repository, blob: Descriptor, report: Report | None) -> None:
        told = report or silent
        if await repository.has_blob(blob.digest):
            told(step(short(blob.digest), "Layer already exists"))
            return
        await repository.upload(blob, self._sent(blob, told))
        told(step(short(blob.digest), "Pushed"))

    async def _sent(self, blob: Descriptor, report: Report) -> AsyncIterator[bytes]:
        done = told = 0
        async for chunk in self._content.read(blob.digest):
            yield chunk
            done += len(chunk)
            if done - told >= _REPORT_BYTES or done == blob.size:
                told = done
                report(transfer(short(blob.digest), "Pushing", done, blob.size))
