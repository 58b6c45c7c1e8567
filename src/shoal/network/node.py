"""What this node's containers, networks and services want of its network: the input of the description.

Addresses are text; an endpoint's is ``10.0.0.4/24``, a backend's or a VIP's bare. MACs follow from addresses
(:func:`mac_of`), so nothing has to be asked of anybody.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

INGRESS_SANDBOX = "ingress-sbox"
INGRESS_NETNS = "ingress_sbox"


def version_of(address: str) -> int:
    """4 or 6, of an address or a network, with or without its prefix length: far quicker than parsing it."""
    return 6 if ":" in address else 4


@lru_cache(4096)
def mac_of(address: str) -> str:
    """The MAC that goes with an address: 02:42 and the last four bytes, as Docker's."""
    packed = ipaddress.ip_interface(address).ip.packed[-4:]
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + packed)


@dataclass(frozen=True)
class BridgeNetwork:
    """A bridge on the host; ``gateways`` are its own addresses with their prefix lengths."""

    network_id: str
    name: str
    bridge: str
    gateways: tuple[str, ...]
    mtu: int = 1500
    icc: bool = True
    masquerade: bool = True
    internal: bool = False


@dataclass(frozen=True)
class OverlayNetwork:
    """A network over all nodes; its namespace here is named after its id."""

    network_id: str
    name: str
    vni: int
    gateways: tuple[str, ...]
    mtu: int
    port: int = 4789

    @property
    def netns(self) -> str:
        """``1-`` and the first ten digits of the id, as Docker's."""
        return f"1-{self.network_id[:10]}"


@dataclass(frozen=True)
class Endpoint:
    """A sandbox's place on one network; ``hub_port`` numbers the other end in an overlay's namespace."""

    network_id: str
    interface: str
    addresses: tuple[str, ...]
    mac: str
    gateways: tuple[str, ...] = ()
    hub_port: int = 0


@dataclass(frozen=True)
class Publication:
    """A port of the host that leads to a sandbox's address; ``host_ip`` None: any of the host's addresses."""

    protocol: str
    host_port: int
    target: str
    target_port: int
    host_ip: str | None = None


@dataclass(frozen=True)
class Sandbox:
    """A network namespace of a container's or task's; ``on_mesh``: replies through the mesh find their way back.
    ``dns`` are the UDP and the TCP port of 127.0.0.11 where names are answered that are asked for on its port 53."""

    sandbox_id: str
    netns: str
    owner: str
    endpoints: tuple[Endpoint, ...]
    publications: tuple[Publication, ...] = ()
    on_mesh: bool = False
    dns: tuple[int, int] | None = None


@dataclass(frozen=True)
class VirtualService:
    """A service on one network: its VIP and the addresses behind it."""

    name: str
    vip: str
    backends: tuple[str, ...]


@dataclass(frozen=True)
class MeshPort:
    """A published port of the routing mesh."""

    protocol: str
    published: int
    target: int
    service: str
    backends: tuple[str, ...]


@dataclass(frozen=True)
class Mesh:
    """The routing mesh as this node has it. ``routers`` are all ingress sandboxes' addresses on the ingress network,
    ``host_address`` what a connection from 127.0.0.1 shows as its source."""

    network_id: str
    ports: tuple[MeshPort, ...] = ()
    routers: tuple[str, ...] = ()
    host_address: str | None = None


def mark_of(router: str) -> int:
    """What connections that came through a router (its address, with the prefix) are marked with: its number in its
    network, which stays the same whatever other routers come and go."""
    interface = ipaddress.ip_interface(router)
    return int(interface.ip) & int(interface.hostmask) & 0x7FFFFFFF


@dataclass(frozen=True)
class RemoteEndpoint:
    """An endpoint on another node: where its frames go."""

    address: str
    vtep: str


@dataclass(frozen=True)
class NodeNetwork:
    """All of it. ``owner`` is the mark on everything that we make in the kernel."""

    owner: str = "shoal"
    bridges: Mapping[str, BridgeNetwork] = field(default_factory=dict)
    overlays: Mapping[str, OverlayNetwork] = field(default_factory=dict)
    sandboxes: Mapping[str, Sandbox] = field(default_factory=dict)
    services: Mapping[str, tuple[VirtualService, ...]] = field(default_factory=dict)
    remotes: Mapping[str, tuple[RemoteEndpoint, ...]] = field(default_factory=dict)
    mesh: Mesh | None = None
