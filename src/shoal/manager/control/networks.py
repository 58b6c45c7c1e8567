"""Creating, listing and removing the swarm's networks."""

import ipaddress
from collections.abc import Mapping, Sequence

from shoal.errors import Conflict, Forbidden, InvalidArgument, NotFound, Unimplemented
from shoal.manager.control.names import validate_name
from shoal.manager.control.refusals import exists, in_use, invalid
from shoal.manager.control.resolve import resolve
from shoal.objects.ids import NetworkId, swarm_id
from shoal.objects.ipam import Net
from shoal.objects.network import MTU_OPTION, VXLAN_IDS, IPAMConfig, Network, NetworkSpec
from shoal.objects.service import Service
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task
from shoal.store.store import Store
from shoal.store.tx import Tx, View

# Networks that every node has.
_EVERYWHERE = ("bridge", "host", "none")


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
            if spec.ingress and (present := next((n for n in tx.all(Network) if n.is_ingress), None)):
                raise exists(f"ingress network ({present.id}) is already present")
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
    if spec.name in _EVERYWHERE:
        raise Conflict(f"network with name {spec.name} already exists")
    if spec.name == "default":
        raise Forbidden("operation is not permitted on predefined default network ")
    validate_name(spec.name)
    if spec.ingress and spec.attachable:
        raise invalid("ingress network cannot be attachable")
    if "encrypted" in ((spec.driver_configuration.options if spec.driver_configuration else None) or {}):
        # Refused rather than taken and left in the clear.
        raise Unimplemented("encrypted overlay networks are not supported yet: create it without --opt encrypted")
    driver = (spec.driver_configuration.name if spec.driver_configuration else None) or "overlay"
    if driver != "overlay":
        if driver not in ("bridge", "host", "null", "macvlan", "ipvlan"):
            raise NotFound(f'plugin "{driver}" not found')
        raise invalid(f"network driver {driver} cannot be used in swarm scope")
    _validate_options((spec.driver_configuration.options if spec.driver_configuration else None) or {})
    for config in _asked(spec):
        _validate_pool(config)


def _validate_options(options: Mapping[str, str]) -> None:
    """Those that the allocator and the nodes read as numbers."""
    for key, most in ((VXLAN_IDS, (1 << 24) - 1), (MTU_OPTION, 65535)):
        for text in options.get(key, "").split(",") if key in options else ():
            if not (text.isascii() and text.isdecimal() and len(text) <= 8 and int(text) <= most):
                raise invalid(f"invalid value for {key}: {options[key]!r}: a number up to {most} is needed")


def _validate_pool(config: IPAMConfig) -> None:
    if config == IPAMConfig():
        return
    text = config.subnet or ""
    if (subnet := _network(text)) is None:
        raise InvalidArgument(f"Invalid subnet {text} : invalid CIDR address: {text}")
    if config.range:
        if (range_ := _network(config.range)) is None:
            raise _ipam(f"invalid range {config.range}")
        if not _within(range_, subnet):
            raise _ipam(f"subnet {text} does not contain range {config.range}")
    addresses = [("gateway", config.gateway)] if config.gateway else []
    addresses += [("auxiliary address", address) for address in (config.auxiliary_addresses or {}).values()]
    for what, address in addresses:
        try:
            inside = ipaddress.ip_address(address) in subnet
        except ValueError as error:
            raise _ipam(f"invalid {what} {address}") from error
        if not inside:
            raise _ipam(f"subnet {text} does not contain {what} {address}")


def _ipam(text: str) -> InvalidArgument:
    return invalid(f"ipam configuration: {text}")


def _network(text: str) -> Net | None:
    """The network that a text means; ``None`` for one that means none. An address alone is no network, as in Go."""
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        return None


def _within(inner: Net, outer: Net) -> bool:
    return inner.version == outer.version and inner[0] in outer and inner[-1] in outer


def _check_overlap(view: View, spec: NetworkSpec) -> None:
    """A subnet that the user chose must not overlap one that is in use: the kernel could not tell them apart."""
    taken = [
        (network, other)
        for network in view.all(Network)
        for pool in network.pools or _asked(network.spec)
        if (other := _network(pool.subnet or "")) is not None
    ]
    for config in _asked(spec):
        subnet = _network(config.subnet or "")
        for network, other in taken:
            if subnet is not None and subnet.version == other.version and subnet.overlaps(other):
                raise invalid(
                    f"could not allocate the network: pool {subnet} overlaps with {other} of network {network.name}"
                )


def _asked(spec: NetworkSpec) -> Sequence[IPAMConfig]:
    return (spec.ipam_options.configs if spec.ipam_options else None) or []


def _check_unused(view: View, network: Network) -> None:
    for service in view.all(Service):
        if any(config.target in (network.id, network.name) for config in service.spec.attachments):
            raise in_use(f"network {network.id} is in use by service {service.id}")
        if network.is_ingress and any(port.is_ingress for port in service.endpoint.ports or []):
            raise in_use(f"ingress network cannot be removed because service {service.id} depends on it")
    for task in view.all(Task):
        if is_terminal(task.state) or task.service_id and view.get(Service, task.service_id) is None:
            continue
        if task.state < TaskState.ASSIGNED and task.desired > TaskState.RUNNING:
            continue
        if any(a.network.id == network.id for a in task.networks_attachments or []):
            raise in_use(f"network {network.id} is in use by task {task.id}")
