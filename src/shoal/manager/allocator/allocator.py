"""The allocator's station: whatever in the store lacks an address gets one, in the order of its dependencies.

Networks first, then the nodes' places on the ingress network (so that the first ingress sandbox has the network's
first address), then services, then tasks. What cannot be had yet leaves the object as it is, with the reason in the
task's status, and is tried again at every later step.
"""

import ipaddress
from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from shoal.errors import ShoalError
from shoal.manager.allocator import ports
from shoal.manager.allocator.addresses import NetworkAddresses
from shoal.manager.allocator.networks import allocated, pools_of
from shoal.objects.base import timestamp
from shoal.objects.cluster import Cluster
from shoal.objects.network import Network, NetworkAttachment, NetworkAttachmentConfig
from shoal.objects.node import Node
from shoal.objects.service import Endpoint, EndpointSpec, Service, VirtualIP
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus
from shoal.store.tx import Action, Event, Tx, View


class Allocator:
    """See :class:`shoal.manager.loop.Station`."""

    def __init__(self, view: View, in_use: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()) -> None:
        """``in_use`` are networks that the managers' machines have routes to: no subnet may overlap one."""
        self._view = view
        self._in_use = list(in_use)
        self._addresses: dict[str, NetworkAddresses] = {}
        self._tasks: set[str] = set()
        self._everything = True

    def reset(self) -> None:
        self._everything = True
        self._addresses = {
            network.id: NetworkAddresses(network) for network in self._view.all(Network) if network.pools
        }
        for node in self._view.all(Node):
            self._mark_all([node.attachment] if node.attachment else [])
        for service in self._view.all(Service):
            for vip in service.endpoint.virtual_ips or []:
                self._mark(vip.network_id, [vip.addr] if vip.addr else [])
        for task in self._view.all(Task):
            if not is_terminal(task.state):
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
            case Service() as service:
                if event.action is Action.DELETE:
                    for vip in service.endpoint.virtual_ips or []:
                        self._release(vip.network_id, [vip.addr] if vip.addr else [])
                self._everything = True
            case Network(id=network_id):
                if event.action is Action.DELETE:
                    self._addresses.pop(network_id, None)
                self._everything = True
            case Node() as node:
                if event.action is Action.DELETE and node.attachment:
                    self._release(node.attachment.network.id, node.attachment.addresses or [])
                if event.action is not Action.UPDATE or node.attachment is None:
                    self._everything = True
            case _:
                return False
        return True

    def _note_task(self, task: Task, event: Event) -> bool:
        had = isinstance(event.old, Task) and not is_terminal(event.old.state)
        has = event.action is not Action.DELETE and not is_terminal(task.state)
        if had and not has:
            self._give_back(task.networks_attachments or [])
            return bool(self._tasks)
        if has and task.state == TaskState.NEW:
            self._tasks.add(task.id)
            return True
        return False

    def _release(self, network_id: str, addresses: Sequence[str]) -> None:
        if (pool := self._addresses.get(network_id)) is not None:
            pool.release(addresses)

    def step(self, tx: Tx, now: datetime) -> None:
        if self._everything:
            for network in tx.all(Network):
                self._network(tx, network)
            self._nodes(tx)
            for service in tx.all(Service):
                self._service(tx, service)
            self._tasks |= {t.id for t in tx.all(Task) if t.state == TaskState.NEW}
            self._everything = False
        waiting: set[str] = set()
        for task_id in sorted(self._tasks, key=lambda key: _order(tx.get(Task, key))):
            task = tx.get(Task, task_id)
            if task is not None and task.state == TaskState.NEW and not self._task(tx, task, now):
                waiting.add(task_id)
        self._tasks = waiting

    def _network(self, tx: Tx, network: Network) -> None:
        if network.driver_state is None:
            cluster = next(iter(tx.all(Cluster)), None)
            network = allocated(network, tx.all(Network), pools_of(cluster), self._in_use)
            tx.update(network)
        if network.id not in self._addresses and network.pools:
            self._addresses[network.id] = NetworkAddresses(network)

    def _nodes(self, tx: Tx) -> None:
        ingress = next((n for n in tx.all(Network) if n.is_ingress and n.id in self._addresses), None)
        for node in tx.all(Node):
            has = node.attachment.network.id if node.attachment else None
            if has != (ingress.id if ingress else None):
                tx.update(replace(node, attachment=self._attach(ingress, None) if ingress else None))

    def _service(self, tx: Tx, service: Service) -> None:
        spec = service.spec.endpoint_spec or EndpointSpec()
        others = (s for s in tx.all(Service) if s.id != service.id)
        taken = ports.taken_by(others)
        published = ports.allocate(spec.ports or [], service.endpoint.ports or [], taken)
        vips = self._vips(tx, service, spec, any(p.is_ingress for p in published))
        endpoint = Endpoint(
            spec=replace(spec, mode=spec.mode or "vip"), ports=published or None, virtual_ips=vips or None
        )
        if endpoint != service.endpoint:
            tx.update(replace(service, endpoint=endpoint))

    def _vips(self, tx: Tx, service: Service, spec: EndpointSpec, mesh: bool) -> list[VirtualIP]:
        wanted = [n for c in service.spec.attachments if (n := find_network(tx, c.target)) and n.id in self._addresses]
        if spec.mode == "dnsrr":
            wanted = []
        if mesh and (ingress := next((n for n in tx.all(Network) if n.is_ingress), None)):
            wanted.insert(0, ingress)
        had = {vip.network_id: vip for vip in service.endpoint.virtual_ips or []}
        kept = [had.pop(n.id) if n.id in had else self._vip(n) for n in wanted if n.id in self._addresses]
        for vip in had.values():
            self._release(vip.network_id, [vip.addr] if vip.addr else [])
        return kept

    def _vip(self, network: Network) -> VirtualIP:
        return VirtualIP(network_id=network.id, addr=self._addresses[network.id].allocate()[0])

    def _attach(self, network: Network, config: NetworkAttachmentConfig | None) -> NetworkAttachment:
        addresses = self._addresses[network.id].allocate()
        return NetworkAttachment(network=network, addresses=addresses, aliases=config.aliases if config else None)

    def _task(self, tx: Tx, task: Task, now: datetime) -> bool:
        """Move a task from NEW to PENDING with all it needs, or say that it has to wait."""
        service = tx.get(Service, task.service_id) if task.service_id else None
        if task.service_id and service is None:
            return True
        endpoint = service.endpoint if service else task.endpoint
        attachments: list[NetworkAttachment] = []
        try:
            if any(port.is_ingress for port in (endpoint.ports if endpoint else None) or []):
                ingress = next((n for n in tx.all(Network) if n.is_ingress), None)
                if ingress is None or ingress.id not in self._addresses:
                    return False
                attachments.append(self._attach(ingress, None))
            configs = task.spec.networks or (service.spec.networks if service else None) or []
            for config in configs:
                network = find_network(tx, config.target)
                if network is not None and network.driver_state is not None and network.id not in self._addresses:
                    attachments.append(NetworkAttachment(network=network, aliases=config.aliases))
                elif network is None or network.id not in self._addresses:
                    self._give_back(attachments)
                    return False
                else:
                    attachments.append(self._attach(network, config))
        except ShoalError as error:
            self._give_back(attachments)
            if task.status.err != str(error):
                status = replace(task.status, timestamp=timestamp(now), err=str(error))
                tx.update(replace(task, status=status))
            return False
        status = TaskStatus(timestamp=timestamp(now), state=TaskState.PENDING.word, message="pending task scheduling")
        tx.update(replace(task, networks_attachments=attachments or None, endpoint=endpoint, status=status))
        return True

    def _give_back(self, attachments: Sequence[NetworkAttachment]) -> None:
        for attachment in attachments:
            self._release(attachment.network.id, attachment.addresses or [])


def find_network(view: View, target: str) -> Network | None:
    """A network by the id or the name that a spec targets."""
    return view.get(Network, target) or view.by_name(Network, target)


def _order(task: Task | None) -> tuple[str, int, str]:
    return (task.service_id or "", task.slot or 0, task.id) if task else ("", 0, "")
