"""A node's engine over fakes of what it stands on (runtime, keeper, kernel), with a real database: quick, no root."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.image_records import image
from tests.fakes.keeper import FakeKeeper
from tests.fakes.runtime import FakeRuntime

from shoal.aio.clock import Clock, SystemClock
from shoal.container.image.catalogue import Image
from shoal.container.images import ImageStore
from shoal.container.ocispec import SpecHost
from shoal.engine.attachments import Attachments
from shoal.engine.containers import Containers
from shoal.engine.discovery import Discovery
from shoal.engine.events import Events
from shoal.engine.files import HostResolver
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.local_networks import LocalNetworks
from shoal.engine.networks import NodeNetworks
from shoal.engine.records import Records
from shoal.engine.volumes import Volumes
from shoal.errors import NotFound, ShoalError
from shoal.localdb.localdb import LocalDB
from shoal.network.node import NodeNetwork
from shoal.network.reconciler import Reconciler
from shoal.objects.container import Container, ContainerConfig, HostConfig, NetworkingConfig, RestartPolicyConfig
from shoal.objects.local_network import LocalNetwork
from shoal.objects.network import IPAMConfig


class FakeReconciler(Reconciler):
    """Has the network that it was told last. ``fails`` are the errors of the next calls."""

    def __init__(self) -> None:
        self.node = NodeNetwork()
        self.fails: list[ShoalError] = []

    async def start(self, node: NodeNetwork) -> None:
        self.node = node

    async def apply(self, node: NodeNetwork, changed: Iterable[str]) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails.pop(0)
        self.node = node

    async def settle(self) -> None:
        return


class FakeImageStore(ImageStore):
    """One image, ``box``, whose command is ``sh``."""

    def __init__(self) -> None:
        self.fails: list[ShoalError] = []

    async def inspect(self, text: str) -> Image:
        if text != "box":
            raise NotFound(f"No such image: {text}")
        return image("box:latest")

    async def unpack(self, image: Image) -> str:
        if self.fails:
            raise self.fails.pop(0)
        return "chain"


class Names:
    """The node's own networks."""

    def __init__(self, local: LocalNetworks) -> None:
        self._local = local

    def find(self, text: str) -> tuple[str, str]:
        found = self._local.get(text)
        return found.id, found.name


@dataclass
class FakeAttacher:
    """Gives plain containers 10.9.0.n on the swarm's networks. ``fails`` are the errors of the next calls."""

    fails: list[ShoalError] = field(default_factory=list)
    attached: list[tuple[str, str]] = field(default_factory=list)

    async def attach(self, container: Container, network_id: str) -> Sequence[str]:
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails.pop(0)
        self.attached.append((container.id, network_id))
        return [f"10.9.0.{len(self.attached) + 1}/24"]

    async def detach(self, container_id: str, network_id: str | None = None) -> None:
        self.attached = [
            (container, network)
            for container, network in self.attached
            if container != container_id or network_id not in (None, network)
        ]


@dataclass
class LightEngine:
    """One run of shoald on a machine; the runtime and the keeper outlive it."""

    db: LocalDB
    runtime: FakeRuntime
    keeper: FakeKeeper
    kernel: FakeReconciler
    attacher: FakeAttacher
    images: FakeImageStore
    records: Records
    events: Events
    networks: NodeNetworks
    local_networks: LocalNetworks
    discovery: Discovery
    volumes: Volumes
    lifecycle: Lifecycle
    containers: Containers
    attachments: Attachments
    folder: Path

    async def create(self, name: str = "", *, network: str = "none", host: HostConfig = HostConfig()) -> str:
        config = ContainerConfig(image="box")
        changed = HostConfig(
            network_mode=network,
            auto_remove=host.auto_remove,
            restart_policy=host.restart_policy,
            port_bindings=host.port_bindings,
            binds=host.binds,
            pid_mode=host.pid_mode,
        )
        return (await self.containers.create(name or None, config, changed, NetworkingConfig())).id

    async def run(self, name: str = "", *, network: str = "none", host: HostConfig = HostConfig()) -> str:
        key = await self.create(name, network=network, host=host)
        await self.lifecycle.start(key)
        return key

    def state(self, ref: str) -> str:
        """A container's status, or ``removed``."""
        try:
            return self.records.get(ref).state.status
        except NotFound:
            return "removed"

    def nothing_of(self, container_id: str) -> None:
        """Assert that a container that does not run holds nothing: no task, sandbox, address, port, stream, name."""
        assert container_id not in self.runtime.tasks
        assert container_id not in self.networks.sandboxes
        assert container_id not in self.kernel.node.sandboxes
        assert container_id not in self.keeper.open_streams
        assert container_id not in self.keeper.served
        assert container_id not in {key for key, _ in self.attacher.attached}


def policy(name: str, tries: int = 0) -> HostConfig:
    return HostConfig(restart_policy=RestartPolicyConfig(name=name, maximum_retry_count=tries))


def bridge(name: str, subnet: str = "", **more: object) -> LocalNetwork:
    """A request for a network of the node's own."""
    pools = [IPAMConfig(subnet=subnet)] if subnet else []
    return LocalNetwork(id="", name=name, driver="bridge", created="", pools=pools, **more)  # type: ignore[arg-type]


AUTO_REMOVE = HostConfig(auto_remove=True)


async def eventually(holds: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until it holds."""
    for _ in range(round(seconds * 200)):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to hold")


@asynccontextmanager
async def light_engine(
    folder: Path, *, runtime: FakeRuntime | None = None, keeper: FakeKeeper | None = None, clock: Clock | None = None
) -> AsyncIterator[LightEngine]:
    """shoald's engine from its start to its end; a second one in the same folder is the next run."""
    clock = clock or SystemClock()
    db = await LocalDB.open(folder / "node.db")
    made = _build(folder, db, runtime or FakeRuntime(), keeper or FakeKeeper(), clock)
    try:
        await _declare(made)
        await made.local_networks.load(bip=None, bridge="docker0", mtu=None)
        await made.networks.start()
        await made.lifecycle.restore()
        yield made
    finally:
        await made.lifecycle.stop_watching()
        with suppress(ShoalError):
            await db.close()


async def _declare(made: LightEngine) -> None:
    for container in await made.records.load():
        if container.is_running and container.sandbox is not None:
            made.networks.declare(container.id, f"container {container.name}", container.sandbox)
            made.discovery.adopt(container, container.sandbox)
    await made.volumes.load()


def _build(folder: Path, db: LocalDB, runtime: FakeRuntime, keeper: FakeKeeper, clock: Clock) -> LightEngine:
    (folder / "containers").mkdir(exist_ok=True)
    kernel, attacher, images = FakeReconciler(), FakeAttacher(), FakeImageStore()
    events, records = Events(clock), Records(db)
    resolver, spec_host = HostResolver(folder / "resolv.conf"), SpecHost()
    networks = NodeNetworks(reconciler=kernel, owner="test", mtu=1500)
    local_networks = LocalNetworks(
        db=db, containers_root=folder / "containers", networks=networks, events=events, clock=clock
    )
    discovery = Discovery(keeper=keeper, resolver=resolver)
    volumes = Volumes(records=records, runtime=runtime, db=db, events=events, clock=clock, root=folder / "volumes")
    lifecycle = Lifecycle(
        records=records,
        volumes=volumes,
        runtime=runtime,
        networks=networks,
        discovery=discovery,
        keeper=keeper,
        resolver=resolver,
        events=events,
        clock=clock,
        spec_host=spec_host,
        containers_root=folder / "containers",
        stdio_root=folder / "stdio",
        netns_root=folder / "netns",
        cgroup_parent="/test",
    )
    lifecycle.attacher = attacher
    containers = Containers(
        records=records,
        lifecycle=lifecycle,
        runtime=runtime,
        images=images,
        volumes=volumes,
        networks=Names(local_networks),
        events=events,
        clock=clock,
        containers_root=folder / "containers",
        spec_host=spec_host,
    )
    attachments = Attachments(
        records=records, lifecycle=lifecycle, networks=networks, discovery=discovery, events=events
    )
    return LightEngine(
        db=db,
        runtime=runtime,
        keeper=keeper,
        kernel=kernel,
        attacher=attacher,
        images=images,
        records=records,
        events=events,
        networks=networks,
        local_networks=local_networks,
        discovery=discovery,
        volumes=volumes,
        lifecycle=lifecycle,
        containers=containers,
        attachments=attachments,
        folder=folder,
    )
