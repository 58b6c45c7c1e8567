"""Networks, local ones and the swarm's, in the one form that ``/networks`` has for both."""

import msgspec

from shoal.objects.base import Object
from shoal.objects.container import EndpointSettings
from shoal.objects.network import IPAMConfig


class IPAM(Object, frozen=True, omit_defaults=False):
    driver: str = "default"
    options: dict[str, str] | None = None
    config: list[IPAMConfig] | None = None


class ConfigReference(Object, frozen=True, omit_defaults=False):
    network: str = ""


class NetworkCreate(Object, frozen=True):
    """What is asked for; ``scope`` is local, swarm or empty for what the driver has."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    ipam: IPAM | None = None
    enable_ipv4: bool | None = None
    enable_ipv6: bool | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class NetworkCreated(Object, frozen=True, omit_defaults=False):
    id: str = msgspec.field(name="Id")
    warning: str = ""


class NetworkConnect(Object, frozen=True):
    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnect(Object, frozen=True):
    container: str = ""
    force: bool = False


class NetworkContainer(Object, frozen=True, omit_defaults=False):
    """An endpoint of this node on the network; addresses are ``10.0.0.4/24`` or empty."""

    name: str = ""
    endpoint_id: str = ""
    mac_address: str = ""
    ipv4_address: str = ""
    ipv6_address: str = ""


class PeerInfo(Object, frozen=True, omit_defaults=False):
    """A node that has endpoints on the network."""

    name: str
    ip: str


class ServiceTaskInfo(Object, frozen=True, omit_defaults=False):
    name: str
    endpoint_id: str = ""
    endpoint_ip: str = ""
    info: dict[str, str] = msgspec.field(default_factory=dict)


class NetworkServiceInfo(Object, frozen=True, omit_defaults=False):
    """A service on the network, for the verbose form."""

    vip: str = msgspec.field(default="", name="VIP")
    ports: list[str] = msgspec.field(default_factory=list)
    local_lb_index: int = msgspec.field(default=0, name="LocalLBIndex")
    tasks: list[ServiceTaskInfo] = msgspec.field(default_factory=list)


class NetworkAnswer(Object, frozen=True, kw_only=True, omit_defaults=False):
    """A network. ``containers`` by the container's id (``lb-…``, ``ingress-sbox`` for the network's own sandboxes),
    None where this node does not have it up; ``peers`` and ``services`` only where they are known."""

    name: str
    id: str = msgspec.field(name="Id")
    created: str
    scope: str
    driver: str
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    ipam: IPAM = IPAM()
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_from: ConfigReference = ConfigReference()
    config_only: bool = False
    containers: dict[str, NetworkContainer] | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    peers: list[PeerInfo] | msgspec.UnsetType = msgspec.UNSET
    services: dict[str, NetworkServiceInfo] | msgspec.UnsetType = msgspec.UNSET


class NetworksPruned(Object, frozen=True, omit_defaults=False):
    networks_deleted: list[str] | None = None
