"""Images in a real containerd: pulled, loaded, imported, saved, tagged and removed, with nothing left behind."""

import asyncio
import contextlib
import gzip
import hashlib
import io
import socket
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from shoal.aio.clock import SystemClock
from shoal.aio.tasks import cancel, spawn
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.content import ContentStore
from shoal.container.containerd.images import ImageRecords
from shoal.container.containerd.snapshots import Snapshots
from shoal.container.containerd.supervisor import ContainerdSupervisor
from shoal.container.distribution.hosts import RegistryConfig
from shoal.container.image.catalogue import Image
from shoal.container.image.progress import Progress
from shoal.container.image.removal import ImageUser
from shoal.container.images import ImageStore, RemovedBlob, RemovedName
from shoal.container.reference import parse
from shoal.container.registry import Registry
from shoal.errors import Conflict, InvalidArgument, NotFound

pytestmark = pytest.mark.root


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


ROOT = tar_of({"bin/sh": b"#!" + bytes(3 << 20), "etc/hostname": b"x"})
OTHER = tar_of({"etc/other": b"y" * 100_000})


async def one(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 60_000):
        yield data[start : start + 60_000]


@dataclass
class Node:
    """A containerd of its own with an image store on it."""

    store: ImageStore
    containerd: Containerd
    content: ContentStore
    records: ImageRecords
    snapshots: Snapshots

    async def left(self) -> tuple[int, int, int]:
        """How many blobs, snapshots and records there are."""
        blobs = [info async for info in self.content.walk()]
        snapshots = [info async for info in self.snapshots.walk()]
        return len(blobs), len(snapshots), len(await self.records.list())

    async def import_(self, data: bytes, name: str = "", **options: list[str]) -> Image:
        return await self.store.import_(
            one(data), name=parse(name) if name else None, changes=options.get("changes", ())
        )


@contextlib.asynccontextmanager
async def node(folder: Path) -> AsyncIterator[Node]:
    supervisor = ContainerdSupervisor(root=folder / "root", state=folder / "state", clock=SystemClock())
    await supervisor.start()
    containerd = Containerd(str(supervisor.socket))
    registry = Registry(config=RegistryConfig(), clock=SystemClock(), user_agent="test")
    content, records = ContentStore(containerd), ImageRecords(containerd)
    snapshots = Snapshots(containerd, snapshotter=await containerd.snapshotter())
    spool = folder / "spool"
    spool.mkdir()
    try:
        store = ImageStore(
            containerd=containerd,
            content=content,
            records=records,
            snapshots=snapshots,
            registry=registry,
            clock=SystemClock(),
            spool=spool,
        )
        yield Node(store, containerd, content, records, snapshots)
    finally:
        await registry.close()
        await containerd.close()
        await supervisor.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.asynccontextmanager
async def docker_registry(folder: Path) -> AsyncIterator[str]:
    port = free_port()
    (folder / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    process = await asyncio.create_subprocess_exec(
        *("docker-registry", "serve", str(folder / "config.yml")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        for _attempt in range(200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


def on_node(folder: Path, test: Callable[[Node], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        async with node(folder) as fresh:
            await test(fresh)

    asyncio.run(run())


def docker_archive(layers: list[bytes], tags: list[str]) -> bytes:
    """As docker 20.10 saves."""
    diff_ids = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    config = msgspec.json.encode(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2024-01-02T03:04:05Z",
            "config": {"Cmd": ["/bin/sh"], "Env": ["A=b"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [
                {"created": "2024-01-01T00:00:00Z", "created_by": "ADD"},
                {"created_by": "ENV", "empty_layer": True},
                {"created_by": "RUN"},
            ],
        }
    )
    names = [f"{index}/layer.tar" for index in range(len(layers))]
    entry = {"Config": "c.json", "RepoTags": tags, "Layers": names}
    return tar_of(
        dict(zip(names, layers, strict=True)) | {"c.json": config, "manifest.json": msgspec.json.encode([entry])}
    )


def test_import_inspect_and_remove(tmp_path: Path) -> None:
    async def run(fresh: Node) -> None:
        image = await fresh.import_(gzip.compress(ROOT), "bb:1", changes=['CMD ["/bin/sh"]', "EXPOSE 80"])
        assert (image.tags, image.digests) == (["bb:1"], [])
        assert (image.run_config.cmd, image.run_config.exposed_ports) == (["/bin/sh"], {"80/tcp": {}})
        assert image.size >= 3 << 20
        assert await fresh.store.layers_size() == image.size
        short = image.id[7:19]
        for text in ("bb:1", image.id, image.id[7:], short, f"sha256:{short}", "docker.io/library/bb:1"):
            assert (await fresh.store.inspect(text)).id == image.id
        for text, message in (("bb", "bb:latest"), ("sha256:00", "sha256:00"), ("0" * 64, f"sha256:{'0' * 64}")):
            with pytest.raises(NotFound) as error:
                await fresh.store.inspect(text)
            assert str(error.value) == f"No such image: {message}"
        assert await fresh.store.unpack(image) == image.chain_id
        assert await fresh.left() == (3, 1, 1)
        removed = await fresh.store.remove("bb:1")
        assert removed == [RemovedName("bb:1"), RemovedBlob(image.id), RemovedBlob(image.chain_id)]
        assert await fresh.left() == (0, 0, 0)
        assert await fresh.store.images() == []

    on_node(tmp_path, run)


def test_names_move_and_images_stay(tmp_path: Path) -> None:
    async def run(fresh: Node) -> None:
        first = await fresh.import_(ROOT, "bb:1")
        second = await fresh.import_(OTHER, "bb:1")
        found = {image.id: image.tags for image in await fresh.store.images()}
        assert found == {first.id: [], second.id: ["bb:1"]}
        await fresh.store.tag(first.id[7:15], parse("cc"))
        assert (await fresh.store.inspect("cc:latest")).id == first.id
        assert len(await fresh.records.list()) == 2
        with pytest.raises(InvalidArgument, match="refusing to create a tag with a digest reference"):
            await fresh.store.tag("cc", parse("x@" + first.id))
        user = ImageUser("c" * 64, first.id, running=True)
        with pytest.raises(Conflict, match="container cccccccccccc is using its referenced image"):
            await fresh.store.remove("cc", users=[user])
        assert await fresh.store.remove("cc", users=[user], force=True) == [RemovedName("cc:latest")]
        assert (await fresh.store.inspect(first.id)).tags == []
        await fresh.store.remove(first.id)
        unnamed = await fresh.import_(ROOT)
        assert unnamed.tags == []
        await fresh.store.remove(unnamed.id[:20])
        await fresh.store.remove("bb:1")
        assert await fresh.left() == (0, 0, 0)

    on_node(tmp_path, run)


def test_load_save_and_load_again(tmp_path: Path) -> None:
    async def run(fresh: Node) -> None:
        heard: list[Progress] = []
        archive = docker_archive([ROOT, OTHER], ["bb:2", "r.example/x:1"])
        [image] = await fresh.store.load(one(archive), report=heard.append)
        assert image.tags == ["bb:2", "r.example/x:1"]
        assert [m.stream for m in heard if m.stream] == ["Loaded image: bb:2\n", "Loaded image: r.example/x:1\n"]
        assert heard[0].status == "Loading layer"
        steps = await fresh.store.history("bb:2")
        assert [(s.id, s.created_by, bool(s.size)) for s in steps] == [
            (image.id, "RUN", True),
            ("<missing>", "ENV", False),
            ("<missing>", "ADD", True),
        ]
        saved = b"".join([piece async for piece in await fresh.store.save(["bb:2", image.id])])
        for name in ("bb:2", "r.example/x:1"):
            await fresh.store.remove(name)
        assert await fresh.left() == (0, 0, 0)
        heard.clear()
        [again] = await fresh.store.load(one(saved), report=heard.append)
        assert (again.id, again.tags, again.target) == (image.id, ["bb:2"], image.target)
        with pytest.raises(NotFound, match="No such image: nosuch:latest"):
            await fresh.store.save(["bb:2", "nosuch"])
        [once_more] = await fresh.store.load(one(gzip.compress(saved)), report=heard.append)
        assert once_more.id == image.id

    on_node(tmp_path, run)


def test_a_layer_that_is_not_what_it_says_leaves_nothing(tmp_path: Path) -> None:
    async def run(fresh: Node) -> None:
        whole = docker_archive([ROOT, OTHER], ["bb:2"])
        broken = whole.replace(b"y" * 1000, b"z" * 1000, 1)
        with pytest.raises(InvalidArgument):
            await fresh.store.load(one(broken))
        assert await fresh.store.images() == []
        image = await fresh.import_(OTHER, "other")
        await fresh.store.remove(image.id)  # collects
        assert await fresh.left() == (0, 0, 0)

    on_node(tmp_path, run)


def test_push_and_pull(tmp_path: Path) -> None:
    async def run(fresh: Node) -> None:
        async with docker_registry(tmp_path) as authority:
            heard: list[Progress] = []
            [image] = await fresh.store.load(one(docker_archive([ROOT, OTHER], [f"{authority}/bb:2"])))
            name = parse(f"{authority}/bb:2")
            await fresh.store.push(name, report=heard.append)
            assert heard[-1].aux is not None and heard[-1].aux.digest == image.target.digest
            with pytest.raises(NotFound, match=f"tag does not exist: {authority}/bb:9"):
                await fresh.store.push(name.with_tag("9"))
            digest = f"{authority}/bb@{image.target.digest}"
            assert (await fresh.store.inspect(digest)).digests == [digest]
            await fresh.store.remove(image.id)
            assert await fresh.left() == (0, 0, 0)

            heard.clear()
            pulled = await fresh.store.pull(name, report=heard.append)
            assert (pulled.id, pulled.tags, pulled.digests) == (image.id, [str(name)], [digest])
            said = [m.status for m in heard]
            assert heard[0] == Progress(status="Pulling from bb", id="2")
            assert said[1:3] == ["Pulling fs layer"] * 2
            assert said.count("Pull complete") == said.count("Download complete") == 2
            assert said[-2:] == [
                f"Digest: {image.target.digest}",
                f"Status: Downloaded newer image for {authority}/bb:2",
            ]
            heard.clear()
            await fresh.store.pull(name, report=heard.append)
            assert heard[-1].status == f"Status: Image is up to date for {authority}/bb:2"
            by_digest = await fresh.store.pull(parse(digest), report=heard.append)
            assert by_digest.id == image.id and heard[-1].status.startswith("Status: Image is up to date")
            assert (await fresh.store.pull(parse(f"{authority}/bb"))).id == image.id
            assert (await fresh.store.distribution(name)).descriptor.digest == image.target.digest
            removed = await fresh.store.remove(str(name))
            assert removed[:3] == [RemovedName(str(name)), RemovedName(digest), RemovedBlob(image.id)]
            assert removed[3:] == [RemovedBlob(key) for key in reversed(image.chain_ids)]
            assert await fresh.left() == (0, 0, 0)

    on_node(tmp_path, run)


def test_pulls_at_once_share_the_download(tmp_path: Path) -> None:
    async def run(fresh: Node) -> None:
        async with docker_registry(tmp_path) as authority:
            layers = [ROOT, OTHER]
            await fresh.store.load(one(docker_archive(layers, [f"{authority}/bb:2"])))
            name = parse(f"{authority}/bb:2")
            await fresh.store.push(name)
            await fresh.store.remove(str(name))
            heard: list[Progress] = []
            images = await asyncio.gather(*(fresh.store.pull(name, report=heard.append) for _ in range(5)))
            assert len({image.id for image in images}) == 1
            whole = [m for m in heard if m.status == "Downloading" and m.progress_detail is not None]
            ended = [m for m in whole if m.progress_detail and m.progress_detail.current == m.progress_detail.total]
            assert len(ended) == len(layers)
            assert await fresh.left() == (4, 2, 2)

    on_node(tmp_path, run)


def test_a_pull_that_is_broken_off_can_be_made_again(tmp_path: Path) -> None:
    async def run(fresh: Node) -> None:
        async with docker_registry(tmp_path) as authority:
            await fresh.store.load(one(docker_archive([ROOT, OTHER], [f"{authority}/bb:2"])))
            name = parse(f"{authority}/bb:2")
            await fresh.store.push(name)
            await fresh.store.remove(str(name))
            started = asyncio.Event()

            def report(message: Progress) -> None:
                if message.status == "Downloading":
                    started.set()

            pulling = spawn(fresh.store.pull(name, report=report), name="pull")
            await started.wait()
            await cancel(pulling)
            assert await fresh.store.images() == []
            assert (await fresh.store.pull(name)).tags == [str(name)]
            await fresh.store.remove(str(name))
            assert await fresh.left() == (0, 0, 0)

    on_node(tmp_path, run)
