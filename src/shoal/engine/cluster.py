"""What the swarm's networks are to this node, as the agent tells the engine. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal.network.flows import Backends
from shoal.network.node import Mesh, OverlayNetwork, RemoteEndpoint, VirtualService
from shoal.objects.network import Network
from shoal.wire.keeper import NetworkRecords


@dataclass(frozen=True)
class PeerNode:
    """A node that shares a network with this one."""

    name: str
    address: str


@dataclass(frozen=True)
class ClusterNetworks:
    """Everything by the network's id; ``ingress_addresses`` is the ingress sandbox's place on this node, none where
    there is no mesh."""

    networks: Mapping[str, Network] = field(default_factory=dict)
    overlays: Mapping[str, OverlayNetwork] = field(default_factory=dict)
    services: Mapping[str, tuple[VirtualService, ...]] = field(default_factory=dict)
    remotes: Mapping[str, tuple[RemoteEndpoint, ...]] = field(default_factory=dict)
    records: Mapping[str, NetworkRecords] = field(default_factory=dict)
    peers: Mapping[str, tuple[PeerNode, ...]] = field(default_factory=dict)
    backends: Mapping[str, Backends] = field(default_factory=dict)
    mesh: Mesh | None = None
    ingress_addresses: tuple[str, ...] = ()
