"""From the snapshot's resources to what the engine is told of the swarm's networks. Pure.

A service's backends are its tasks that serve, but for those that this node knows to have ended, whatever the snapshot
says yet; those on other nodes are reached through the tunnel to their node, those here by the bridge. Names: a service
gives its VIP (its tasks where it has none), ``tasks.<service>`` and aliases likewise, a task's full name and its
container's own address.
"""

import ipaddress
from collections import defaultdict
from collections.abc import Collection, Iterable

from msgspec.structs import replace

from shoal.engine.cluster import ClusterNetworks, PeerNode
from shoal.network.flows import Backends
from shoal.network.node import Mesh, MeshPort, OverlayNetwork, RemoteEndpoint, VirtualService
from shoal.objects.defaults import LEAST_MTU
from shoal.objects.network import MTU_OPTION, Network
from shoal.wire.cluster import (
    ClusterResource,
    EndpointRecord,
    NetworkResource,
    NodeResource,
    Resource,
    ServiceResource,
)
from shoal.wire.keeper import TASK_TTL, VIP_TTL, NetworkRecords, Pointer, Record

# What VXLAN over IPv4 adds to each frame, in bytes (RFC 7348).
VXLAN_OVERHEAD = 50


def cluster_networks(
    resources: Iterable[Resource],
    node_id: str,
    underlay_mtu: int,
    *,
    ended: Collection[str] = (),
    lost: Collection[str] = (),
) -> ClusterNetworks:
    """All that the engine needs to know; ``underlay_mtu`` is that of this node's own link, in bytes, ``ended``
    the tasks that serve no longer, ``lost`` the nodes whose tasks cannot be reached."""
    networks: dict[str, Network] = {}
    nodes: dict[str, NodeResource] = {}
    services: dict[str, list[ServiceResource]] = defaultdict(list)
    port = 4789
    for resource in resources:
        match resource:
            case NetworkResource(network=network):
                networks[network.id] = network
            case NodeResource():
                nodes[resource.node_id] = _readable(resource)
            case ServiceResource():
                services[resource.network_id].append(_without(resource, ended, lost))
            case ClusterResource(data_path_port=data_path_port):
                port = data_path_port
            case _:
                pass
    ingress = next((n for n in networks.values() if n.is_ingress), None)
    own = nodes.get(node_id)
    # What fits through the smallest link fits everywhere: all nodes say the same of a network, whoever is on it now.
    underlay_mtu = min([underlay_mtu, *(node.mtu for node in nodes.values() if node.mtu)])
    return ClusterNetworks(
        networks=networks,
        overlays={n.id: _overlay(n, underlay_mtu, port) for n in networks.values() if n.vni is not None},
        services={key: tuple(_virtual(s) for s in found if s.vip) for key, found in services.items()},
        remotes={key: tuple(_remotes(key, services[key], nodes, node_id, ingress)) for key in networks},
        records={key: _records(services[key]) for key in networks if not networks[key].is_ingress},
        peers={key: tuple(_peers(services[key], nodes, node_id, networks[key])) for key in networks},
        backends={key: _endpoints(services[key]) for key in networks},
        mesh=_mesh(ingress, services[ingress.id], nodes, own) if ingress else None,
        ingress_addresses=tuple(own.ingress_addresses) if own and ingress else (),
    )


def _readable(node: NodeResource) -> NodeResource:
    """A node without what cannot be: one that tells nonsense of itself must not keep the others from each other."""
    try:
        ipaddress.ip_address(node.addr)
    except ValueError:
        node = replace(node, addr="")
    return node if node.mtu >= LEAST_MTU else replace(node, mtu=0)


def _without(service: ServiceResource, ended: Collection[str], lost: Collection[str]) -> ServiceResource:
    def is_gone(endpoint: EndpointRecord) -> bool:
        return endpoint.serving and (endpoint.task_id in ended or endpoint.node_id in lost)

    if not any(is_gone(endpoint) for endpoint in service.endpoints):
        return service
    return replace(service, endpoints=[replace(e, serving=False) if is_gone(e) else e for e in service.endpoints])


def _overlay(network: Network, underlay_mtu: int, port: int) -> OverlayNetwork:
    options = (network.driver_state.options if network.driver_state else None) or {}
    gateways = tuple(
        f"{pool.gateway}/{ipaddress.ip_network(pool.subnet).prefixlen}"
        for pool in network.pools
        if pool.gateway and pool.subnet
    )
    mtu = int(options.get(MTU_OPTION) or underlay_mtu - VXLAN_OVERHEAD)
    return OverlayNetwork(network.id, network.name, network.vni or 0, gateways, mtu, port)


def _bare(address: str) -> str:
    return str(ipaddress.ip_interface(address).ip)


def _backends(service: ServiceResource) -> tuple[str, ...]:
    return tuple(_bare(endpoint.address) for endpoint in service.endpoints if endpoint.serving)


def _endpoints(services: Iterable[ServiceResource]) -> Backends:
    found = [endpoint for service in services for endpoint in service.endpoints]
    return Backends(
        there=frozenset(_bare(endpoint.address) for endpoint in found),
        serving=frozenset(_bare(endpoint.address) for endpoint in found if endpoint.serving),
    )


def _virtual(service: ServiceResource) -> VirtualService:
    return VirtualService(service.name, _bare(service.vip or ""), _backends(service))


def _mesh(
    ingress: Network, services: list[ServiceResource], nodes: dict[str, NodeResource], own: NodeResource | None
) -> Mesh:
    ports = [
        MeshPort(
            protocol=port.protocol or "tcp",
            published=port.published_port or 0,
            target=port.target_port or 0,
            service=service.name,
            backends=_backends(service),
        )
        for service in sorted(services, key=lambda s: s.name)
        for port in service.ports
        if port.published_port
    ]
    routers = [
        address for node in sorted(nodes.values(), key=lambda n: n.node_id) for address in node.ingress_addresses
    ]
    return Mesh(ingress.id, tuple(ports), tuple(routers), own.addr if own and own.addr else None)


def _remotes(
    network_id: str,
    services: list[ServiceResource],
    nodes: dict[str, NodeResource],
    node_id: str,
    ingress: Network | None,
) -> Iterable[RemoteEndpoint]:
    for service in services:
        for endpoint in service.endpoints:
            node = nodes.get(endpoint.node_id)
            if endpoint.node_id != node_id and node is not None and node.addr:
                yield RemoteEndpoint(endpoint.address, node.addr)
    if ingress is not None and network_id == ingress.id:
        for node in nodes.values():
            if node.node_id != node_id and node.addr:
                yield from (RemoteEndpoint(address, node.addr) for address in node.ingress_addresses)


def _peers(
    services: list[ServiceResource], nodes: dict[str, NodeResource], node_id: str, network: Network
) -> Iterable[PeerNode]:
    there = {endpoint.node_id for service in services for endpoint in service.endpoints} | {node_id}
    for node in sorted(nodes.values(), key=lambda n: n.node_id):
        if node.addr and (node.node_id in there or (network.is_ingress and node.ingress_addresses)):
            yield PeerNode(node.node_id[:12], node.addr)


def _records(services: list[ServiceResource]) -> NetworkRecords:
    records: list[Record] = []
    pointers: list[Pointer] = []
    for service in services:
        tasks = _backends(service)
        names = [service.name, *service.aliases] if service.name else []
        if service.vip:
            vip = (_bare(service.vip),)
            records += (Record(name, vip, ttl=VIP_TTL) for name in names)
            pointers.append(Pointer(vip[0], service.name))
        elif tasks:
            records += (Record(name, tasks, shuffle=True, ttl=TASK_TTL) for name in names)
        if tasks:
            records += (Record(f"tasks.{name}", tasks, shuffle=True, ttl=TASK_TTL) for name in names)
        for endpoint in service.endpoints:
            address = _bare(endpoint.address)
            own = [endpoint.name] if service.name else [endpoint.name, *endpoint.aliases]
            records += (Record(name, (address,), ttl=TASK_TTL) for name in own)
            pointers.append(Pointer(address, endpoint.name))
    return NetworkRecords(tuple(records), tuple(pointers))
