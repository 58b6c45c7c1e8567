"""The node's networks and everything that is plugged into them: bridges of its own, the swarm's overlays, sandboxes.

It decides (addresses, interface names, numbers) and remembers; the reconciler makes it so. Each change names the parts
of the description that it touches, so that starting one container costs the same however many there are.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from msgspec.structs import replace as replace_struct

from shoal.engine.cluster import ClusterNetworks
from shoal.engine.ports import HostPorts
from shoal.errors import Conflict, FailedPrecondition, Forbidden, InvalidArgument, NotFound, ShoalError
from shoal.kernel import netns
from shoal.network import flows
from shoal.network.describe import HOST_PART, overlay_part, sandbox_part
from shoal.network.node import (
    INGRESS_NETNS,
    INGRESS_SANDBOX,
    BridgeNetwork,
    NodeNetwork,
    OverlayNetwork,
    Publication,
    mac_of,
)
from shoal.network.node import Endpoint as PlugIn
from shoal.network.node import Sandbox as NodeSandbox
from shoal.network.reconciler import Reconciler
from shoal.objects.container import Endpoint, PublishedPort, Sandbox
from shoal.objects.ids import container_id
from shoal.objects.ipam import Pool
from shoal.objects.local_network import ENABLE_ICC, ENABLE_MASQUERADE, LocalNetwork
from shoal.objects.network import MTU_OPTION

GATEWAY_BRIDGE = "docker_gwbridge"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Want:
    """One network that a sandbox shall be plugged into. ``addresses`` are fixed (``10.0.0.4/24``) or, without a prefix
    length, asked for; none lets the network choose."""

    network_id: str
    addresses: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    mac: str = ""


class NodeNetworks:
    """All networks of this node; one lock, since all changes end in the one kernel anyway."""

    def __init__(self, *, reconciler: Reconciler, owner: str, mtu: int) -> None:
        self._reconciler = reconciler
        self._mtu = mtu
        self._lock = asyncio.Lock()
        self._node = NodeNetwork(owner=owner)
        self._cluster = ClusterNetworks()
        self._pools: dict[str, list[Pool]] = {}
        self._sandboxes: dict[str, Sandbox] = {}
        self._owners: dict[str, str] = {}
        self._mesh_sandboxes: set[str] = set()
        self._gateway_bridge: str | None = None
        self._started = False
        self.host_ports = HostPorts()

    @property
    def cluster(self) -> ClusterNetworks:
        """What the agent told last."""
        return self._cluster

    @property
    def sandboxes(self) -> Mapping[str, Sandbox]:
        """Every sandbox that is plugged in now, the ingress sandbox too."""
        return self._sandboxes

    async def start(self) -> None:
        """Make the kernel's network what has been declared so far; until now nothing was touched. What the kernel
        refuses is tried again later (:meth:`Reconciler.repair`) and keeps nothing else from going on."""
        async with self._lock:
            self._started = True
            try:
                await self._reconciler.start(self._node)
            except ShoalError as error:
                _log.error("not all of the network can be set up, it is tried again: %s", error)

    async def add_bridge(self, network: LocalNetwork) -> None:
        """Bring up a bridge network. Raises Internal when the kernel refuses."""
        async with self._lock:
            self._pools[network.id] = [
                _pool(c.subnet, c.range, c.gateway, c.auxiliary_addresses) for c in network.pools
            ]
            for sandbox in self._sandboxes.values():
                self._mark(e for e in sandbox.endpoints if e.network_id == network.id)
            bridge = BridgeNetwork(
                network_id=network.id,
                name=network.name,
                bridge=network.bridge,
                gateways=tuple(_gateway(c.subnet, c.gateway) for c in network.pools if c.subnet),
                mtu=int(network.options.get(MTU_OPTION) or self._mtu),
                icc=network.options.get(ENABLE_ICC, "true") != "false",
                masquerade=network.options.get(ENABLE_MASQUERADE, "true") != "false",
                internal=network.internal,
            )
            self._node = replace(self._node, bridges={**self._node.bridges, network.id: bridge})
            if network.name == GATEWAY_BRIDGE:
                self._gateway_bridge = network.id
            try:
                await self._apply([HOST_PART])
            except BaseException:
                self._forget_bridge(network.id)
                with suppress(ShoalError):
                    await self._apply([HOST_PART])
                raise

    async def remove_bridge(self, network_id: str) -> None:
        """Take a bridge network down. Raises Forbidden while something is on it."""
        async with self._lock:
            if any(e.network_id == network_id for s in self._sandboxes.values() for e in s.endpoints):
                name = self._node.bridges[network_id].name
                raise Forbidden(f"error while removing network: network {name} id {network_id} has active endpoints")
            self._forget_bridge(network_id)
            await self._apply([HOST_PART])

    def _forget_bridge(self, network_id: str) -> None:
        self._pools.pop(network_id, None)
        bridges = {key: bridge for key, bridge in self._node.bridges.items() if key != network_id}
        self._node = replace(self._node, bridges=bridges)
        if self._gateway_bridge == network_id:
            self._gateway_bridge = None

    def is_local(self, network_id: str) -> bool:
        """Whether a network is this node's own, rather than the swarm's."""
        return network_id in self._node.bridges

    async def plug(
        self,
        sandbox_id: str,
        *,
        netns: str,
        owner: str,
        wants: Sequence[Want],
        ports: Sequence[PublishedPort] = (),
        on_mesh: bool = False,
        gateway: bool = True,
        dns_port: int = 0,
    ) -> Sandbox:
        """A new sandbox on these networks, in this order: eth0, eth1, …

        One with overlay networks is plugged into docker_gwbridge as well, its way out (unless ``gateway`` is false).
        At ``dns_port`` the keeper will answer what the sandbox asks of 127.0.0.11.
        Raises NotFound for an unknown network, Conflict for an address or port that is taken; then nothing is left.
        """
        async with self._lock:
            wants = list(wants)
            if gateway and self._gateway_bridge and any(w.network_id in self._cluster.overlays for w in wants):
                wants.append(Want(self._gateway_bridge))
            endpoints: list[Endpoint] = []
            try:
                for number, want in enumerate(wants):
                    endpoints.append(self._endpoint(want, f"eth{number}"))
                published = self.host_ports.take(sandbox_id, ports)
                sandbox = Sandbox(
                    netns=netns, endpoints=endpoints, ports=published, uses_mesh=on_mesh, dns_port=dns_port
                )
                self._add(sandbox_id, owner, sandbox)
                await self._apply(self._parts_of(sandbox_id, sandbox))
            except BaseException:
                self._give_back(sandbox_id, endpoints)
                if (half := self._sandboxes.get(sandbox_id)) is not None:
                    self._drop(sandbox_id)
                    with suppress(ShoalError):
                        await self._apply(self._parts_of(sandbox_id, half))
                raise
            return sandbox

    def declare(self, sandbox_id: str, owner: str, sandbox: Sandbox) -> None:
        """A sandbox that was there before a restart, with all it has; before :meth:`start`, and before or after its
        networks."""
        self._mark(sandbox.endpoints)
        self.host_ports.mark(sandbox_id, sandbox.ports)
        self._add(sandbox_id, owner, sandbox)

    def _mark(self, endpoints: Iterable[Endpoint]) -> None:
        """Note their addresses as taken in the pools that there are."""
        for endpoint in endpoints:
            for pool in self._pools.get(endpoint.network_id, ()):
                for address in endpoint.addresses:
                    if (ip := ipaddress.ip_interface(address).ip) in pool.subnet:
                        _take_quietly(pool, ip)

    async def connect(self, sandbox_id: str, want: Want) -> Sandbox:
        """Plug a sandbox into one more network, with the next free interface name; into docker_gwbridge as well where
        it is the swarm's network and there is no way out yet. Raises as :meth:`plug`; then all is as before."""
        async with self._lock:
            old = self._sandbox(sandbox_id)
            if any(e.network_id == want.network_id for e in old.endpoints):
                raise Conflict(f"endpoint already exists in network {want.network_id}")
            wants = [want]
            if self._gateway_bridge and want.network_id in self._cluster.overlays:
                wants += [] if any(e.gateways for e in old.endpoints) else [Want(self._gateway_bridge)]
            taken = {endpoint.interface for endpoint in old.endpoints}
            names = [name for name in (f"eth{n}" for n in range(1000)) if name not in taken]
            added: list[Endpoint] = []
            owner, sandbox = self._owners[sandbox_id], old
            try:
                for one, name in zip(wants, names, strict=False):
                    added.append(self._endpoint(one, name))
                sandbox = _with(old, [*old.endpoints, *added])
                self._add(sandbox_id, owner, sandbox)
                await self._apply(self._parts_of(sandbox_id, sandbox))
            except BaseException:
                self._give_back("", added)
                self._add(sandbox_id, owner, old)
                with suppress(ShoalError):
                    await self._apply(self._parts_of(sandbox_id, sandbox))
                raise
            return sandbox

    async def disconnect(self, sandbox_id: str, network_id: str) -> Sandbox:
        """Unplug a sandbox from one network; with the last of the swarm's, from docker_gwbridge as well."""
        async with self._lock:
            old = self._sandbox(sandbox_id)
            leaves = {network_id}
            if not any(e.network_id not in {*self._node.bridges, network_id} for e in old.endpoints):
                leaves |= {self._gateway_bridge or ""} if network_id not in self._node.bridges else set()
            sandbox = _with(old, [e for e in old.endpoints if e.network_id not in leaves])
            self._add(sandbox_id, self._owners[sandbox_id], sandbox)
            try:
                await self._apply(self._parts_of(sandbox_id, old))
            finally:
                self._give_back("", (e for e in old.endpoints if e.network_id in leaves))
            return sandbox

    async def unplug(self, sandbox_id: str) -> None:
        """Remove a sandbox with its namespace; one that is not there is no error."""
        async with self._lock:
            sandbox = self._sandboxes.get(sandbox_id)
            if sandbox is None:
                return
            self._drop(sandbox_id)
            try:
                await self._apply(self._parts_of(sandbox_id, sandbox))
            finally:
                # What the kernel has not let go of yet, the next look at it removes.
                self._give_back(sandbox_id, sandbox.endpoints)

    async def set_cluster(self, cluster: ClusterNetworks) -> None:
        """What the swarm's networks are from now on; only what differs is touched."""
        async with self._lock:
            old, self._cluster = self._cluster, cluster
            self._node = replace(self._node, services=cluster.services, remotes=cluster.remotes, mesh=cluster.mesh)
            mesh_ports = cluster.mesh.ports if cluster.mesh else ()
            self.host_ports.of_mesh = {(port.protocol, port.published) for port in mesh_ports}
            changed = set(self._concerned(old, cluster))
            changed |= self._ingress_sandbox(cluster)
            self._node = replace(self._node, overlays=self._overlays_in_use())
            if changed:
                await self._apply(sorted(changed))
        await self._cut(flows.lost(old.backends, cluster.backends))

    async def _cut(self, lost: Mapping[str, flows.Lost]) -> None:
        """Cut the connections that lead to endpoints that are gone, and move datagrams that lead to withdrawn ones."""
        for network_id, addresses in lost.items():
            there = [netns.BASE / s.netns for s in self._sandboxes.values() if _is_on(s, network_id)]
            for backends, datagrams_only in ((addresses.gone, False), (addresses.withdrawn, True)):
                if not backends or not there:
                    continue
                try:
                    await asyncio.to_thread(flows.cut, there, backends, datagrams_only=datagrams_only)
                except ShoalError as error:
                    _log.warning("connections to endpoints that are gone cannot be cut: %s", error)

    async def applied(self) -> None:
        """Return once the kernel has what was wanted when this was called, or has refused it."""
        async with self._lock:
            return

    async def settle(self) -> None:
        """Return once the kernel has really removed what was unplugged."""
        await self._reconciler.settle()

    async def description(self) -> NodeNetwork:
        """What is wanted at the moment."""
        return self._node

    def _concerned(self, old: ClusterNetworks, new: ClusterNetworks) -> Iterable[str]:
        for network_id in {*old.overlays, *new.overlays, *old.remotes, *new.remotes}:
            if old.overlays.get(network_id) != new.overlays.get(network_id):
                yield overlay_part(network_id)
                yield from self._parts_on(network_id)
            elif old.remotes.get(network_id) != new.remotes.get(network_id):
                yield overlay_part(network_id)
        for network_id in {*old.services, *new.services}:
            if old.services.get(network_id) != new.services.get(network_id):
                yield from self._parts_on(network_id)
        if old.mesh != new.mesh:
            yield HOST_PART
            yield sandbox_part(INGRESS_SANDBOX)
            if (old.mesh.routers if old.mesh else None) != (new.mesh.routers if new.mesh else None):
                yield from (sandbox_part(sandbox_id) for sandbox_id in self._mesh_sandboxes)

    def _parts_on(self, network_id: str) -> Iterable[str]:
        for sandbox_id, sandbox in self._sandboxes.items():
            if _is_on(sandbox, network_id):
                yield sandbox_part(sandbox_id)

    def _ingress_sandbox(self, cluster: ClusterNetworks) -> set[str]:
        """Make the ingress sandbox what the cluster says, and name the parts that this touches."""
        old = self._sandboxes.get(INGRESS_SANDBOX)
        wanted = cluster.ingress_addresses if cluster.mesh and self._gateway_bridge else ()
        had = tuple(old.endpoints[0].addresses) if old else ()
        if had == wanted:
            return set()
        parts: set[str] = {HOST_PART, sandbox_part(INGRESS_SANDBOX)}
        if old is not None:
            parts |= set(self._parts_of(INGRESS_SANDBOX, old))
            self._drop(INGRESS_SANDBOX)
            self._give_back(INGRESS_SANDBOX, old.endpoints)
        if wanted and cluster.mesh and self._gateway_bridge:
            inside = self._endpoint(Want(cluster.mesh.network_id, wanted), "eth0")
            outside = self._endpoint(Want(self._gateway_bridge), "eth1")
            sandbox = Sandbox(netns=INGRESS_NETNS, endpoints=[inside, outside])
            self._add(INGRESS_SANDBOX, "ingress sandbox", sandbox)
            parts |= set(self._parts_of(INGRESS_SANDBOX, sandbox))
        return parts

    def _sandbox(self, sandbox_id: str) -> Sandbox:
        found = self._sandboxes.get(sandbox_id)
        if found is None:
            raise NotFound(f"sandbox {sandbox_id} not found")
        return found

    def _endpoint(self, want: Want, interface: str) -> Endpoint:
        overlay = self._cluster.overlays.get(want.network_id)
        bridge = self._node.bridges.get(want.network_id)
        if overlay is None and bridge is None:
            raise NotFound(f"network {want.network_id} not found")
        if overlay is not None:
            addresses = list(want.addresses)
            if not addresses:
                raise FailedPrecondition(f"network {overlay.name} has given this container no address yet")
            gateways: list[str] = []
        else:
            assert bridge is not None
            addresses = self._allocate(want)
            gateways = [str(ipaddress.ip_interface(g).ip) for g in bridge.gateways] if not bridge.internal else []
        return Endpoint(
            network_id=want.network_id,
            network_name=overlay.name if overlay else bridge.name if bridge else "",
            endpoint_id=container_id(),
            interface=interface,
            addresses=addresses,
            mac=want.mac or mac_of(addresses[0]),
            gateways=gateways,
            port=self._hub_port(want.network_id) if overlay else 0,
            aliases=list(want.aliases),
        )

    def _allocate(self, want: Want) -> list[str]:
        """An address of each pool; all or none."""
        got: list[tuple[Pool, IPv4Address | IPv6Address]] = []
        try:
            for pool in self._pools[want.network_id]:
                asked = [a.ip for a in map(ipaddress.ip_interface, want.addresses) if a.version == pool.subnet.version]
                if asked:
                    pool.take(asked[0])
                got.append((pool, asked[0] if asked else pool.allocate()))
        except ShoalError:
            for pool, address in got:
                pool.release(address)
            raise
        return [f"{address}/{pool.subnet.prefixlen}" for pool, address in got]

    def _hub_port(self, network_id: str) -> int:
        taken = {e.port for s in self._sandboxes.values() for e in s.endpoints if e.network_id == network_id}
        return next(number for number in range(len(taken) + 1) if number not in taken)

    def _give_back(self, sandbox_id: str, endpoints: Iterable[Endpoint]) -> None:
        for endpoint in endpoints:
            for pool in self._pools.get(endpoint.network_id, ()):
                for address in endpoint.addresses:
                    if (ip := ipaddress.ip_interface(address).ip) in pool.subnet:
                        pool.release(ip)
        if sandbox_id:
            self.host_ports.release(sandbox_id)

    def _add(self, sandbox_id: str, owner: str, sandbox: Sandbox) -> None:
        self._sandboxes[sandbox_id] = sandbox
        self._owners[sandbox_id] = owner
        if sandbox.uses_mesh:
            self._mesh_sandboxes.add(sandbox_id)
        plugged = NodeSandbox(
            sandbox_id=sandbox_id,
            netns=sandbox.netns,
            owner=owner,
            endpoints=tuple(_plugged(e) for e in sandbox.endpoints),
            publications=tuple(_publications(sandbox)),
            on_mesh=sandbox.uses_mesh,
            dns=(sandbox.dns_port, sandbox.dns_port) if sandbox.dns_port else None,
        )
        self._node = replace(self._node, sandboxes={**self._node.sandboxes, sandbox_id: plugged})
        self._node = replace(self._node, overlays=self._overlays_in_use())

    def _drop(self, sandbox_id: str) -> None:
        del self._sandboxes[sandbox_id]
        del self._owners[sandbox_id]
        self._mesh_sandboxes.discard(sandbox_id)
        self._node = replace(
            self._node, sandboxes={key: s for key, s in self._node.sandboxes.items() if key != sandbox_id}
        )
        self._node = replace(self._node, overlays=self._overlays_in_use())

    def _overlays_in_use(self) -> dict[str, OverlayNetwork]:
        """Those of the swarm that sandboxes here are on; one that the swarm has removed stays until the last is off."""
        used = {endpoint.network_id for sandbox in self._sandboxes.values() for endpoint in sandbox.endpoints}
        known = {**self._node.overlays, **self._cluster.overlays}
        return {key: overlay for key, overlay in known.items() if key in used}

    def _parts_of(self, sandbox_id: str, sandbox: Sandbox) -> list[str]:
        parts = [sandbox_part(sandbox_id)]
        parts += [overlay_part(e.network_id) for e in sandbox.endpoints if e.network_id not in self._node.bridges]
        if sandbox.ports or sandbox_id == INGRESS_SANDBOX:
            parts.append(HOST_PART)
        return parts

    async def _apply(self, changed: Iterable[str]) -> None:
        if self._started:
            await self._reconciler.apply(self._node, changed)


def _pool(subnet: str | None, range_: str | None, gateway: str | None, auxiliary: Mapping[str, str] | None) -> Pool:
    pool = Pool(ipaddress.ip_network(subnet or ""), ipaddress.ip_network(range_) if range_ else None)
    for reserved in (gateway, *(auxiliary or {}).values()):
        if reserved:
            _take_quietly(pool, ipaddress.ip_interface(reserved).ip)
    return pool


def _take_quietly(pool: Pool, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    try:
        pool.take(address)
    except Conflict:
        return


def _gateway(subnet: str | None, gateway: str | None) -> str:
    if not subnet or not gateway:
        raise InvalidArgument("a bridge network needs a subnet and a gateway")
    return f"{gateway}/{ipaddress.ip_network(subnet).prefixlen}"


def _with(sandbox: Sandbox, endpoints: list[Endpoint]) -> Sandbox:
    return replace_struct(sandbox, endpoints=endpoints)


def _plugged(endpoint: Endpoint) -> PlugIn:
    return PlugIn(
        network_id=endpoint.network_id,
        interface=endpoint.interface,
        addresses=tuple(endpoint.addresses),
        mac=endpoint.mac,
        gateways=tuple(endpoint.gateways),
        hub_port=endpoint.port,
    )


def _publications(sandbox: Sandbox) -> Iterable[Publication]:
    """Published ports lead to the sandbox's address on the bridge that is its way out."""
    outside = [endpoint for endpoint in sandbox.endpoints if endpoint.gateways]
    if not outside:
        return
    target = str(ipaddress.ip_interface(outside[0].addresses[0]).ip)
    for port in sandbox.ports:
        host_ip = port.host_ip if port.host_ip not in ("", "0.0.0.0", "::") else None
        yield Publication(port.protocol, port.host_port, target, port.container_port, host_ip)


def _is_on(sandbox: Sandbox, network_id: str) -> bool:
    return any(endpoint.network_id == network_id for endpoint in sandbox.endpoints)
