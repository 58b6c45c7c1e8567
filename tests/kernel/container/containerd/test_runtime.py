"""Containers on a containerd of the test's own, with busybox for an image; as root."""

import asyncio
import hashlib
import io
import os
import signal
import tarfile
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from shoal.aio.clock import SystemClock
from shoal.aio.tasks import cancel, spawn
from shoal.container import cgroups, devices, oci, ocispec
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.content import ContentStore
from shoal.container.containerd.images import Descriptor
from shoal.container.containerd.leases import lease
from shoal.container.containerd.runtime import ContainerdRuntime
from shoal.container.containerd.snapshots import Snapshots
from shoal.container.containerd.supervisor import ContainerdSupervisor
from shoal.container.containerd.unpack import diff, unpack_layer
from shoal.container.host import detect
from shoal.container.ocispec import HOST, Namespaces, SpecHost, SpecInput
from shoal.container.rootfs import read_text
from shoal.container.runtime import (
    EventsBegin,
    ExitStatus,
    OutOfMemory,
    ProcessExited,
    ProcessStarted,
    ProcessStatus,
    RuntimeEvent,
    Stdio,
)
from shoal.errors import Conflict, FailedPrecondition, Internal, InvalidArgument, NotFound

BUSYBOX = Path("/bin/busybox")
TAR = "application/vnd.oci.image.layer.v1.tar"
CLOCK = SystemClock()

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not BUSYBOX.exists(), reason="busybox-static is not installed"),
]


@cache
def busybox_layer() -> bytes:
    """A layer with a busybox, its links, the folders that mounts need, and two files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "proc", "sys", "dev", "etc", "tmp"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
        texts = {
            "etc/passwd": b"root:x:0:0::/root:/bin/sh\nann:x:7:8::/home/ann:/bin/sh\n",
            "etc/group": b"adm:x:9:ann\n",
        }
        for name, data in {"bin/busybox": BUSYBOX.read_bytes(), **texts}.items():
            file = tarfile.TarInfo(name)
            file.size, file.mode = len(data), 0o755
            tar.addfile(file, io.BytesIO(data))
        for name in ("sh", "true", "sleep", "cat", "echo", "id", "dd", "unshare", "stty", "hostname", "mount"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return buffer.getvalue()


@dataclass
class Rig:
    folder: Path
    supervisor: ContainerdSupervisor
    containerd: Containerd
    content: ContentStore
    snapshots: Snapshots
    runtime: ContainerdRuntime
    chain: str
    host: SpecHost
    cgroup: str

    def wanted(self, container_id: str, *args: str) -> SpecInput:
        return SpecInput(args=args, cgroup_path=f"{self.cgroup}/{container_id}")

    async def create(self, container_id: str, wanted: SpecInput) -> None:
        await self.runtime.create(container_id, ocispec.build(wanted, self.host), parent=self.chain, labels={})

    async def run(self, container_id: str, *args: str) -> None:
        """Start a container without input and output."""
        await self.create(container_id, self.wanted(container_id, *args))
        await self.runtime.create_task(container_id, Stdio())
        await self.runtime.start(container_id)

    async def output(self, wanted: SpecInput) -> tuple[int, str]:
        """Run a container to its end: exit code, and both outputs."""
        container_id = uuid4().hex
        await self.create(container_id, wanted)
        with Fifo(self.folder / container_id) as fifo:
            out = str(fifo.path)
            stdio = Stdio(stdout=out, stderr="" if wanted.tty else out, terminal=wanted.tty)
            await self.runtime.create_task(container_id, stdio)
            await self.runtime.start(container_id)
            code = (await self.runtime.wait(container_id)).code
            await self.remove(container_id)
            return code, fifo.read()

    async def remove(self, container_id: str) -> None:
        try:
            await self.runtime.kill(container_id, signal.SIGKILL, everything=True)
            await self.runtime.wait(container_id)
        except NotFound:
            pass
        await self.runtime.delete_task(container_id)
        await self.runtime.remove(container_id)


class Fifo:
    """A FIFO whose reading end is open while the block runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)

    def __enter__(self) -> "Fifo":
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self) -> str:
        """Everything, once all writers have gone."""
        found = b""
        while chunk := os.read(self._fd, 65536):
            found += chunk
        return found.decode()

    async def line(self) -> str:
        """The next line of a writer that stays."""
        found = b""
        async with asyncio.timeout(10):
            while not found.endswith(b"\n"):
                try:
                    found += os.read(self._fd, 1)
                except BlockingIOError:
                    await asyncio.sleep(0.005)
        return found.decode()


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """A containerd with one image's layer; afterwards nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="shoal-") as name:  # a socket's path must be short
        folder = Path(name)
        supervisor = ContainerdSupervisor(root=folder / "root", state=folder / "state", clock=CLOCK)
        await supervisor.start()
        containerd = Containerd(str(supervisor.socket))
        cgroup = f"/shoal-test-{uuid4().hex[:8]}"
        try:
            snapshots = Snapshots(containerd, snapshotter=await containerd.snapshotter())
            content = ContentStore(containerd)
            runtime = ContainerdRuntime(
                containerd=containerd, snapshots=snapshots, runc_root=folder / "runc", clock=CLOCK
            )
            async with lease(containerd, clock=CLOCK) as held:
                layer = await ingested(content, busybox_layer(), held)
                chain = await unpack_layer(containerd, snapshots, layer, diff_id=layer.digest, parent="", lease=held)
                host = detect()
                made = Rig(folder, supervisor, containerd, content, snapshots, runtime, chain, host, cgroup)
                try:
                    yield made
                finally:
                    for container in await runtime.list():
                        await made.remove(container.id)
            assert folder.name not in read("/proc/self/mountinfo")
        finally:
            await containerd.close()
            await supervisor.stop()
            cgroups.remove_empty(cgroup)
        assert not [found for found, *_ in os.walk(cgroups.ROOT) if found.endswith(cgroup)]


async def ingested(content: ContentStore, data: bytes, held: str) -> Descriptor:
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    await content.ingest(digest, data, lease=held)
    return Descriptor(TAR, digest, len(data))


async def eventually(holds: Callable[[], bool]) -> None:
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to hold")


def read(path: str) -> str:
    return Path(path).read_text()


def scenario(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(60), rig() as made:
            await body(made)

    asyncio.run(whole())


def test_a_container_runs_ends_and_is_gone() -> None:
    async def body(r: Rig) -> None:
        await r.create("one", r.wanted("one", "true"))
        (container,) = await r.runtime.list()
        assert (container.id, container.process) == ("one", None)
        pid = await r.runtime.create_task("one", Stdio())
        assert (await r.runtime.state("one")).status is ProcessStatus.CREATED
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
        assert await r.runtime.start("one") == pid
        ended = await r.runtime.wait("one")
        assert ended.code == 0
        assert abs((CLOCK.now() - ended.at).total_seconds()) < 5
        assert (await r.runtime.state("one")).exit == ended
        assert await r.runtime.delete_task("one") == ended
        assert await r.runtime.delete_task("one") is None
        await r.runtime.remove("one")
        await r.runtime.remove("one")
        assert await r.runtime.list() == []
        assert [snapshot.name async for snapshot in r.snapshots.walk()] == [r.chain]

    scenario(body)


def test_what_the_specification_says_holds_inside() -> None:
    script = "hostname; echo $A; pwd; id -u; id -G; cat /proc/self/oom_score_adj; ulimit -n; cat /proc/keys; exit 3"

    async def body(r: Rig) -> None:
        wanted = msgspec.structs.replace(
            r.wanted("x", "sh", "-c", script),
            hostname="box",
            env=("A=b c",),
            cwd="/tmp",
            user=oci.User(uid=7, gid=8, additional_gids=(8, 9)),
            oom_score_adj=100,
            ulimits=(oci.Rlimit(type="RLIMIT_NOFILE", hard=200, soft=100),),
        )
        assert await r.output(wanted) == (3, "box\nb c\n/tmp\n7\n8 9\n100\n100\n")

    scenario(body)


def test_capabilities_and_the_filter_of_system_calls() -> None:
    async def body(r: Rig) -> None:
        wanted = r.wanted("x", "unshare", "-u", "true")
        code, text = await r.output(wanted)
        assert code == 1
        assert "Operation not permitted" in text
        # With the capability but for the filter; the filter lets through who has it.
        assert (await r.output(msgspec.structs.replace(wanted, cap_add=("SYS_ADMIN",))))[0] == 0
        assert (await r.output(msgspec.structs.replace(wanted, privileged=True)))[0] == 0
        status = r.wanted(
            "x", "sh", "-c", "while read a b; do case $a in CapEff:|CapBnd:) echo $b;; esac; done </proc/self/status"
        )
        assert await r.output(status) == (0, "00000000a80425fb\n00000000a80425fb\n")
        ann = msgspec.structs.replace(status, user=oci.User(uid=7))
        assert await r.output(ann) == (0, "0000000000000000\n00000000a80425fb\n")

    scenario(body)


def test_mounts_devices_and_a_read_only_root() -> None:
    async def body(r: Rig) -> None:
        (r.folder / "data").mkdir()
        (r.folder / "data/hello").write_text("hello\n")
        bind = oci.Mount(destination="/data", type="bind", source=str(r.folder / "data"), options=("rbind", "rw"))
        script = (
            "cat /data/hello; for f in /data/new /dev/null /bin/new /proc/sys/kernel/domainname; do echo x >$f; done"
        )
        wanted = msgspec.structs.replace(
            r.wanted("x", "sh", "-c", script),
            mounts=(bind,),
            readonly_rootfs=True,
            devices=(devices.node(Path("/dev/zero"), "/dev/nought"),),
        )
        code, text = await r.output(wanted)
        assert code == 1
        assert "hello\n" in text
        assert text.count("Read-only file system") == 2
        assert (r.folder / "data/new").read_text() == "x\n"
        nought = msgspec.structs.replace(wanted, args=("sh", "-c", "dd if=/dev/nought bs=4 count=1 2>/dev/null"))
        assert await r.output(nought) == (0, "\0" * 4)

    scenario(body)


def test_privileged_containers_get_every_device_and_the_host_namespaces() -> None:
    async def body(r: Rig) -> None:
        wanted = msgspec.structs.replace(
            r.wanted("x", "sh", "-c", "for n in net pid ipc uts; do busybox readlink /proc/self/ns/$n; done"),
            privileged=True,
            devices=devices.every(),
            namespaces=Namespaces(network=HOST, pid=HOST, ipc=HOST, uts=HOST),
        )
        names = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("net", "pid", "ipc", "uts")]
        assert await r.output(wanted) == (0, "".join(f"{name}\n" for name in names))

    scenario(body)


def test_a_terminal_and_its_size() -> None:
    async def body(r: Rig) -> None:
        wanted = msgspec.structs.replace(
            r.wanted("t", "sh", "-c", "stty size; read x; stty size; echo $TERM"), tty=True
        )
        await r.create("t", wanted)
        os.mkfifo(r.folder / "in")
        with Fifo(r.folder / "out") as out:
            await r.runtime.create_task("t", Stdio(stdin=str(r.folder / "in"), stdout=str(out.path), terminal=True))
            await r.runtime.resize("t", height=20, width=70)
            await r.runtime.start("t")
            assert await out.line() == "20 70\r\n"
            await r.runtime.resize("t", height=30, width=90)
            write = os.open(r.folder / "in", os.O_WRONLY)
            os.write(write, b"\n")
            assert [await out.line() for _ in range(3)] == ["\r\n", "30 90\r\n", "xterm\r\n"]
            os.close(write)
            assert (await r.runtime.wait("t")).code == 0

    scenario(body)


def test_input_ends_when_it_is_closed() -> None:
    async def body(r: Rig) -> None:
        await r.create("c", r.wanted("c", "cat"))
        os.mkfifo(r.folder / "in")
        with Fifo(r.folder / "out") as out:
            await r.runtime.create_task("c", Stdio(stdin=str(r.folder / "in"), stdout=str(out.path)))
            write = os.open(r.folder / "in", os.O_RDWR)
            await r.runtime.start("c")
            os.write(write, b"abc\n")
            assert await out.line() == "abc\n"
            os.close(write)
            await r.runtime.close_stdin("c")
            assert (await r.runtime.wait("c")).code == 0

    scenario(body)


def test_exec_beside_the_first_process() -> None:
    async def body(r: Rig) -> None:
        await r.run("c", "sleep", "60")
        wanted = r.wanted("c")
        with Fifo(r.folder / "out") as out:
            process = ocispec.process(wanted, r.host, args=("sh", "-c", "echo hi; exit 7"))
            await r.runtime.exec("c", "e1", process, Stdio(stdout=str(out.path)))
            with pytest.raises(Conflict):
                await r.runtime.exec("c", "e1", process, Stdio())
            assert await r.runtime.start("c", "e1") in (await r.runtime.pids("c"), *range(2**22))
            assert (await r.runtime.wait("c", "e1")).code == 7
            ended = await r.runtime.delete_task("c", "e1")
            assert ended is not None
            assert ended.code == 7
            assert out.read() == "hi\n"
        await r.runtime.exec("c", "e2", ocispec.process(wanted, r.host, args=("sleep", "50")), Stdio())
        pid = await r.runtime.start("c", "e2")
        assert pid in await r.runtime.pids("c")
        await r.runtime.kill("c", signal.SIGKILL, exec_id="e2")
        assert (await r.runtime.wait("c", "e2")).code == 137
        assert (await r.runtime.state("c")).status is ProcessStatus.RUNNING
        with pytest.raises(NotFound):
            await r.runtime.kill("c", signal.SIGTERM, exec_id="e2")
        with pytest.raises(NotFound):
            await r.runtime.wait("c", "nobody")

    scenario(body)


def test_pause_usage_limits_and_kill() -> None:
    async def body(r: Rig) -> None:
        await r.run("c", "sh", "-c", "sleep 60 & sleep 60; true")
        with pytest.raises(FailedPrecondition):
            await r.runtime.delete_task("c")
        await r.runtime.pause("c")
        assert (await r.runtime.state("c")).status is ProcessStatus.PAUSED
        await r.runtime.resume("c")
        assert (await r.runtime.state("c")).status is ProcessStatus.RUNNING
        wanted = msgspec.structs.replace(r.wanted("c"), memory=64 << 20, pids_limit=50)
        await r.runtime.update("c", ocispec.resources(wanted, r.host))
        used = await r.runtime.usage("c")
        assert used.memory_limit == 64 << 20
        assert used.pids_limit == 50
        assert used.pids == len(await r.runtime.pids("c")) == 3
        assert 0 < used.memory < 32 << 20
        assert used.cpu_total > 0
        await r.runtime.kill("c", signal.SIGKILL, everything=True)
        assert (await r.runtime.wait("c")).code == 137
        with pytest.raises(NotFound):
            await r.runtime.kill("c", signal.SIGKILL)

    scenario(body)


def test_failures_leave_nothing() -> None:
    async def body(r: Rig) -> None:
        spec = ocispec.build(r.wanted("c", "nosuch"), r.host)
        with pytest.raises(NotFound):
            await r.runtime.create("c", spec, parent="sha256:0", labels={})
        assert await r.runtime.list() == []
        await r.runtime.create("c", spec, parent=r.chain, labels={"a": "b"})
        with pytest.raises(Conflict):
            await r.runtime.create("c", spec, parent=r.chain, labels={})
        (container,) = await r.runtime.list()
        assert container.labels == {"a": "b"}
        with pytest.raises(Internal, match='exec: "nosuch": executable file not found'):
            await r.runtime.create_task("c", Stdio())
        with pytest.raises(NotFound):
            await r.runtime.state("c")
        # The same container can be started after all, with another specification.
        better = ocispec.build(r.wanted("c", "true"), r.host)
        await r.runtime.create_task("c", Stdio(), spec=better)
        await r.runtime.start("c")
        assert (await r.runtime.wait("c")).code == 0

    scenario(body)


def test_a_cancelled_start_leaves_no_task() -> None:
    async def body(r: Rig) -> None:
        for delay in (0.0, 0.005, 0.01, 0.02, 0.03):
            await r.create("c", r.wanted("c", "sleep", "60"))
            starting = spawn(r.runtime.create_task("c", Stdio()), name="starting")
            await asyncio.sleep(delay)
            await cancel(starting)
            if not starting.cancelled():  # too late: it was done
                await r.remove("c")
                continue
            with pytest.raises(NotFound):
                await r.runtime.state("c")
            await r.runtime.remove("c")

    scenario(body)


def test_events() -> None:
    async def body(r: Rig) -> None:
        seen: list[RuntimeEvent] = []

        async def collect() -> None:
            async for event in r.runtime.events():
                seen.append(event)

        collecting = spawn(collect(), name="collecting")
        await eventually(lambda: EventsBegin() in seen)
        await asyncio.sleep(0.05)
        wanted = msgspec.structs.replace(
            # The shim begins to look only after the start.
            r.wanted("c", "sh", "-c", "sleep 0.5; exec dd if=/dev/zero of=/dev/shm/x bs=1M count=40"),
            memory=16 << 20,
        )
        await r.create("c", wanted)
        pid = await r.runtime.create_task("c", Stdio())
        await r.runtime.start("c")
        assert (await r.runtime.wait("c")).code == 137
        assert cgroups.oom_kills(wanted.cgroup_path) == 1
        await eventually(lambda: {OutOfMemory, ProcessExited} <= {type(event) for event in seen})
        await cancel(collecting)
        assert seen[:2] == [EventsBegin(), ProcessStarted("c", pid)]
        assert OutOfMemory("c") in seen
        (exited,) = (event for event in seen if isinstance(event, ProcessExited))
        assert (exited.container_id, exited.exec_id, exited.pid, exited.exit.code) == ("c", "", pid, 137)

    scenario(body)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_containers_outlive_containerd(how: str) -> None:
    async def body(r: Rig) -> None:
        with Fifo(r.folder / "out") as out:
            await r.create("c", r.wanted("c", "sh", "-c", "while sleep 0.1; do echo tick; done"))
            await r.runtime.create_task("c", Stdio(stdout=str(out.path)))
            await r.runtime.start("c")
            before = await r.runtime.state("c")
            waiting: asyncio.Task[ExitStatus] = spawn(r.runtime.wait("c"), name="waiting")
            await asyncio.sleep(0.05)
            old = r.supervisor.pid
            if how == "killed":
                assert old is not None
                os.kill(old, signal.SIGKILL)
                await eventually(lambda: r.supervisor.pid not in (old, None))
            else:
                await r.supervisor.stop()
                os.kill(before.pid, 0)
                await r.supervisor.start()
            assert r.supervisor.pid != old
            assert await r.runtime.state("c") == before
            assert "tick" in await out.line()
            assert not waiting.done()
            await r.runtime.kill("c", signal.SIGKILL)
            assert (await waiting).code == 137

    scenario(body)


def test_twenty_at_once() -> None:
    async def body(r: Rig) -> None:
        async def one(container_id: str) -> int:
            await r.run(container_id, "true")
            code = (await r.runtime.wait(container_id)).code
            await r.remove(container_id)
            return code

        assert await asyncio.gather(*(one(f"c{number}") for number in range(20))) == [0] * 20
        assert await r.runtime.list() == []

    scenario(body)


def test_what_a_container_wrote_as_files_and_as_a_layer() -> None:
    async def body(r: Rig) -> None:
        await r.run("c", "sh", "-c", "echo new >/etc/new; echo changed >/etc/group; rm /etc/passwd")
        await r.runtime.wait("c")
        mounts = await r.runtime.rootfs("c")
        assert read_text(mounts, "etc/new") == "new\n"
        assert read_text(mounts, "etc/group") == "changed\n"
        assert read_text(mounts, "etc/passwd") == ""
        assert read_text(mounts, "bin/sh") == ""  # a link
        assert (await r.runtime.disk_usage("c")).size > 0
        lower = await r.snapshots.view("lower", r.chain)
        assert read_text(lower, "etc/group") == "adm:x:9:ann\n"
        async with lease(r.containerd, clock=CLOCK) as held:
            layer = await diff(r.containerd, lower, mounts, media_type=TAR, lease=held)
            data = await r.content.read_all(layer.digest)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert {"etc/new", "etc/group", "etc/.wh.passwd"} <= set(tar.getnames())
        await r.snapshots.remove("lower")

    scenario(body)


def test_a_layer_that_is_not_what_its_image_says() -> None:
    async def body(r: Rig) -> None:
        async with lease(r.containerd, clock=CLOCK) as held:
            layer = await ingested(r.content, busybox_layer(), held)
            with pytest.raises(InvalidArgument, match="unpacks to"):
                await unpack_layer(
                    r.containerd, r.snapshots, layer, diff_id=f"sha256:{'0' * 64}", parent=r.chain, lease=held
                )
        assert [snapshot.name async for snapshot in r.snapshots.walk()] == [r.chain]

    scenario(body)
