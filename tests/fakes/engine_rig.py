"""A node's engine on a containerd and a keeper of its own, with a busybox image; containers use the host's network."""

import asyncio
import io
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from shoal.aio.clock import SystemClock
from shoal.container import cgroups, host
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.content import ContentStore
from shoal.container.containerd.images import ImageRecords
from shoal.container.containerd.runtime import ContainerdRuntime
from shoal.container.containerd.snapshots import Snapshots
from shoal.container.containerd.supervisor import ContainerdSupervisor
from shoal.container.distribution.hosts import RegistryConfig
from shoal.container.images import ImageStore
from shoal.container.reference import parse
from shoal.container.registry import Registry
from shoal.container.runtime import Runtime
from shoal.engine.archive import Archives
from shoal.engine.containers import Containers
from shoal.engine.discovery import Discovery
from shoal.engine.events import Events
from shoal.engine.execs import Execs, FailedStart
from shoal.engine.files import HostResolver
from shoal.engine.health import Health
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.networks import NodeNetworks
from shoal.engine.prune import ContainerPruner, ImagePruner, Sizes
from shoal.engine.records import Records
from shoal.engine.stats import Stats
from shoal.engine.streams import LiveStreams, Streams
from shoal.engine.update import Updates
from shoal.engine.volumes import Volumes
from shoal.keeper.supervisor import KeeperSupervisor
from shoal.keeper.watch import FolderWatch
from shoal.kernel import netns
from shoal.localdb.localdb import LocalDB
from shoal.network.reconciler import Reconciler
from shoal.objects.container import ContainerConfig, HostConfig, NetworkingConfig
from shoal.objects.exec import ExecConfig

BUSYBOX = Path("/bin/busybox")
CLOCK = SystemClock()
IMAGE = "box"

_TOOLS = "sh true false sleep cat echo id ls ln rm mkdir touch stty kill chown chmod stat seq ps wc head".split()


@cache
def busybox_root() -> bytes:
    """A root file system with busybox, two accounts, and a folder of ann's for volumes to be filled from."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, uid in {
            "bin": 0,
            "proc": 0,
            "sys": 0,
            "dev": 0,
            "etc": 0,
            "tmp": 0,
            "data": 7,
            "data/sub": 7,
        }.items():
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o750 if uid else 0o755, uid, uid
            tar.addfile(folder)
        files = {
            "etc/passwd": b"root:x:0:0::/root:/bin/sh\nann:x:7:8::/home/ann:/bin/sh\n",
            "etc/group": b"root:x:0:\nadm:x:9:ann\n",
            "data/sub/file": b"from the image\n",
            "bin/busybox": BUSYBOX.read_bytes(),
        }
        for name, data in files.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(data), 0o755
            tar.addfile(file, io.BytesIO(data))
        for name in _TOOLS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()


class HostNetworkOnly:
    """The one network of the rig's containers."""

    def find(self, text: str) -> tuple[str, str]:
        return "0" * 64, text


@dataclass
class Rig:
    folder: Path
    db: LocalDB
    runtime: Runtime
    images: ImageStore
    keeper: KeeperSupervisor
    records: Records
    events: Events
    lifecycle: Lifecycle
    containers: Containers
    volumes: Volumes
    execs: Execs
    health: Health
    streams: Streams
    stats: Stats
    archives: Archives
    updates: Updates
    sizes: Sizes
    container_pruner: ContainerPruner
    image_pruner: ImagePruner

    async def create(
        self,
        *command: str,
        config: ContainerConfig = ContainerConfig(),
        host: HostConfig = HostConfig(),
        name: str = "",
    ) -> str:
        made = replace(config, image=config.image or IMAGE, cmd=list(command) or config.cmd)
        hosted = replace(host, network_mode="host")
        return (await self.containers.create(name or None, made, hosted, NetworkingConfig())).id

    async def run(
        self,
        *command: str,
        config: ContainerConfig = ContainerConfig(),
        host: HostConfig = HostConfig(),
        name: str = "",
    ) -> str:
        """Create and start; the id."""
        key = await self.create(*command, config=config, host=host, name=name)
        await self.lifecycle.start(key)
        return key

    async def output(self, *command: str, host: HostConfig = HostConfig()) -> str:
        """Run a container to its end: all that it wrote."""
        key = await self.create(*command, host=host)
        streams = await self.streams.attach(key, stdin=False, stdout=True, stderr=True, logs=False)
        await self.lifecycle.start(key)
        text = await read_all(streams)
        await self.containers.remove(key, force=True)
        return text

    async def exec(self, ref: str, *command: str, **more: Any) -> tuple[int | None, str]:
        """Run a process in a container to its end: its exit code, and all that it wrote."""
        config = ExecConfig(cmd=list(command), attach_stdout=True, attach_stderr=True)
        config = replace(config, **more)
        key = await self.execs.exec_create(ref, config)
        streams = await self.execs.exec_start(key, tty=config.tty, detach=False)
        assert streams is not None
        text = await read_all(streams)
        return (await self.execs.exec_inspect(key)).exit_code, text


async def read_all(streams: LiveStreams | FailedStart) -> str:
    found = b""
    async for _, data in streams:
        found += data
    await streams.aclose()
    return found.decode()


async def eventually(holds: Callable[[], Awaitable[bool] | bool], seconds: float = 10) -> None:
    """Wait until it holds."""
    for _ in range(round(seconds * 100)):
        result = holds()
        if result if isinstance(result, bool) else await result:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to hold")


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        yield data[start : start + 50_000]


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """The engine; afterwards nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="shoal-") as name:  # a socket's path must be short
        folder = Path(name)
        supervisor = ContainerdSupervisor(root=folder / "root", state=folder / "state", clock=CLOCK)
        keeper = KeeperSupervisor(socket=folder / "keeper.sock", state=folder / "keeper", clock=CLOCK)
        await asyncio.gather(supervisor.start(), keeper.start())
        containerd = Containerd(str(supervisor.socket))
        registry = Registry(config=RegistryConfig(), clock=CLOCK, user_agent="test")
        db = await LocalDB.open(folder / "node.db")
        watch = FolderWatch()
        cgroup = f"/shoal-test-{uuid4().hex[:8]}"
        try:
            made = await _build(folder, containerd, registry, keeper, db, watch, cgroup)
            await made.images.import_(pieces(busybox_root()), name=parse(IMAGE))
            try:
                yield made
            finally:
                await _end(made)
            left = [path.name for path in (folder / "stdio").glob("*/*")]
            assert not left, left
            assert folder.name not in await asyncio.to_thread(Path("/proc/self/mountinfo").read_text)
        finally:
            watch.close()
            await db.close()
            await registry.close()
            await containerd.close()
            await keeper.stop()
            await supervisor.stop()
            cgroups.remove_empty(cgroup)


async def _end(made: Rig) -> None:
    for container in made.containers.list():
        await made.containers.remove(container.id, force=True, volumes=True)
    await made.health.stop()
    await made.lifecycle.stop_watching()


async def _build(
    folder: Path,
    containerd: Containerd,
    registry: Registry,
    keeper: KeeperSupervisor,
    db: LocalDB,
    watch: FolderWatch,
    cgroup: str,
) -> Rig:
    spool = folder / "spool"
    spool.mkdir()
    snapshots = Snapshots(containerd, snapshotter=await containerd.snapshotter())
    runtime = ContainerdRuntime(containerd=containerd, snapshots=snapshots, runc_root=folder / "runc", clock=CLOCK)
    images = ImageStore(
        containerd=containerd,
        content=ContentStore(containerd),
        records=ImageRecords(containerd),
        snapshots=snapshots,
        registry=registry,
        clock=CLOCK,
        spool=spool,
    )
    events, records, resolver, spec_host = Events(CLOCK), Records(db), HostResolver(), host.detect()
    volumes = Volumes(records=records, runtime=runtime, db=db, events=events, clock=CLOCK, root=folder / "volumes")
    lifecycle = Lifecycle(
        records=records,
        volumes=volumes,
        runtime=runtime,
        networks=NodeNetworks(reconciler=Reconciler(owner="test"), owner="test", mtu=1500),
        discovery=Discovery(keeper=keeper.client, resolver=resolver),
        keeper=keeper.client,
        resolver=resolver,
        events=events,
        clock=CLOCK,
        spec_host=spec_host,
        containers_root=folder / "containers",
        stdio_root=folder / "stdio",
        netns_root=netns.BASE,
        cgroup_parent=cgroup,
    )
    containers = Containers(
        records=records,
        lifecycle=lifecycle,
        runtime=runtime,
        images=images,
        volumes=volumes,
        networks=HostNetworkOnly(),
        events=events,
        clock=CLOCK,
        containers_root=folder / "containers",
        spec_host=spec_host,
    )
    execs = Execs(
        records=records,
        runtime=runtime,
        keeper=keeper.client,
        events=events,
        clock=CLOCK,
        spec_host=spec_host,
        stdio_root=folder / "stdio",
    )
    health = Health(records=records, execs=execs, events=events, clock=CLOCK)
    lifecycle.on_started.append(health.watch)
    lifecycle.on_ended += [health.forget, execs.forget]
    return Rig(
        folder=folder,
        db=db,
        runtime=runtime,
        images=images,
        keeper=keeper,
        records=records,
        events=events,
        lifecycle=lifecycle,
        containers=containers,
        volumes=volumes,
        execs=execs,
        health=health,
        streams=Streams(
            records=records,
            lifecycle=lifecycle,
            runtime=runtime,
            keeper=keeper.client,
            events=events,
            watch=watch,
            clock=CLOCK,
        ),
        stats=Stats(records=records, runtime=runtime, clock=CLOCK),
        archives=Archives(records=records, lifecycle=lifecycle, runtime=runtime),
        updates=Updates(records=records, lifecycle=lifecycle, runtime=runtime, events=events, spec_host=spec_host),
        sizes=Sizes(records=records, runtime=runtime, images=images),
        container_pruner=ContainerPruner(
            records=records, containers=containers, runtime=runtime, events=events, clock=CLOCK
        ),
        image_pruner=ImagePruner(store=images, records=records, events=events, clock=CLOCK),
    )
