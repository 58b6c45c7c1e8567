"""Blobs into the content store, and layers out of it into snapshots, with what keeps both from the collector.

A manifest's labels hold its config and layers, the config's label holds the topmost snapshot, which holds those below
(containerd, docs/garbage-collection.md); an image record holds the manifest. Until there is one, a lease holds all.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from shoal.aio.clock import Clock
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.content import ContentStore
from shoal.container.containerd.images import Descriptor as Target
from shoal.container.containerd.snapshots import Snapshots
from shoal.container.containerd.unpack import unpack_layer
from shoal.container.image.config import ImageConfig, chain_ids, parse_config
from shoal.container.image.manifest import Descriptor, Manifest
from shoal.container.image.progress import LayerReport
from shoal.errors import InvalidArgument, Unavailable

_PARALLEL = 3
"""As many downloads at a time as dockerd makes (``--max-concurrent-downloads``)."""
_REPORT_BYTES = 512 << 10

Fetch = Callable[[Descriptor], AsyncIterator[bytes]]
"""The bytes of a blob, from a registry or an archive."""


class Layers:
    """Stores and unpacks; a blob or a layer that two ask for at a time is fetched and unpacked once."""

    def __init__(self, *, containerd: Containerd, content: ContentStore, snapshots: Snapshots, clock: Clock) -> None:
        self._clock = clock
        self._containerd = containerd
        self._content = content
        self._snapshots = snapshots
        self._locks = _Locks()

    async def store_config(self, descriptor: Descriptor, fetch: Fetch, lease: str) -> ImageConfig:
        """Store the config, labelled for the snapshots to come. Raises :class:`InvalidArgument` when it is none."""
        await self._ingest(descriptor, lambda: fetch(descriptor), lease)
        config = parse_config(await self._content.read_all(descriptor.digest))
        if chain := chain_ids(config.rootfs.diff_ids):
            # Before the snapshots are looked at: what is there already cannot go from now on.
            label = f"containerd.io/gc.ref.snapshot.{self._snapshots.snapshotter}"
            await self._content.label(descriptor.digest, {label: chain[-1]})
        return config

    async def store_manifest(self, descriptor: Descriptor, content: bytes, manifest: Manifest, lease: str) -> None:
        """Store the manifest, with the labels that hold its blobs."""
        held = (manifest.config, *manifest.layers)
        labels = {f"containerd.io/gc.ref.content.{index}": blob.digest for index, blob in enumerate(held)}
        await self._ingest(descriptor, lambda: content, lease, labels)

    async def bring(
        self, manifest: Manifest, config: ImageConfig, fetch: Fetch, *, lease: str, report: LayerReport
    ) -> None:
        """Store and unpack all layers; those that are here only come under the lease.

        Downloads run side by side, unpacking goes bottom up. Raises what ``fetch`` raises, and
        :class:`InvalidArgument` when a layer is not what the manifest or the config says.
        """
        diff_ids = config.rootfs.diff_ids
        if len(manifest.layers) != len(diff_ids):
            raise InvalidArgument("invalid manifest, layers length mismatch")
        chain = chain_ids(diff_ids)
        report.found([await self._snapshots.exists(key) for key in chain])
        turns = asyncio.Semaphore(_PARALLEL)

        async def download(index: int, blob: Descriptor) -> None:
            async with turns:
                await self._ingest(blob, lambda: _counted(fetch(blob), index, report), lease)
            report.received(index)

        try:
            async with asyncio.TaskGroup() as group:
                downloads = [group.create_task(download(i, blob)) for i, blob in enumerate(manifest.layers)]
                for index, done in enumerate(downloads):
                    await done
                    report.unpacking(index)
                    await self._unpack(manifest.layers[index], diff_ids[index], chain[:index], lease)
                    report.unpacked(index)
        except BaseExceptionGroup as errors:
            # One cause is what callers can act on; the others follow from it, by cancellation or by the same fault.
            raise errors.exceptions[0] from errors

    async def unpack(self, manifest: Manifest, config: ImageConfig, lease: str) -> None:
        """Unpack what is not unpacked, from the blobs that are here. Raises :class:`NotFound` when one is not."""
        diff_ids = config.rootfs.diff_ids
        chain = chain_ids(diff_ids)
        if not chain or await self._snapshots.exists(chain[-1]):
            return
        for index, (blob, diff_id) in enumerate(zip(manifest.layers, diff_ids, strict=True)):
            await self._unpack(blob, diff_id, chain[:index], lease)

    async def _ingest(
        self,
        blob: Descriptor,
        data: Callable[[], bytes | AsyncIterator[bytes]],
        lease: str,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Store a blob, or bring the one that is here under the lease; ``data`` is only read if it is not."""
        async with self._locks.holding(blob.digest):
            for patience in (0.05, 0.2, 0.5, 1.0, 0.0):
                try:
                    return await self._content.ingest(blob.digest, data(), size=blob.size, labels=labels, lease=lease)
                except Unavailable as error:
                    # A write that was broken off a moment ago: containerd still has it open.
                    if "locked" not in str(error) or not patience:
                        raise
                    await self._clock.sleep(patience)

    async def _unpack(self, blob: Descriptor, diff_id: str, below: list[str], lease: str) -> None:
        parent = below[-1] if below else ""
        async with self._locks.holding(f"{parent} {diff_id}"):
            await unpack_layer(
                self._containerd,
                self._snapshots,
                Target(blob.media_type, blob.digest, blob.size),
                diff_id=diff_id,
                parent=parent,
                lease=lease,
            )


class _Locks:
    """A lock a key, gone when nobody holds or awaits it."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def holding(self, key: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]


async def _counted(chunks: AsyncIterator[bytes], index: int, report: LayerReport) -> AsyncIterator[bytes]:
    done = told = 0
    async for chunk in chunks:
        yield chunk
        done += len(chunk)
        if done - told >= _REPORT_BYTES:
            told = done
            report.receiving(index, done)
    if done > told:
        report.receiving(index, done)
