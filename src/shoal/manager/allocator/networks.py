"""What an overlay network gets when it is allocated: its subnets, gateways, VXLAN id. Pure."""

import ipaddress
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from shoal.errors import FailedPrecondition
from shoal.objects.cluster import Cluster
from shoal.objects.ipam import Net, free_subnet
from shoal.objects.meta import Driver
from shoal.objects.network import VXLAN_IDS, IPAMConfig, IPAMOptions, Network

FIRST_VNI = 4096
INGRESS_SUBNET = "10.255.0.0/16"
_DEFAULT_POOLS = ("10.0.0.0/8",)


def pools_of(cluster: Cluster | None) -> list[tuple[Net, int]]:
    """The pools that networks are cut from, each with the prefix length of a subnet."""
    texts = (cluster.default_addr_pool if cluster else None) or _DEFAULT_POOLS
    size = cluster.subnet_size if cluster else 24
    return [(ipaddress.ip_network(text), size) for text in texts]


def allocated(
    network: Network, others: Iterable[Network], pools: Sequence[tuple[Net, int]], in_use: Iterable[Net]
) -> Network:
    """The network with its driver's state and IPAM filled in; what the user chose stays as it is.

    :raises FailedPrecondition: no subnet or VXLAN id is left, the subnet asked for is in use, or an address that the
        user chose lies outside of it.
    """
    rest = [other for other in others if other.id != network.id]
    taken: list[Net] = [ipaddress.ip_network(pool.subnet) for other in rest for pool in other.pools if pool.subnet]
    # The ingress network's own place is kept free for it, so that ingress can be removed and made again.
    kept_free = [ipaddress.ip_network(INGRESS_SUBNET)]
    asked = (network.spec.ipam_options.configs if network.spec.ipam_options else None) or [IPAMConfig()]
    configs: list[IPAMConfig] = []
    for config in asked:
        if config.subnet:
            subnet: Net = ipaddress.ip_network(config.subnet, strict=False)
            if any(net.overlaps(subnet) for net in taken):
                raise FailedPrecondition("Pool overlaps with other one on this address space")
        elif network.is_ingress and not any(net.overlaps(kept_free[0]) for net in [*taken, *in_use]):
            subnet = kept_free[0]
        else:
            subnet = free_subnet(pools, [*taken, *in_use, *kept_free])
        taken.append(subnet)
        gateway = config.gateway or str(subnet.network_address + 1)
        for address in (gateway, *(config.auxiliary_addresses or {}).values()):
            if ipaddress.ip_address(address) not in subnet:
                raise FailedPrecondition(f"requested address {address} is not within subnet {subnet}")
        configs.append(replace(config, subnet=str(subnet), gateway=gateway))
    spec = network.spec.driver_configuration or Driver()
    options = {VXLAN_IDS: str(_vni(spec, rest)), **(spec.options or {})}
    return replace(
        network,
        driver_state=Driver(name=spec.name or "overlay", options=options),
        ipam_options=IPAMOptions(driver=Driver(name="default"), configs=configs),
    )


def _vni(spec: Driver, others: Iterable[Network]) -> int:
    taken = {other.vni for other in others}
    if wanted := (spec.options or {}).get(VXLAN_IDS):
        number = int(wanted.split(",")[0])
        if number in taken:
            raise FailedPrecondition(f"VXLAN id {number} is used by another network")
        return number
    number = FIRST_VNI
    while number in taken:
        number += 1
    return number
