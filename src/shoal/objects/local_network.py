"""Networks of one node (``docker network create`` without a swarm): bridges, and the two that are no networks."""

import msgspec

from shoal.objects.base import Object
from shoal.objects.network import IPAMConfig

BRIDGE_NAME = "com.docker.network.bridge.name"
ENABLE_ICC = "com.docker.network.bridge.enable_icc"
ENABLE_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
DEFAULT_BRIDGE = "com.docker.network.bridge.default_bridge"


class LocalNetwork(Object, frozen=True):
    """A node's own network: driver bridge, host or null."""

    id: str
    name: str
    driver: str
    created: str
    pools: list[IPAMConfig] = msgspec.field(default_factory=list)
    internal: bool = False
    attachable: bool = False
    enable_ipv6: bool = False
    options: dict[str, str] = msgspec.field(default_factory=dict)
    ipam_driver: str = "default"
    ipam_options: dict[str, str] | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def bridge(self) -> str:
        """The Linux bridge's name."""
        return self.options.get(BRIDGE_NAME) or f"br-{self.id[:12]}"
