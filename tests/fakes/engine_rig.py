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
from shoal.container import cgroups
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.supervisor import ContainerdSupervisor
from shoal.container.reference import parse
from shoal.daemon.build import build_engine
from shoal.daemon.config import Config
from shoal.engine.engine import Engine
from shoal.engine.execs import FailedStart
from shoal.engine.streams import LiveStreams
from shoal.keeper.supervisor import KeeperSupervisor
from shoal.localdb.localdb import LocalDB
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


@dataclass(frozen=True)
class Rig(Engine):
    folder: Path
    keeper: KeeperSupervisor

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
        cgroup = f"/shoal-test-{uuid4().hex[:8]}"
        config = Config(data_root=folder, exec_root=folder, cgroup_parent=cgroup)
        db = await LocalDB.open(folder / "node.db")
        engine, reconciler, registry, _ = await build_engine(config, CLOCK, containerd, keeper, db, prefer_offline=True)
        made = Rig(**vars(engine), folder=folder, keeper=keeper)
        try:
            await made.local_networks.load(bip=None, bridge="none", mtu=None)
            await made.images.import_(pieces(busybox_root()), name=parse(IMAGE))
            try:
                yield made
            finally:
                await _end(made)
            left = [path.name for path in (folder / "stdio").glob("*/*")]
            assert not left, left
            assert folder.name not in await asyncio.to_thread(Path("/proc/self/mountinfo").read_text)
        finally:
            await reconciler.close()
            engine.streams.close()
            await engine.db.close()
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
