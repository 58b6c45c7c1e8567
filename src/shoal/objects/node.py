"""Nodes: the machines of a swarm."""

import msgspec

from shoal.objects.base import Object
from shoal.objects.ids import NodeId
from shoal.objects.meta import Version
from shoal.objects.network import NetworkAttachment


class Platform(Object, frozen=True):
    architecture: str | None = None
    os: str | None = None


class NodeResources(Object, frozen=True):
    """CPUs in billionths, memory in bytes."""

    nano_cpus: int | None = None
    memory_bytes: int | None = None


class EnginePlugin(Object, frozen=True):
    type: str = ""
    name: str = ""


class EngineDescription(Object, frozen=True):
    engine_version: str | None = None
    labels: dict[str, str] | None = None
    plugins: list[EnginePlugin] | None = None


class TLSInfo(Object, frozen=True):
    trust_root: str | None = None
    cert_issuer_subject: str | None = None
    cert_issuer_public_key: str | None = None


class NodeDescription(Object, frozen=True):
    """What the agent says of its machine."""

    hostname: str | None = None
    platform: Platform | None = None
    resources: NodeResources | None = None
    engine: EngineDescription | None = None
    tls_info: TLSInfo | None = None


class NodeSpec(Object, frozen=True):
    """The user's: role is worker or manager, availability active, pause or drain."""

    name: str | None = None
    labels: dict[str, str] | None = None
    role: str | None = None
    availability: str | None = None


class NodeStatus(Object, frozen=True):
    """The dispatcher's: state is unknown, down, ready or disconnected; addr the address it was seen from."""

    state: str = ""
    message: str | None = None
    addr: str | None = None


class ManagerStatus(Object, frozen=True):
    leader: bool | None = None
    reachability: str | None = None
    addr: str | None = None


class Node(Object, frozen=True):
    """``attachment`` is the allocator's: the ingress sandbox's place on the ingress network. ``underlay_mtu`` is the
    dispatcher's: that of the link where the node's tunnels end, in bytes; so is ``rotation``: which one of the swarm's
    root the node has followed last."""

    id: NodeId
    version: Version = Version()
    created_at: str = ""
    updated_at: str = ""
    spec: NodeSpec = NodeSpec()
    description: NodeDescription | None = None
    status: NodeStatus = NodeStatus()
    manager_status: ManagerStatus | None = None
    attachment: NetworkAttachment | None = msgspec.field(default=None, name="Attachment")
    underlay_mtu: int = 0
    rotation: int = 0

    @property
    def hostname(self) -> str:
        """The machine's own name, its id before the agent has told it."""
        return (self.description.hostname if self.description else None) or self.id

    @property
    def is_ready(self) -> bool:
        """Whether its agent is in session."""
        return self.status.state == "ready"
