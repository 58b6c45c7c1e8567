"""Blobs and image records on a containerd of the test's own; as root."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from shoal.aio.clock import SystemClock
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.content import CHUNK, ContentStore
from shoal.container.containerd.images import Descriptor, ImageRecords
from shoal.container.containerd.leases import lease
from shoal.container.containerd.supervisor import ContainerdSupervisor
from shoal.errors import InvalidArgument, NotFound

pytestmark = pytest.mark.root
CLOCK = SystemClock()


def scenario(body: Callable[[Containerd], Awaitable[None]]) -> None:
    async def whole(folder: Path) -> None:
        supervisor = ContainerdSupervisor(root=folder / "root", state=folder / "state", clock=CLOCK)
        await supervisor.start()
        containerd = Containerd(str(supervisor.socket))
        try:
            async with asyncio.timeout(30):
                await body(containerd)
        finally:
            await containerd.close()
            await supervisor.stop()

    with tempfile.TemporaryDirectory(prefix="shoal-") as name:
        asyncio.run(whole(Path(name)))


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def test_a_blob_comes_back_as_it_went_in() -> None:
    async def body(containerd: Containerd) -> None:
        store = ContentStore(containerd)
        async with lease(containerd, clock=CLOCK, lifetime=timedelta(hours=1)) as held:
            for data in (b"", b"x", os.urandom(CHUNK), os.urandom(2 * CHUNK + 1)):
                for source in (data, pieces(data, 100_000)):
                    await store.ingest(digest_of(data), source, lease=held, labels={"a": "b"})
                info = await store.info(digest_of(data))
                assert (info.digest, info.size, dict(info.labels)) == (digest_of(data), len(data), {"a": "b"})
                assert await store.read_all(digest_of(data)) == data
            big = data
            assert (
                b"".join([part async for part in store.read(digest_of(big), offset=5, size=CHUNK)])
                == big[5 : CHUNK + 5]
            )
            await store.label(digest_of(big), {"a": "", "c": "d"})
            assert dict((await store.info(digest_of(big))).labels) == {"c": "d"}
            assert [blob.digest async for blob in store.walk("labels.c==d")] == [digest_of(big)]
            assert len([blob async for blob in store.walk()]) == 4
            with pytest.raises(InvalidArgument, match="larger"):
                await store.read_all(digest_of(big), limit=CHUNK)
            await store.delete(digest_of(big))
            await store.delete(digest_of(big))
            assert not await store.exists(digest_of(big))
            with pytest.raises(NotFound):
                await store.read_all(digest_of(big))

    scenario(body)


def test_a_blob_that_is_not_what_it_should_be_leaves_nothing() -> None:
    async def body(containerd: Containerd) -> None:
        store = ContentStore(containerd)
        good = digest_of(b"good")

        async def breaks_off() -> AsyncIterator[bytes]:
            yield b"go"
            raise ConnectionResetError

        async with lease(containerd, clock=CLOCK) as held:
            with pytest.raises(InvalidArgument, match="unexpected commit digest"):
                await store.ingest(good, b"evil", lease=held)
            with pytest.raises(InvalidArgument, match="failed size validation"):
                await store.ingest(good, pieces(b"good", 2), size=5, lease=held)
            with pytest.raises(ConnectionResetError):
                await store.ingest(good, breaks_off(), lease=held)
            assert [blob async for blob in store.walk()] == []
            await store.ingest(good, b"good", lease=held)
            assert await store.read_all(good) == b"good"

    scenario(body)


def test_a_record_keeps_its_content_from_the_collector() -> None:
    async def body(containerd: Containerd) -> None:
        store, records = ContentStore(containerd), ImageRecords(containerd)
        kept, named, lost = digest_of(b"kept"), digest_of(b"named"), digest_of(b"lost")
        async with lease(containerd, clock=CLOCK) as held:
            for data in (b"named", b"lost"):
                await store.ingest(digest_of(data), data, lease=held)
            await store.ingest(kept, b"kept", lease=held, labels={"containerd.io/gc.ref.content.0": named})
            target = Descriptor("application/vnd.oci.image.manifest.v1+json", kept, 4)
            await records.put("docker.io/library/a:1", target)
            made = await records.put("docker.io/library/a:1", target, labels={"x": "y"})
            assert (made.target, dict(made.labels)) == (target, {"x": "y"})
            await records.put("docker.io/library/b:1", target)
        assert [record.name for record in await records.list()] == ["docker.io/library/a:1", "docker.io/library/b:1"]
        await records.delete("docker.io/library/b:1", collect=True)
        assert {blob.digest async for blob in store.walk()} == {kept, named}
        assert (await records.get("docker.io/library/a:1")).target == target
        await records.delete("docker.io/library/a:1", collect=True)
        await records.delete("docker.io/library/a:1")
        assert [blob async for blob in store.walk()] == []
        with pytest.raises(NotFound):
            await records.get("docker.io/library/a:1")
        assert lost != kept

    scenario(body)
