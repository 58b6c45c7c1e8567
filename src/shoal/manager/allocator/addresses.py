"""All addresses of one network: a pool a family, the gateways taken from the start."""

import ipaddress
from collections.abc import Iterable

from shoal.errors import Conflict
from shoal.objects.ipam import Pool
from shoal.objects.network import Network


class NetworkAddresses:
    """The pools of an allocated network; addresses are ``10.0.0.4/24``."""

    def __init__(self, network: Network) -> None:
        self._pools: list[Pool] = []
        for config in network.pools:
            range_ = ipaddress.ip_network(config.range, strict=False) if config.range else None
            pool = Pool(ipaddress.ip_network(config.subnet or ""), range_)
            for reserved in {config.gateway, *(config.auxiliary_addresses or {}).values()}:
                if reserved:
                    pool.take(ipaddress.ip_address(reserved))
            self._pools.append(pool)

    def allocate(self) -> list[str]:
        """One free address a family. Raises FailedPrecondition when a family has none left."""
        got: dict[int, str] = {}
        try:
            for version in sorted({pool.subnet.version for pool in self._pools}):
                got[version] = self._allocate(version)
        except Exception:
            self.release(got.values())
            raise
        return list(got.values())

    def _allocate(self, version: int) -> str:
        pools = [pool for pool in self._pools if pool.subnet.version == version]
        pool = next((pool for pool in pools if pool.free), pools[-1])
        return f"{pool.allocate()}/{pool.subnet.prefixlen}"

    def mark(self, addresses: Iterable[str]) -> None:
        """Note that addresses are in use already; those of no pool here are left alone."""
        for text in addresses:
            address = ipaddress.ip_interface(text).ip
            for pool in self._pools:
                if address in pool.subnet:
                    try:
                        pool.take(address)
                    except Conflict:
                        continue

    def release(self, addresses: Iterable[str]) -> None:
        """Give addresses back."""
        for text in addresses:
            address = ipaddress.ip_interface(text).ip
            for pool in self._pools:
                if address in pool.subnet:
                    pool.release(address)
