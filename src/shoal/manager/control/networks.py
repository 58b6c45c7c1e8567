"""Creating, listing and removing the swarm's networks."""

import ipaddress

from shoal.errors import Conflict, Forbidden, InvalidArgument
from shoal.manager.control.refusals import in_use, invalid
from shoal.manager.control.resolve import resolve
from shoal.objects.ids import NetworkId, swarm_id
from shoal.objects.network import Network, NetworkSpec
from shoal.objects.service import Service
from shoal.objects.state import is_terminal
from shoal.objects.task import Task
from shoal.store.store import Store
from shoal.store.tx import Tx, View

_RESERVED = ("bridge", "host", "none", "default")


class NetworkControl:
    """The API's hand on swarm networks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self) -> list[Network]:
        """Every network of the swarm."""
        return self._store.view.all(Network)

    def get(self, text: str) -> Network:
        """The network meant by an id, a name or the beginning of an id. Raises NotFound or InvalidArgument."""
        return resolve(self._store.view, Network, text)

    async def create(self, spec: NetworkSpec) -> Network:
        """A new network; its addresses come from the allocator a moment later."""
        _validate(spec)

        def change(tx: Tx) -> Network:
            if tx.by_name(Network, spec.name) is not None:
                raise Conflict(f"network with name {spec.name} already exists")
            if spec.ingress and any(network.is_ingress for network in tx.all(Network)):
                raise Conflict("rpc error: code = AlreadyExists desc = ingress network (ingress) is already present")
            _check_overlap(tx, spec)
            network = Network(id=NetworkId(swarm_id()), spec=spec)
            tx.create(network)
            return network

        return await self._store.update(change)

    async def remove(self, text: str) -> Network:
        """Remove a network that no service and no task uses."""

        def change(tx: Tx) -> Network:
            network = resolve(tx, Network, text)
            _check_unused(tx, network)
            tx.delete(network)
            return network

        return await self._store.update(change)


def _validate(spec: NetworkSpec) -> None:
    if not spec.name:
        raise InvalidArgument("rpc error: code = InvalidArgument desc = meta: name must be provided")
    if spec.name in _RESERVED:
        raise Forbidden(f"operation is not permitted on predefined {spec.name} network")
    if spec.ingress and spec.attachable:
        raise invalid("ingress network cannot be attachable")
    driver = (spec.driver_configuration.name if spec.driver_configuration else None) or "overlay"
    if driver != "overlay":
        raise invalid(f"network driver {driver} cannot be used in swarm scope")
    for config in (spec.ipam_options.configs if spec.ipam_options else None) or []:
        subnet = _network(config.subnet, "subnet")
        if config.range and subnet and not _within(_network(config.range, "IP range"), subnet):
            raise invalid(f"ipRange {config.range} is not within subnet {config.subnet}")
        if config.gateway:
            try:
                gateway = ipaddress.ip_address(config.gateway)
            except ValueError as error:
                raise invalid(f"invalid gateway address {config.gateway}") from error
            if subnet and gateway not in subnet:
                raise invalid(f"no matching subnet for gateway {config.gateway}")


def _network(text: str | None, what: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    if not text:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise invalid(f"ipam configuration: invalid {what} {text}: invalid CIDR address: {text}") from error


def _within(
    inner: ipaddress.IPv4Network | ipaddress.IPv6Network | None, outer: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    return inner is None or (inner.version == outer.version and outer.supernet_of(inner))  # type: ignore[arg-type]


def _check_overlap(view: View, spec: NetworkSpec) -> None:
    """A subnet that the user chose must not overlap one that is in use: the kernel could not tell them apart."""
    taken = [
        (network, ipaddress.ip_network(pool.subnet))
        for network in view.all(Network)
        for pool in network.pools
        if pool.subnet
    ]
    for config in (spec.ipam_options.configs if spec.ipam_options else None) or []:
        subnet = _network(config.subnet, "subnet")
        for network, other in taken:
            if subnet is not None and subnet.version == other.version and subnet.overlaps(other):
                raise invalid(
                    f"could not allocate the network: pool {subnet} overlaps with {other} of network {network.name}"
                )


def _check_unused(view: View, network: Network) -> None:
    for service in view.all(Service):
        if any(config.target in (network.id, network.name) for config in service.spec.attachments):
            raise in_use(f"network {network.id} is in use by service {service.id}")
        if network.is_ingress and any(port.is_ingress for port in service.endpoint.ports or []):
            raise in_use(f"ingress network cannot be removed because service {service.id} depends on it")
    for task in view.all(Task):
        if is_terminal(task.state) or task.service_id and view.get(Service, task.service_id) is None:
            continue
        if any(a.network.id == network.id for a in task.networks_attachments or []):
            raise in_use(f"network {network.id} is in use by task {task.id}")
