"""What one node is to know: pure rendering from the store, and the difference between two renderings.

A node needs the tasks that it was given, the networks of those and the ingress network, every service that has an
endpoint or a VIP on one of these networks, the nodes that they run on, and the secrets and configs of its own tasks,
no others.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from shoal.manager import rotation
from shoal.manager.dispatcher.withdrawals import is_serving
from shoal.objects.cluster import Cluster
from shoal.objects.defaults import HEARTBEAT_NANOSECONDS
from shoal.objects.ids import ServiceId
from shoal.objects.meta import Version
from shoal.objects.network import Network
from shoal.objects.node import Node
from shoal.objects.secret import Config, Secret
from shoal.objects.service import Service
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus
from shoal.store.tx import View
from shoal.wire.cluster import (
    ClusterResource,
    ConfigResource,
    EndpointRecord,
    NetworkResource,
    NodeResource,
    Resource,
    SecretResource,
    ServiceResource,
    TaskResource,
)


@dataclass(frozen=True)
class Difference:
    """What turns one rendering into another."""

    put: list[Resource]
    remove: list[str]

    def __bool__(self) -> bool:
        return bool(self.put or self.remove)


def difference(old: Mapping[str, Resource], new: Mapping[str, Resource]) -> Difference:
    """The resources that are new or changed, and the keys that are gone."""
    return Difference(
        put=[resource for key, resource in new.items() if (had := old.get(key)) is not resource and had != resource],
        remove=[key for key in old if key not in new],
    )


def render(
    view: View,
    node_id: str,
    services: Mapping[str, list[ServiceResource]],
    nodes: Mapping[str, NodeResource],
    as_seen: Callable[[Task], Task] = lambda task: task,
) -> dict[str, Resource]:
    """The node's snapshot; ``services`` has each network's services, from :func:`services_by_network`, and ``nodes``
    every node, from :func:`node_resource`; ``as_seen`` gives a task as its node is to see it for now."""
    tasks = [task for task in view.tasks_of_node(node_id) if task.state >= TaskState.ASSIGNED]
    networks = _networks(view, tasks)
    resources: list[Resource] = [_cluster(view, node_id)]
    resources += (TaskResource(task=_bare(as_seen(task))) for task in tasks)
    resources += (NetworkResource(network=network) for network in networks)
    seen = [service for network in networks for service in services.get(network.id, ())]
    resources += seen
    resources += _nodes(nodes, node_id, seen, ingress=any(n.is_ingress for n in networks))
    resources += _secrets(view, tasks)
    return {resource.key: resource for resource in resources}


def _bare(task: Task) -> Task:
    """The task without what only the store needs, so that a status coming back is no news to its sender."""
    return replace(task, version=Version(), updated_at="", status=TaskStatus(), restarts=None)


def _networks(view: View, tasks: Iterable[Task]) -> list[Network]:
    needed = {a.network.id for t in tasks if not is_terminal(t.state) for a in t.networks_attachments or []}
    return [n for n in view.all(Network) if n.driver_state is not None and (n.id in needed or n.is_ingress)]


def _cluster(view: View, node_id: str) -> ClusterResource:
    cluster = view.all(Cluster)[0]
    own = view.get(Node, node_id)
    trust = rotation.trust_of(cluster, own, view.all(Node)) if own else ""
    return ClusterResource(
        cluster_id=cluster.id,
        data_path_port=cluster.data_path_port,
        heartbeat_period=cluster.spec.dispatcher.heartbeat_period or HEARTBEAT_NANOSECONDS,
        attachable={n.id: n.name for n in view.all(Network) if n.spec.attachable},
        managers=managers_of(view),
        role=(own.spec.role if own else None) or "",
        trust=trust,
        rotation=cluster.rotations if trust else 0,
        issuer=rotation.issuer_of(cluster),
    )


def managers_of(view: View) -> dict[str, str]:
    """Where the managers that nodes may turn to are reached, by node, the leader first."""
    found = [n for n in view.all(Node) if n.manager_status and n.manager_status.reachability != "unknown"]
    found.sort(key=lambda n: not (n.manager_status and n.manager_status.leader))
    return {n.id: n.manager_status.addr for n in found if n.manager_status and n.manager_status.addr}


def _nodes(
    nodes: Mapping[str, NodeResource], node_id: str, services: Iterable[ServiceResource], *, ingress: bool
) -> list[NodeResource]:
    wanted = {endpoint.node_id for service in services for endpoint in service.endpoints} | {node_id}
    if not ingress:
        return [nodes[key] for key in wanted if key in nodes]
    return [node for key, node in nodes.items() if node.ingress_addresses or key in wanted]


def node_resource(node: Node) -> NodeResource:
    """What nodes are told of each other."""
    return NodeResource(
        node_id=node.id,
        hostname=node.hostname,
        addr=node.status.addr or "",
        ingress_addresses=(node.attachment.addresses or []) if node.attachment else [],
        mtu=node.underlay_mtu,
    )


def _secrets(view: View, tasks: Iterable[Task]) -> list[Resource]:
    found: list[Resource] = []
    for spec in (t.spec.container_spec for t in tasks if not is_terminal(t.state)):
        for secret_ref in (spec.secrets if spec else None) or []:
            if (secret := view.get(Secret, secret_ref.secret_id)) is not None:
                found.append(SecretResource(secret=secret))
        for config_ref in (spec.configs if spec else None) or []:
            if (config := view.get(Config, config_ref.config_id)) is not None:
                found.append(ConfigResource(config=config))
    return found


# Plain containers on attachable networks: they are tasks of no service, and go as one service without a name.
NO_SERVICE = Service(id=ServiceId(""))


def services_by_network(view: View, service: Service) -> dict[str, ServiceResource]:
    """A service as each of its networks sees it, by the network's id."""
    endpoint = service.endpoint
    vips: dict[str, str | None] = {vip.network_id: vip.addr for vip in endpoint.virtual_ips or []}
    resources: dict[str, ServiceResource] = {}
    records: dict[str, list[EndpointRecord]] = {network_id: [] for network_id in vips}
    aliases: dict[str, dict[str, None]] = {}
    for task in sorted(view.tasks_of_service(service.id), key=lambda t: (t.slot or 0, t.id)):
        if task.state < TaskState.ASSIGNED or is_terminal(task.state) or task.node_id is None:
            continue
        for attachment in task.networks_attachments or []:
            records.setdefault(attachment.network.id, []).extend(
                _records(task, attachment.addresses, attachment.aliases)
            )
            aliases.setdefault(attachment.network.id, {}).update(dict.fromkeys(attachment.aliases or []))
    for network_id, endpoints in records.items():
        network = view.get(Network, network_id)
        mesh = [port for port in endpoint.ports or [] if port.is_ingress] if network and network.is_ingress else []
        resources[network_id] = ServiceResource(
            network_id=network_id,
            service_id=service.id,
            name=service.name,
            aliases=list(aliases.get(network_id, ())) if service.name else [],
            vip=vips.get(network_id),
            ports=mesh,
            endpoints=endpoints,
        )
    return resources


def _records(task: Task, addresses: list[str] | None, aliases: list[str] | None) -> list[EndpointRecord]:
    return [
        EndpointRecord(
            task_id=task.id,
            name=task.name or task.full_name,
            slot=task.slot or 0,
            node_id=task.node_id or "",
            address=address,
            aliases=aliases or [],
            serving=is_serving(task),
        )
        for address in addresses or []
    ]


def snapshot_of(view: View, node_id: str) -> dict[str, Resource]:
    """One node's snapshot from scratch, for whoever keeps no renderings between changes."""
    by_network: dict[str, list[ServiceResource]] = {}
    for service in [NO_SERVICE, *view.all(Service)]:
        for network_id, resource in services_by_network(view, service).items():
            by_network.setdefault(network_id, []).append(resource)
    return render(view, node_id, by_network, {node.id: node_resource(node) for node in view.all(Node)})
