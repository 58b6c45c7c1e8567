"""The node's own networks (``docker network create`` with the bridge driver), and the three that are always there."""

import asyncio
import ipaddress
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.engine import copies
from shoal.engine.events import Events
from shoal.engine.networks import GATEWAY_BRIDGE, NodeNetworks
from shoal.errors import Conflict, Forbidden, InvalidArgument, NotFound, ShoalError
from shoal.kernel.routes import host_routes
from shoal.localdb.localdb import Delete, LocalDB
from shoal.objects.base import timestamp
from shoal.objects.ids import container_id
from shoal.objects.ipam import Net, free_subnet
from shoal.objects.local_network import (
    BRIDGE_NAME,
    DEFAULT_BRIDGE,
    ENABLE_ICC,
    ENABLE_MASQUERADE,
    LocalNetwork,
)
from shoal.objects.network import MTU_OPTION, IPAMConfig

_KIND = "network"
PREDEFINED = ("bridge", "host", "none")
# Docker's own order of pools for bridges: 172.17.0.0/16 is docker0's, 172.18.0.0/16 the first of the others.
DEFAULT_POOLS: Sequence[tuple[str, int]] = (
    *((f"172.{number}.0.0/16", 16) for number in range(17, 32)),
    ("192.168.0.0/16", 20),
)
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_LINK_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,15}\Z")


class LocalNetworks:
    """Records of the node's networks, and the bridges that they are."""

    def __init__(
        self,
        *,
        db: LocalDB,
        containers_root: Path,
        networks: NodeNetworks,
        events: Events,
        clock: Clock,
        pools: Sequence[tuple[str, int]] = DEFAULT_POOLS,
    ) -> None:
        self._db = db
        self._containers_root = containers_root
        self._networks = networks
        self._events = events
        self._clock = clock
        self._pools = [(ipaddress.ip_network(text), size) for text, size in pools]
        self._all: dict[str, LocalNetwork] = {}
        self._lock = asyncio.Lock()

    async def load(self, *, bip: str | None, bridge: str, mtu: int | None) -> None:
        """Read the records, make the predefined networks if they are missing, and declare all bridges.

        ``bip`` is docker0's address with its prefix length (``--bip``), ``bridge`` its name (``none``: no default
        network at all).
        """
        self._all = dict(await self._db.load(_KIND, LocalNetwork))
        for name, driver in (("host", "host"), ("none", "null")):
            if not any(network.name == name for network in self._all.values()):
                await self._keep(self._record(name, driver))
        await self._default_bridge(bip, bridge, mtu)
        for network in self._all.values():
            if network.driver == "bridge":
                await self._networks.add_bridge(network)

    async def _default_bridge(self, bip: str | None, bridge: str, mtu: int | None) -> None:
        old = next((network for network in self._all.values() if network.name == "bridge"), None)
        if bridge == "none":
            if old is not None:
                await self._forget(old)
            return
        pool = _from_bip(bip) if bip else None
        if pool is not None:
            self._check_overlap(pool, f"--bip {bip}", except_for=old)
        if pool is None:
            pool = old.pools[0] if old is not None else _config(self._free_subnet())
        options = {
            DEFAULT_BRIDGE: "true",
            ENABLE_ICC: "true",
            ENABLE_MASQUERADE: "true",
            "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
            BRIDGE_NAME: bridge,
            "com.docker.network.driver.mtu": str(mtu or 1500),
        }
        if old is None:
            await self._keep(self._record("bridge", "bridge", pools=[pool], options=options))
        elif (new := replace(old, pools=[pool], options=options)) != old:
            # The same network, so that the containers that are to be on it find it.
            await self._keep(new)

    def _check_overlap(self, pool: IPAMConfig, what: str, *, except_for: LocalNetwork | None) -> None:
        subnet = ipaddress.ip_network(pool.subnet or "")
        for network in self._all.values():
            others = [ipaddress.ip_network(c.subnet) for c in network.pools if c.subnet]
            if network is not except_for and any(o.version == subnet.version and o.overlaps(subnet) for o in others):
                raise InvalidArgument(f"{what} overlaps with the network {network.name} ({others[0]})")

    async def ensure_gateway_bridge(self) -> LocalNetwork:
        """docker_gwbridge, through which what is on overlay networks gets out; made with the swarm."""
        async with self._lock:
            found = next((n for n in self._all.values() if n.name == GATEWAY_BRIDGE), None)
            if found is None:
                options = {BRIDGE_NAME: GATEWAY_BRIDGE, ENABLE_ICC: "false", ENABLE_MASQUERADE: "true"}
                subnet = _config(self._free_subnet())
                found = await self._keep(self._record(GATEWAY_BRIDGE, "bridge", pools=[subnet], options=options))
                await self._networks.add_bridge(found)
            return found

    async def remove_gateway_bridge(self) -> None:
        """The swarm was left: its bridge goes too."""
        async with self._lock:
            found = next((n for n in self._all.values() if n.name == GATEWAY_BRIDGE), None)
            if found is not None:
                await self._networks.remove_bridge(found.id)
                await self._forget(found)

    def all(self) -> list[LocalNetwork]:
        """Every network of this node."""
        return list(self._all.values())

    def get(self, text: str) -> LocalNetwork:
        """By id, name or the beginning of an id. Raises NotFound."""
        if text in self._all:
            return self._all[text]
        named = [network for network in self._all.values() if network.name == text]
        matches = named or [network for network in self._all.values() if text and network.id.startswith(text)]
        if len(matches) > 1:
            raise InvalidArgument(f"network {text} is ambiguous ({len(matches)} matches found on name)")
        if not matches:
            raise NotFound(f"network {text} not found")
        return matches[0]

    async def create(self, wanted: LocalNetwork) -> LocalNetwork:
        """A new bridge network; what is empty in ``wanted`` is filled in. Raises Conflict, InvalidArgument, Forbidden
        in Docker's words."""
        _check(wanted)
        async with self._lock:
            if any(network.name == wanted.name for network in self._all.values()):
                raise Conflict(f"network with name {wanted.name} already exists")
            pools = [self._filled(config) for config in wanted.pools or [IPAMConfig()]]
            versions = [ipaddress.ip_network(pool.subnet or "").version for pool in pools]
            if len(versions) > len(set(versions)):
                raise InvalidArgument("bridge driver doesn't support more than one subnet of a family")
            network = self._record(
                wanted.name,
                "bridge",
                pools=pools,
                options=wanted.options,
                internal=wanted.internal,
                attachable=wanted.attachable,
                labels=wanted.labels,
                ipam_options=wanted.ipam_options,
            )
            if any(other.bridge == network.bridge for other in self._all.values() if other.driver == "bridge"):
                raise Conflict(f"bridge name {network.bridge} is already in use by another network")
            await self._networks.add_bridge(network)
            try:
                await self._keep(network)
            except ShoalError:
                await self._networks.remove_bridge(network.id)
                raise
            self._events.emit("network", "create", network.id, {"name": network.name, "type": "bridge"})
            return network

    async def remove(self, text: str, *, members: Mapping[str, str]) -> None:
        """Remove a network on which nothing is; ``members`` are the names of what is, by sandbox id."""
        async with self._lock:
            network = self.get(text)
            if network.name in PREDEFINED:
                raise Forbidden(f"{network.name} is a pre-defined network and cannot be removed")
            if network.name == GATEWAY_BRIDGE and members:
                raise Forbidden(f"error while removing network: network {network.name} has active endpoints")
            if members:
                raise Forbidden(
                    f"error while removing network: network {network.name} id {network.id} has active endpoints"
                )
            await self._networks.remove_bridge(network.id)
            await self._forget(network)
            self._events.emit("network", "destroy", network.id, {"name": network.name, "type": network.driver})

    def _record(self, name: str, driver: str, **more: object) -> LocalNetwork:
        created = timestamp(self._clock.now())
        return LocalNetwork(id=container_id(), name=name, driver=driver, created=created, **more)  # type: ignore[arg-type]

    async def _keep(self, network: LocalNetwork) -> LocalNetwork:
        before = self._all.get(network.id)
        self._all[network.id] = network
        try:
            await self._db.put(_KIND, network.id, network)
        except ShoalError:
            if before is None:
                del self._all[network.id]
            else:
                self._all[network.id] = before
            raise
        await asyncio.to_thread(copies.keep_networks, self._containers_root, list(self._all.values()))
        return network

    async def _forget(self, network: LocalNetwork) -> None:
        self._all.pop(network.id, None)
        await self._db.keep([Delete(_KIND, network.id)])
        await asyncio.to_thread(copies.keep_networks, self._containers_root, list(self._all.values()))

    def _taken(self) -> list[Net]:
        ours = [ipaddress.ip_network(c.subnet) for n in self._all.values() for c in n.pools if c.subnet]
        return [*ours, *host_routes(except_links={n.bridge for n in self._all.values() if n.driver == "bridge"})]

    def _free_subnet(self) -> Net:
        return free_subnet(self._pools, self._taken())

    def _filled(self, config: IPAMConfig) -> IPAMConfig:
        if not config.subnet:
            return _config(self._free_subnet())
        subnet = ipaddress.ip_network(config.subnet, strict=False)
        if subnet.num_addresses < 4:
            raise InvalidArgument(f"no available IPv{subnet.version} addresses on this network's address pools")
        ours = [ipaddress.ip_network(c.subnet) for n in self._all.values() for c in n.pools if c.subnet]
        if any(other.version == subnet.version and other.overlaps(subnet) for other in ours):
            raise Forbidden("Pool overlaps with other one on this address space")
        return IPAMConfig(
            subnet=str(subnet),
            range=config.range,
            gateway=config.gateway or str(subnet.network_address + 1),
            auxiliary_addresses=config.auxiliary_addresses,
        )


def _config(subnet: Net) -> IPAMConfig:
    return IPAMConfig(subnet=str(subnet), gateway=str(subnet.network_address + 1))


def _from_bip(bip: str) -> IPAMConfig:
    try:
        interface = ipaddress.ip_interface(bip)
    except ValueError as error:
        raise InvalidArgument(f"invalid --bip {bip}: {error}") from error
    return IPAMConfig(subnet=str(interface.network), gateway=str(interface.ip))


def _check(wanted: LocalNetwork) -> None:
    if not wanted.name:
        raise InvalidArgument("invalid network name: name is empty")
    if not _NAME.match(wanted.name):
        raise InvalidArgument(f'invalid network name "{wanted.name}": only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed')
    if wanted.name in (*PREDEFINED, "default"):
        raise Forbidden(f"operation is not permitted on predefined {wanted.name} network")
    if wanted.driver not in ("", "bridge"):
        if wanted.driver in ("host", "null"):
            raise Forbidden(f'only one instance of "{wanted.driver}" network is allowed')
        raise NotFound(
            f'could not find plugin {wanted.driver} in v1 plugin registry: plugin "{wanted.driver}" not found'
        )
    for config in wanted.pools:
        try:
            subnet = ipaddress.ip_network(config.subnet or "0.0.0.0/0", strict=False)
            gateway = ipaddress.ip_address(config.gateway) if config.gateway else None
        except ValueError as error:
            raise InvalidArgument(f"invalid network config:\ninvalid subnet {config.subnet}: {error}") from error
        if gateway is not None and gateway not in subnet:
            raise InvalidArgument(
                f"invalid network config:\ninvalid gateway {config.gateway}: parent subnet is {config.subnet}"
            )
        _check_parts(config, subnet)
    bridge = wanted.options.get(BRIDGE_NAME, "br-")
    if not _LINK_NAME.match(bridge) or bridge in (".", ".."):
        raise InvalidArgument(f"invalid value for {BRIDGE_NAME}: {bridge!r} cannot be the name of a link")
    mtu = wanted.options.get(MTU_OPTION, "1500")
    if not (mtu.isascii() and mtu.isdecimal() and len(mtu) <= 5 and int(mtu) <= 65535):
        raise InvalidArgument(f"invalid value for {MTU_OPTION}: {mtu!r} is no number of bytes")


def _check_parts(config: IPAMConfig, subnet: Net) -> None:
    """That the range and the reserved addresses are the subnet's."""
    try:
        within = ipaddress.ip_network(config.range, strict=False) if config.range else None
    except ValueError as error:
        raise InvalidArgument(f"invalid network config:\ninvalid ip-range {config.range}: {error}") from error
    if within is not None and (
        within.version != subnet.version or within.prefixlen < subnet.prefixlen or within.network_address not in subnet
    ):
        raise InvalidArgument(
            f"invalid network config:\ninvalid ip-range {config.range}: parent subnet is {config.subnet}"
        )
    for name, address in (config.auxiliary_addresses or {}).items():
        try:
            inside = ipaddress.ip_address(address) in subnet
        except ValueError as error:
            raise InvalidArgument(
                f"invalid network config:\ninvalid auxiliary address {name} ({address}): {error}"
            ) from error
        if not inside:
            raise InvalidArgument(
                f"invalid network config:\ninvalid auxiliary address {name} ({address}): "
                f"parent subnet is {config.subnet}"
            )
