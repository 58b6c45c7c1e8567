"""The allocator's station: whatever in the store lacks an address gets one, in the order of its dependencies.

Networks first, then the nodes' places on the ingress network (so that the first ingress sandbox has the network's
first address), then services, then tasks. What cannot be had yet leaves the object as it is, with the reason in the
status of the tasks that wait for it, and is tried again when something is given back.
"""

import ipaddress
import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from shoal.errors import FailedPrecondition, NotFound, ShoalError
from shoal.manager.allocator import ports
from shoal.manager.allocator.addresses import NetworkAddresses
from shoal.manager.allocator.networks import allocated, pools_of
from shoal.objects.base import timestamp
from shoal.objects.cluster import Cluster
from shoal.objects.ids import NetworkId
from shoal.objects.network import NODE_NETWORKS, Network, NetworkAttachment, NetworkAttachmentConfig
from shoal.objects.node import Node
from shoal.objects.service import Endpoint, EndpointSpec, Service, VirtualIP
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus
from shoal.store.tx import Action, Event, Tx, View

_log = logging.getLogger(__name__)
# Tasks changed in one transaction: more would keep the event loop from everything else for too long.
_BATCH = 1000


class Allocator:
    """See :class:`shoal.manager.loop.Station`."""

    def __init__(self, view: View, in_use: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()) -> None:
        """``in_use`` are networks that the managers' machines have routes to: no subnet may overlap one."""
        self._view = view
        self._in_use = list(in_use)
        self._addresses: dict[str, NetworkAddresses] = {}
        self._tasks: dict[str, None] = {}
        self._lacking: dict[str, str] = {}
        self._everything = True

    def reset(self) -> None:
        self._everything = True
        self._tasks = {}
        self._addresses = {
            network.id: NetworkAddresses(network) for network in self._view.all(Network) if network.pools
        }
        for node in self._view.all(Node):
            self._mark_all([node.attachment] if node.attachment else [])
        for service in self._view.all(Service):
            for vip in service.endpoint.virtual_ips or []:
                self._mark(vip.network_id, [vip.addr] if vip.addr else [])
        for task in self._view.all(Task):
            if _holds(task):
                self._mark_all(task.networks_attachments or [])

    def _mark_all(self, attachments: Sequence[NetworkAttachment]) -> None:
        for attachment in attachments:
            self._mark(attachment.network.id, attachment.addresses or [])

    def _mark(self, network_id: str, addresses: Sequence[str]) -> None:
        if (pool := self._addresses.get(network_id)) is not None:
            pool.mark(addresses)

    def note(self, event: Event) -> bool:
        match event.obj:
            case Task() as task:
                return self._note_task(task, event)
            case Service() as service if event.action is Action.DELETE:
                for vip in service.endpoint.virtual_ips or []:
                    self._release(vip.network_id, [vip.addr] if vip.addr else [])
            case Service() as service if isinstance(event.old, Service) and service.spec == event.old.spec:
                return False
            case Network(id=network_id) if event.action is Action.DELETE:
                self._addresses.pop(network_id, None)
            case Node() as node if event.action is Action.DELETE:
                if node.attachment:
                    self._release(node.attachment.network.id, node.attachment.addresses or [])
            case Node() as node if node.attachment is not None:
                return False
            case Service() | Network() | Node():
                pass
            case _:
                return False
        self._everything = True
        return True

    def _note_task(self, task: Task, event: Event) -> bool:
        had = isinstance(event.old, Task) and _holds(event.old)
        has = event.action is not Action.DELETE and _holds(task)
        if had and not has:
            self._give_back(task.networks_attachments or [])
            self._everything |= bool(self._lacking)
            return self._everything or bool(self._tasks)
        if has and task.state == TaskState.NEW and task.id not in self._tasks:
            self._tasks[task.id] = None
            return True
        return False

    def _release(self, network_id: str, addresses: Sequence[str]) -> None:
        if (pool := self._addresses.get(network_id)) is not None:
            pool.release(addresses)

    def step(self, tx: Tx, now: datetime) -> datetime | None:
        if self._everything:
            self._lacking = {}
            self._everything = False
            # Subnets that users chose come before those that we choose, so that ours keep out of their way.
            for network in sorted(tx.all(Network), key=lambda n: (not n.is_ingress, not _chosen(n))):
                self._try(network.id, lambda n=network: self._network(tx, n))  # type: ignore[misc]
            ingress = _ingress(tx)
            for node in tx.all(Node):
                self._try(node.id, lambda n=node: self._node(tx, n, ingress))  # type: ignore[misc]
            taken = ports.Taken(tx.all(Service))
            for service in tx.all(Service):
                self._try(service.id, lambda s=service: self._service(tx, s, taken))  # type: ignore[misc]
            fresh = sorted((t for t in tx.all(Task) if t.state == TaskState.NEW), key=_order)
            self._tasks.update(dict.fromkeys(t.id for t in fresh))
        return self._allocate_tasks(tx, now)

    def _try(self, key: str, allocate: Callable[[], None]) -> None:
        """Allocate one object; what it lacks is told to the tasks that need it, and no other object is held up."""
        try:
            allocate()
        except ShoalError as error:
            _log.warning("%s cannot be allocated yet: %s", key, error)
            self._lacking[key] = str(error)

    def _allocate_tasks(self, tx: Tx, now: datetime) -> datetime | None:
        """Allocate as many tasks as one transaction should change; return ``now`` if there are more."""
        ingress = _ingress(tx)
        refused: dict[str, str] = {}
        changed = 0
        for task_id in list(self._tasks):
            if changed >= _BATCH:
                return now
            task = tx.get(Task, task_id)
            if task is None or task.state != TaskState.NEW or not _holds(task):
                del self._tasks[task_id]
                continue
            # What one task of a service is refused, the others are refused as well.
            why = refused.get(task.service_id or task.id)
            try:
                if why is None:
                    self._task(tx, task, ingress, now)
                    del self._tasks[task_id]
                    changed += 1
            except ShoalError as error:
                refused[task.service_id or task.id] = why = str(error)
            if why is not None and task.status.err != why:
                tx.update(replace(task, status=replace(task.status, timestamp=timestamp(now), err=why)))
                changed += 1
        return None

    def _network(self, tx: Tx, network: Network) -> None:
        if network.driver_state is None:
            cluster = next(iter(tx.all(Cluster)), None)
            network = allocated(network, tx.all(Network), pools_of(cluster), self._in_use)
            tx.update(network)
        if network.id not in self._addresses and network.pools:
            self._addresses[network.id] = NetworkAddresses(network)

    def _node(self, tx: Tx, node: Node, ingress: Network | None) -> None:
        if ingress is not None and ingress.id not in self._addresses:
            ingress = None
        has = node.attachment.network.id if node.attachment else None
        if has != (ingress.id if ingress else None):
            tx.update(replace(node, attachment=self._attach(ingress, None) if ingress else None))

    def _service(self, tx: Tx, service: Service, taken: ports.Taken) -> None:
        spec = service.spec.endpoint_spec or EndpointSpec()
        published = ports.allocate(spec.ports or [], service.endpoint.ports or [], taken.by_others(service))
        vips = self._vips(tx, service, spec, any(p.is_ingress for p in published))
        endpoint = Endpoint(
            spec=replace(spec, mode=spec.mode or "vip"), ports=published or None, virtual_ips=vips or None
        )
        # One that needs nothing stays as it is: a client may go on with the version that it got for its creation.
        needs_nothing = service.endpoint == Endpoint() and endpoint == Endpoint(spec=EndpointSpec(mode="vip"))
        if endpoint != service.endpoint and not needs_nothing:
            service = replace(service, endpoint=endpoint)
            tx.update(service)
            taken.add(service)

    def _vips(self, tx: Tx, service: Service, spec: EndpointSpec, mesh: bool) -> list[VirtualIP]:
        wanted: dict[str, Network] = {}
        if mesh and (ingress := _ingress(tx)):
            wanted[ingress.id] = ingress
        if spec.mode != "dnsrr":
            found = (find_network(tx, config.target) for config in service.spec.attachments)
            wanted.update({network.id: network for network in found if network is not None})
        had: dict[str, VirtualIP] = {vip.network_id: vip for vip in service.endpoint.virtual_ips or []}
        fresh: list[VirtualIP] = []
        try:
            for network_id in wanted:
                if network_id not in had and network_id in self._addresses:
                    fresh.append(self._vip(network_id))
        except ShoalError:
            self._release_vips(fresh)
            raise
        self._release_vips(vip for vip in had.values() if vip.network_id not in wanted)
        had.update({vip.network_id: vip for vip in fresh})
        return [had[network_id] for network_id in wanted if network_id in had]

    def _vip(self, network_id: str) -> VirtualIP:
        first, *rest = self._addresses[network_id].allocate()
        self._release(network_id, rest)
        return VirtualIP(network_id=NetworkId(network_id), addr=first)

    def _release_vips(self, vips: Iterable[VirtualIP]) -> None:
        for vip in vips:
            self._release(vip.network_id, [vip.addr] if vip.addr else [])

    def _attach(self, network: Network, config: NetworkAttachmentConfig | None) -> NetworkAttachment:
        pool = self._addresses.get(network.id)
        addresses = pool.allocate() if pool is not None else None
        return NetworkAttachment(network=network, addresses=addresses, aliases=config.aliases if config else None)

    def _task(self, tx: Tx, task: Task, ingress: Network | None, now: datetime) -> None:
        """Move a task from NEW to PENDING with all it needs. Raises ShoalError, with the reason, if it has to wait."""
        service = tx.get(Service, task.service_id) if task.service_id else None
        if task.service_id and service is None:
            return
        endpoint = service.endpoint if service else task.endpoint
        if service is not None and (why := self._lacking.get(service.id)):
            raise FailedPrecondition(why)
        attachments: list[NetworkAttachment] = []
        try:
            if any(port.is_ingress for port in (endpoint.ports if endpoint else None) or []):
                attachments.append(self._attach(self._allocated(ingress, "ingress"), None))
            for config in task.spec.networks or (service.spec.networks if service else None) or []:
                if config.target in NODE_NETWORKS:
                    continue
                network = self._allocated(find_network(tx, config.target), config.target)
                attachments.append(self._attach(network, config))
        except ShoalError:
            self._give_back(attachments)
            raise
        status = TaskStatus(timestamp=timestamp(now), state=TaskState.PENDING.word, message="pending task scheduling")
        tx.update(replace(task, networks_attachments=attachments or None, endpoint=endpoint, status=status))

    def _allocated(self, network: Network | None, called: str) -> Network:
        """The network, once it is ready to give addresses. Raises NotFound or FailedPrecondition until then."""
        if network is None:
            raise NotFound(f"network {called} not found")
        if network.driver_state is None:
            raise FailedPrecondition(self._lacking.get(network.id, f"network {network.name} is not allocated yet"))
        return network

    def _give_back(self, attachments: Sequence[NetworkAttachment]) -> None:
        for attachment in attachments:
            self._release(attachment.network.id, attachment.addresses or [])


def _holds(task: Task) -> bool:
    """Whether the addresses that a task was given are its own: until it ends, or is called off before any node had
    it, since nothing will ever report the end of such a task."""
    called_off = task.state < TaskState.ASSIGNED and task.desired > TaskState.RUNNING
    return not is_terminal(task.state) and not called_off


def _ingress(view: View) -> Network | None:
    return next((network for network in view.all(Network) if network.is_ingress), None)


def _chosen(network: Network) -> bool:
    """Whether the user chose a subnet."""
    configs = network.spec.ipam_options.configs if network.spec.ipam_options else None
    return any(config.subnet for config in configs or [])


def find_network(view: View, target: str) -> Network | None:
    """A network by the id or the name that a spec targets."""
    return view.get(Network, target) or view.by_name(Network, target)


def _order(task: Task) -> tuple[str, int, str]:
    return task.service_id or "", task.slot or 0, task.id
