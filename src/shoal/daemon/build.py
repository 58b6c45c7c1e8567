"""Puts a node's engine together, part by part. Nothing else constructs these."""

import asyncio
import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shoal.aio.clock import Clock
from shoal.container import host
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.content import ContentStore
from shoal.container.containerd.images import ImageRecords
from shoal.container.containerd.leases import end_leftover
from shoal.container.containerd.runtime import ContainerdRuntime
from shoal.container.containerd.snapshots import Snapshots
from shoal.container.containerd.supervisor import ContainerdSupervisor
from shoal.container.distribution.hosts import RegistryConfig
from shoal.container.images import ImageStore
from shoal.container.registry import Registry
from shoal.daemon.config import Config
from shoal.durable import files
from shoal.engine.archive import Archives
from shoal.engine.attachments import Attachments
from shoal.engine.containers import Containers
from shoal.engine.discovery import Discovery
from shoal.engine.engine import Engine
from shoal.engine.events import Events
from shoal.engine.execs import Execs
from shoal.engine.facts import read_facts
from shoal.engine.files import HostResolver
from shoal.engine.health import Health
from shoal.engine.images import NodeImages
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.local_networks import DEFAULT_POOLS, LocalNetworks
from shoal.engine.networks import NodeNetworks
from shoal.engine.prune import ContainerPruner, ImagePruner, Sizes
from shoal.engine.records import Records
from shoal.engine.stats import Stats
from shoal.engine.streams import Streams
from shoal.engine.update import Updates
from shoal.engine.volumes import Volumes
from shoal.errors import NotFound
from shoal.keeper.supervisor import KeeperSupervisor
from shoal.keeper.watch import FolderWatch
from shoal.kernel import netns
from shoal.localdb.localdb import LocalDB
from shoal.network.reconciler import Reconciler
from shoal.objects.network import Network
from shoal.version import VERSION


@dataclass(frozen=True)
class Node:
    """A node's parts, and the processes that they lean on."""

    engine: Engine
    reconciler: Reconciler
    keeper: KeeperSupervisor
    containerd: ContainerdSupervisor | None
    client: Containerd
    registry: Registry
    names: "Names"


async def build_node(config: Config, clock: Clock, db: LocalDB, *, prefer_offline: bool) -> Node:
    """Start what the engine needs (containerd, the keeper) and put it together; nothing runs in it yet."""
    for folder in (config.data_root, config.exec_root):
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    supervisor = None
    if config.containerd is None:
        supervisor = ContainerdSupervisor(
            root=config.data_root / "containerd", state=config.exec_root / "containerd", clock=clock
        )
    keeper = KeeperSupervisor(socket=config.exec_root / "keeper.sock", state=config.data_root / "keeper", clock=clock)
    await asyncio.gather(keeper.start(), *([supervisor.start()] if supervisor is not None else []))
    socket = config.containerd or str(supervisor.socket if supervisor else "")
    client = Containerd(socket.removeprefix("unix://"), owner=owner_of(config))
    await end_leftover(client)
    engine, reconciler, registry, names = await build_engine(config, clock, client, keeper, db, prefer_offline)
    return Node(engine, reconciler, keeper, supervisor, client, registry, names)


async def build_engine(
    config: Config,
    clock: Clock,
    client: Containerd,
    keeper: KeeperSupervisor,
    db: LocalDB,
    prefer_offline: bool,
) -> tuple[Engine, Reconciler, Registry, "Names"]:
    """The engine upon a containerd and a keeper that run."""
    containers_root, spool = config.data_root / "containers", config.data_root / "tmp"
    spool.mkdir(mode=0o700, exist_ok=True)
    containers_root.mkdir(mode=0o710, exist_ok=True)
    snapshots = Snapshots(client, snapshotter=await client.snapshotter())
    runtime = ContainerdRuntime(
        containerd=client, snapshots=snapshots, runc_root=config.exec_root / "runc", clock=clock
    )
    registry = Registry(
        config=RegistryConfig(mirrors=config.registry_mirrors, insecure=config.insecure_registries),
        clock=clock,
        user_agent=f"shoal/{VERSION}",
    )
    images = ImageStore(
        containerd=client,
        content=ContentStore(client),
        records=ImageRecords(client),
        snapshots=snapshots,
        registry=registry,
        clock=clock,
        spool=spool,
    )
    owner = owner_of(config)
    reconciler = Reconciler(owner=owner)
    networks = NodeNetworks(reconciler=reconciler, owner=owner, mtu=config.mtu or 1500)
    events = await asyncio.to_thread(Events, clock, path=config.exec_root / "events.jsonl")
    records, resolver = Records(db), HostResolver(dns=config.dns)
    discovery = Discovery(keeper=keeper.client, resolver=resolver)
    local_networks = LocalNetworks(
        db=db,
        containers_root=containers_root,
        networks=networks,
        events=events,
        clock=clock,
        pools=config.default_address_pools or DEFAULT_POOLS,
    )
    spec_host = host.detect()
    volumes = Volumes(
        records=records,
        runtime=runtime,
        db=db,
        events=events,
        clock=clock,
        root=config.data_root / "volumes",
    )
    lifecycle = Lifecycle(
        records=records,
        volumes=volumes,
        runtime=runtime,
        networks=networks,
        discovery=discovery,
        keeper=keeper.client,
        resolver=resolver,
        events=events,
        clock=clock,
        spec_host=spec_host,
        containers_root=containers_root,
        stdio_root=config.exec_root / "stdio",
        netns_root=netns.BASE,
        cgroup_parent=config.cgroup_parent,
    )
    names = Names(local_networks, networks)
    containers = Containers(
        records=records,
        lifecycle=lifecycle,
        runtime=runtime,
        images=images,
        volumes=volumes,
        networks=names,
        events=events,
        clock=clock,
        containers_root=containers_root,
        spec_host=spec_host,
    )
    execs = Execs(
        records=records,
        runtime=runtime,
        keeper=keeper.client,
        events=events,
        clock=clock,
        spec_host=spec_host,
        stdio_root=config.exec_root / "stdio",
    )
    health = Health(records=records, execs=execs, events=events, clock=clock)
    lifecycle.on_started.append(health.watch)
    lifecycle.on_ended += [health.forget, execs.forget]
    streams = Streams(
        records=records,
        lifecycle=lifecycle,
        runtime=runtime,
        keeper=keeper.client,
        events=events,
        watch=FolderWatch(),
        clock=clock,
    )
    attachments = Attachments(
        records=records, lifecycle=lifecycle, networks=networks, discovery=discovery, events=events
    )
    engine = Engine(
        engine_id=await asyncio.to_thread(_engine_id, config.data_root / "engine-id"),
        db=db,
        facts=read_facts(config.labels),
        events=events,
        records=records,
        lifecycle=lifecycle,
        containers=containers,
        images=images,
        node_images=NodeImages(store=images, prefer_offline=prefer_offline, clock=clock),
        volumes=volumes,
        health=health,
        execs=execs,
        streams=streams,
        stats=Stats(records=records, runtime=runtime, clock=clock),
        updates=Updates(records=records, lifecycle=lifecycle, runtime=runtime, events=events, spec_host=spec_host),
        sizes=Sizes(records=records, runtime=runtime, images=images),
        archives=Archives(records=records, lifecycle=lifecycle, runtime=runtime),
        container_pruner=ContainerPruner(
            records=records, containers=containers, runtime=runtime, events=events, clock=clock
        ),
        image_pruner=ImagePruner(store=images, records=records, events=events, clock=clock),
        runtime=runtime,
        networks=networks,
        local_networks=local_networks,
        discovery=discovery,
        attachments=attachments,
    )
    return engine, reconciler, registry, names


def _engine_id(path: Path) -> str:
    """This engine's id, made at the first start and kept."""
    if not path.exists() or not path.read_text().strip():
        files.write(path, str(uuid.uuid4()).encode(), 0o644)
    return path.read_text().strip()


def owner_of(config: Config) -> str:
    """The mark on all that this daemon makes in the kernel: its own for a second daemon on the machine."""
    if config.data_root == Config.data_root:
        return "shoal"
    return "shoal-" + hashlib.sha256(str(config.data_root).encode()).hexdigest()[:6]


class SwarmNetworks(Protocol):
    """Where the swarm's networks are known."""

    def networks(self) -> Iterable[Network]:
        """All of them on a manager, those that are here on a worker."""
        ...

    def attachable(self, ref: str) -> tuple[str, str] | None:
        """The id and the name of one that plain containers may join, though it is not on this node yet."""
        ...


class Names:
    """Networks by what users call them: the node's own before the swarm's."""

    def __init__(self, local: LocalNetworks, networks: NodeNetworks) -> None:
        self._local = local
        self._networks = networks
        self.swarm: SwarmNetworks | None = None

    def find(self, text: str) -> tuple[str, str]:
        """The id and the name. Raises NotFound."""
        try:
            found = self._local.get("bridge" if text == "default" else text)
        except NotFound:
            known = self.swarm.networks() if self.swarm else self._networks.cluster.networks.values()
            for network in known:
                if text in (network.id, network.name):
                    return network.id, network.name
            if self.swarm and (elsewhere := self.swarm.attachable(text)) is not None:
                return elsewhere
            raise
        return found.id, found.name
