"""The node's own networks and the swarm's, as the one list that the API has."""

import ipaddress
from collections.abc import Collection, Mapping, Sequence

from shoal.aio.clock import Clock
from shoal.daemon.swarm import Swarm
from shoal.engine.attachments import Attachments
from shoal.engine.engine import Engine
from shoal.engine.filters import allows_labels, check, until
from shoal.engine.local_networks import PREDEFINED
from shoal.engine.networks import GATEWAY_BRIDGE
from shoal.errors import Conflict, Forbidden, NotFound, ShoalError
from shoal.network.node import INGRESS_SANDBOX
from shoal.objects.base import ZERO_TIME, parse_time
from shoal.objects.container import Endpoint, EndpointSettings
from shoal.objects.local_network import LocalNetwork
from shoal.objects.meta import Driver
from shoal.objects.network import NODE_NETWORKS, IPAMOptions, Network, NetworkSpec
from shoal.wire.docker.networks import IPAM, NetworkAnswer, NetworkContainer, NetworkCreate, NetworkCreated, PeerInfo


class Networks:
    """See :class:`shoal.api.backends.NetworkBackend`."""

    def __init__(self, *, engine: Engine, attachments: Attachments, swarm: Swarm, clock: Clock) -> None:
        self._clock = clock
        self._engine = engine
        self._attachments = attachments
        self._swarm = swarm

    async def list(self) -> Sequence[NetworkAnswer]:
        local = [_of_local(network) for network in self._engine.local_networks.all()]
        return local + [_of_network(network) for network in self._swarm.networks()]

    async def in_use(self) -> Collection[str]:
        return {
            settings.network_id
            for container in self._engine.records.all()
            for settings in container.networks.values()
            if settings.network_id
        }

    async def get(self, ref: str, *, scope: str, verbose: bool) -> NetworkAnswer:
        if scope == "swarm" and ref in NODE_NETWORKS and self._swarm.manager is not None:
            # ``docker service create --network host`` looks for it among the swarm's: it is each node's own.
            return NetworkAnswer(name=ref, id=ref, created=ZERO_TIME, scope="swarm", driver=ref)
        local, network = self._find(ref, scope)
        if local is not None:
            return _with_members(_of_local(local), self._attachments.members(local.id))
        assert network is not None
        answer = _with_members(_of_network(network), self._attachments.members(network.id))
        peers = self._engine.networks.cluster.peers.get(network.id, ())
        if network.id in {e.network_id for s in self._engine.networks.sandboxes.values() for e in s.endpoints}:
            return _replace(answer, peers=[PeerInfo(name=peer.name, ip=peer.address) for peer in peers])
        # As under Docker: a node that has nothing on the network shows no containers of it.
        return _replace(answer, containers=None)

    def _find(self, ref: str, scope: str = "") -> tuple[LocalNetwork | None, Network | None]:
        """Exact matches go before beginnings of ids, and the node's own networks before the swarm's."""
        swarm = self._swarm.networks() if scope != "local" else []
        local = self._engine.local_networks.all() if scope != "swarm" else []
        for own in local:
            if ref in (own.id, own.name):
                return own, None
        for other in swarm:
            if ref in (other.id, other.name):
                return None, other
        if scope != "swarm":
            try:
                return self._engine.local_networks.get(ref), None
            except NotFound:
                pass
        matches = [network for network in swarm if ref and network.id.startswith(ref)]
        if len(matches) != 1:
            raise NotFound(f"network {ref} not found")
        return None, matches[0]

    async def create(self, request: NetworkCreate) -> NetworkCreated:
        if request.driver == "overlay" or request.scope == "swarm" or request.ingress:
            if any(network.name == request.name for network in self._engine.local_networks.all()):
                raise _taken(request.name)
            control = self._swarm.control()
            made = await control.networks.create(_spec(request))
            return NetworkCreated(id=made.id)
        if any(network.name == request.name for network in self._swarm.networks()):
            raise Conflict(f"network with name {request.name} already exists")
        local = await self._engine.local_networks.create(
            LocalNetwork(
                id="",
                name=request.name,
                driver=request.driver,
                created="",
                pools=(request.ipam.config if request.ipam else None) or [],
                internal=request.internal,
                attachable=request.attachable,
                enable_ipv6=bool(request.enable_ipv6),
                options=request.options or {},
                labels=request.labels or {},
                ipam_options=request.ipam.options if request.ipam else None,
            )
        )
        return NetworkCreated(id=local.id)

    async def remove(self, ref: str) -> None:
        local, network = self._find(ref)
        if local is not None:
            members = {key: name for key, (name, _) in self._attachments.members(local.id).items()}
            await self._engine.local_networks.remove(local.id, members=members)
            return
        assert network is not None
        await self._swarm.control().networks.remove(network.id)

    async def connect(self, ref: str, container: str, settings: EndpointSettings | None) -> None:
        self._engine.containers.get(container)
        network_id, name = self._attachable(ref)
        await self._attachments.connect(network_id, name, container, settings)

    async def disconnect(self, ref: str, container: str, *, force: bool) -> None:
        network_id, name = self._attachable(ref)
        await self._attachments.disconnect(network_id, name, container, force=force)

    def _attachable(self, ref: str) -> tuple[str, str]:
        try:
            local, network = self._find(ref)
        except NotFound:
            if (elsewhere := self._swarm.attachable(ref)) is not None:
                return elsewhere
            raise
        if local is not None:
            return local.id, local.name
        assert network is not None
        if not network.spec.attachable:
            raise Forbidden(f"rpc error: code = PermissionDenied desc = network {network.name} not manually attachable")
        return network.id, network.name

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> "Sequence[str]":
        check(filters, "label", "label!", "until")
        before = until(filters, self._clock.now())
        used = await self.in_use()
        removed: dict[str, None] = {}
        for answer in await self.list():
            spared = answer.name in (*PREDEFINED, GATEWAY_BRIDGE) or answer.ingress or answer.id in used
            recent = before is not None and parse_time(answer.created) >= before
            if spared or recent or not allows_labels(filters, answer.labels):
                continue
            try:
                await self.remove(answer.id)
            except ShoalError:
                # Somebody uses it after all; a prune takes what it can get.
                continue
            removed[answer.name] = None
        return tuple(removed)


def _taken(name: str) -> Conflict:
    return Conflict(f"network with name {name} already exists")


def _replace(answer: NetworkAnswer, **changes: object) -> NetworkAnswer:
    values = {name: getattr(answer, name) for name in answer.__struct_fields__}
    return NetworkAnswer(**{**values, **changes})


def _of_local(network: LocalNetwork) -> NetworkAnswer:
    return NetworkAnswer(
        name=network.name,
        id=network.id,
        created=network.created,
        scope="local",
        driver=network.driver,
        enable_ipv6=network.enable_ipv6,
        ipam=IPAM(driver=network.ipam_driver, options=network.ipam_options, config=network.pools),
        internal=network.internal,
        attachable=network.attachable,
        containers={},
        options=network.options,
        labels=network.labels,
    )


def _of_network(network: Network) -> NetworkAnswer:
    spec = network.spec
    return NetworkAnswer(
        name=network.name,
        id=network.id,
        created=network.created_at,
        scope="swarm",
        driver=(network.driver_state.name if network.driver_state else None) or "overlay",
        enable_ipv6=bool(spec.ipv6_enabled),
        ipam=IPAM(config=network.pools),
        internal=bool(spec.internal),
        attachable=bool(spec.attachable),
        ingress=network.is_ingress,
        containers=None,
        options=(network.driver_state.options if network.driver_state else None),
        labels=spec.labels or {},
    )


def _with_members(answer: NetworkAnswer, members: Mapping[str, tuple[str, Endpoint]]) -> NetworkAnswer:
    return _replace(answer, containers={key: _member(answer, key, *found) for key, found in members.items()})


def _member(answer: NetworkAnswer, sandbox_id: str, name: str, endpoint: Endpoint) -> NetworkContainer:
    interfaces = [ipaddress.ip_interface(address) for address in endpoint.addresses]
    if sandbox_id == INGRESS_SANDBOX:
        name = f"{answer.name}-endpoint" if answer.ingress else f"gateway_{INGRESS_SANDBOX}"
    elif answer.name == "docker_gwbridge":
        name = f"gateway_{sandbox_id[:12]}"
    return NetworkContainer(
        name=name,
        endpoint_id=endpoint.endpoint_id,
        mac_address=endpoint.mac,
        ipv4_address=next((str(i) for i in interfaces if i.version == 4), ""),
        ipv6_address=next((str(i) for i in interfaces if i.version == 6), ""),
    )


def _spec(request: NetworkCreate) -> NetworkSpec:
    ipam = request.ipam
    return NetworkSpec(
        name=request.name,
        labels=request.labels or {},
        driver_configuration=Driver(name=request.driver or "overlay", options=request.options or None),
        ipv6_enabled=request.enable_ipv6,
        internal=request.internal or None,
        attachable=request.attachable or None,
        ingress=request.ingress or None,
        ipam_options=IPAMOptions(
            driver=Driver(name=(ipam.driver if ipam else None) or "default", options=ipam.options if ipam else None),
            configs=(ipam.config if ipam else None) or None,
        ),
        scope="swarm",
    )
