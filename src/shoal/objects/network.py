"""Networks as the swarm knows them (SwarmKit's ``Network``, as tasks carry it in ``NetworksAttachments``)."""

import msgspec

from shoal.objects.base import Object
from shoal.objects.ids import NetworkId
from shoal.objects.meta import Driver, Version

# Every node has its own of these, and a service may ask for them; they need no addresses of the swarm's.
NODE_NETWORKS = ("host", "bridge", "none")
VXLAN_IDS = "com.docker.network.driver.overlay.vxlanid_list"
MTU_OPTION = "com.docker.network.driver.mtu"


class IPAMConfig(Object, frozen=True):
    """One address pool of a network."""

    subnet: str | None = None
    range: str | None = msgspec.field(default=None, name="IPRange")
    gateway: str | None = None
    auxiliary_addresses: dict[str, str] | None = None


class IPAMOptions(Object, frozen=True):
    """Where a network's addresses come from: a driver and its pools, in the order of their use."""

    driver: Driver | None = None
    configs: list[IPAMConfig] | None = None


class NetworkSpec(Object, frozen=True):
    """What the user asked for."""

    name: str = ""
    labels: dict[str, str] | None = None
    driver_configuration: Driver | None = None
    ipv6_enabled: bool | None = msgspec.field(default=None, name="IPv6Enabled")
    internal: bool | None = None
    attachable: bool | None = None
    ingress: bool | None = None
    ipam_options: IPAMOptions | None = None
    scope: str | None = None


class Network(Object, frozen=True):
    """A swarm's network. ``driver_state`` and ``ipam_options`` are the allocator's: absent until it has been there."""

    id: NetworkId
    version: Version = Version()
    created_at: str = ""
    updated_at: str = ""
    spec: NetworkSpec = NetworkSpec()
    driver_state: Driver | None = None
    ipam_options: IPAMOptions | None = None

    @property
    def name(self) -> str:
        """The name that users call it by."""
        return self.spec.name

    @property
    def is_ingress(self) -> bool:
        """Whether this is the routing mesh's own network."""
        return bool(self.spec.ingress)

    @property
    def vni(self) -> int | None:
        """The VXLAN network identifier, once the allocator has chosen it."""
        ids = (self.driver_state.options or {}).get(VXLAN_IDS) if self.driver_state else None
        return int(ids.split(",")[0]) if ids else None

    @property
    def pools(self) -> list[IPAMConfig]:
        """The allocated address pools, none before the allocator has been there."""
        return (self.ipam_options.configs or []) if self.ipam_options else []


class NetworkAttachment(Object, frozen=True):
    """A task's or a node's place on a network; addresses are ``10.0.0.4/24``, one a family."""

    network: Network
    addresses: list[str] | None = None
    aliases: list[str] | None = None


class NetworkAttachmentConfig(Object, frozen=True):
    """What a service asks of one network."""

    target: str = ""
    aliases: list[str] | None = None
    driver_opts: dict[str, str] | None = None
