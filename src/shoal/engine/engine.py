"""The engine as a whole: its parts in one place, and what concerns several of them."""

from dataclasses import dataclass

from shoal.container.images import ImageStore
from shoal.container.runtime import Runtime
from shoal.engine.archive import Archives
from shoal.engine.attachments import Attachments
from shoal.engine.cluster import ClusterNetworks
from shoal.engine.containers import Containers
from shoal.engine.discovery import Discovery
from shoal.engine.events import Events
from shoal.engine.execs import Execs
from shoal.engine.facts import Facts
from shoal.engine.health import Health
from shoal.engine.images import NodeImages
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.local_networks import LocalNetworks
from shoal.engine.networks import NodeNetworks
from shoal.engine.prune import ContainerPruner, ImagePruner, Sizes
from shoal.engine.records import Records
from shoal.engine.stats import Stats
from shoal.engine.streams import Streams
from shoal.engine.update import Updates
from shoal.engine.volumes import Volumes
from shoal.localdb.localdb import LocalDB


@dataclass(frozen=True)
class Engine:
    """All that a node can do without a swarm."""

    engine_id: str
    db: LocalDB
    facts: Facts
    events: Events
    records: Records
    lifecycle: Lifecycle
    containers: Containers
    images: ImageStore
    node_images: NodeImages
    volumes: Volumes
    health: Health
    execs: Execs
    streams: Streams
    stats: Stats
    updates: Updates
    sizes: Sizes
    archives: Archives
    container_pruner: ContainerPruner
    image_pruner: ImagePruner
    runtime: Runtime
    networks: NodeNetworks
    local_networks: LocalNetworks
    discovery: Discovery
    attachments: Attachments

    async def declare(self) -> None:
        """Say what is there from before, so that the kernel's network is taken over as it is."""
        for container in await self.records.load():
            if container.is_running and container.sandbox is not None:
                owner = f"task {container.name}" if container.task_id else f"container {container.name}"
                self.networks.declare(container.id, owner, container.sandbox)
        await self.volumes.load()

    async def set_cluster(self, cluster: ClusterNetworks) -> None:
        """What the swarm's networks are from now on: devices, addresses, backends, names."""
        await self.networks.set_cluster(cluster)
        await self.discovery.set_cluster(cluster.records)

    @property
    def is_idle(self) -> bool:
        """Whether no container runs: nothing on this machine needs us then."""
        return not any(True for _ in self.records.running())
