"""What the engine is told of the swarm's networks, for any snapshot."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from shoal.agent.networks import VXLAN_OVERHEAD, cluster_networks
from shoal.objects.ids import NetworkId
from shoal.objects.meta import Driver
from shoal.objects.network import IPAMConfig, IPAMOptions, Network, NetworkSpec
from shoal.objects.service import PortConfig
from shoal.wire.cluster import (
    ClusterResource,
    EndpointRecord,
    NetworkResource,
    NodeResource,
    Resource,
    ServiceResource,
)

ME = "node0"
NODES = [ME, "node1", "node2"]
NETWORKS = ["ingress", "net1", "net2"]


def a_network(name: str, **options: str) -> NetworkResource:
    number = NETWORKS.index(name)
    state = Driver(
        name="overlay", options={"com.docker.network.driver.overlay.vxlanid_list": str(4096 + number)} | options
    )
    pools = IPAMOptions(configs=[IPAMConfig(subnet=f"10.0.{number}.0/24", gateway=f"10.0.{number}.1")])
    spec = NetworkSpec(name=name, ingress=name == "ingress")
    return NetworkResource(network=Network(id=NetworkId(name), spec=spec, driver_state=state, ipam_options=pools))


def a_node(node_id: str) -> NodeResource:
    number = NODES.index(node_id)
    return NodeResource(
        node_id=node_id, hostname=node_id, addr=f"192.0.2.{number + 1}", ingress_addresses=[f"10.0.0.{number + 2}/24"]
    )


@st.composite
def snapshots(draw: st.DrawFn) -> list[Resource]:
    """Some networks, nodes and services; each endpoint has an address of its own."""
    found: list[Resource] = [a_network(name) for name in NETWORKS if draw(st.booleans())]
    found += [a_node(node_id) for node_id in NODES if draw(st.booleans())]
    number = 10
    for network in NETWORKS:
        for service in draw(st.lists(st.sampled_from(["web", "db", ""]), unique=True)):
            endpoints = []
            for slot in range(draw(st.integers(0, 3))):
                number += 1
                endpoints.append(
                    EndpointRecord(
                        task_id=f"t{number}",
                        name=f"{service}.{slot}.t{number}",
                        slot=slot,
                        node_id=draw(st.sampled_from(NODES)),
                        address=f"10.0.{NETWORKS.index(network)}.{number}/24",
                        aliases=["c1"] if not service else [],
                        serving=draw(st.booleans()),
                    )
                )
            number += 1
            found.append(
                ServiceResource(
                    network_id=network,
                    service_id=service or "none",
                    name=service,
                    aliases=[f"{service}-alias"] if service else [],
                    vip=f"10.0.{NETWORKS.index(network)}.{number}/24" if service and draw(st.booleans()) else None,
                    ports=[PortConfig(target_port=80, published_port=8000 + number)] if network == "ingress" else [],
                    endpoints=endpoints,
                )
            )
    return draw(st.permutations(found))


def _bare(address: str) -> str:
    return str(ipaddress.ip_interface(address).ip)


@given(snapshots())
def test_what_is_told(resources: list[Resource]) -> None:
    told = cluster_networks(resources, ME, 1500)
    services = [r for r in resources if isinstance(r, ServiceResource)]
    networks = {r.network.id for r in resources if isinstance(r, NetworkResource)}
    nodes = {r.node_id for r in resources if isinstance(r, NodeResource)}
    serving = {_bare(e.address) for s in services for e in s.endpoints if e.serving}
    everywhere = {_bare(e.address): (s.network_id, e.node_id) for s in services for e in s.endpoints}
    assert set(told.networks) == set(told.overlays) == networks
    backends = [b for found in told.services.values() for s in found for b in s.backends]
    backends += [b for port in (told.mesh.ports if told.mesh else ()) for b in port.backends]
    assert set(backends) <= serving
    for network_id, remotes in told.remotes.items():
        for remote in remotes:
            address = _bare(remote.address)
            if address in everywhere:
                network, node_id = everywhere[address]
                assert network == network_id and node_id != ME
                assert remote.vtep == f"192.0.2.{NODES.index(node_id) + 1}"
            else:
                assert network_id == "ingress"
        wanted = {a for a, (n, node) in everywhere.items() if n == network_id and node != ME and node in nodes}
        assert wanted <= {_bare(remote.address) for remote in remotes}
    assert set(told.records) == networks - {"ingress"}
    for network_id, records in told.records.items():
        prefix = f"10.0.{NETWORKS.index(network_id)}."
        assert all(a.startswith(prefix) for record in records.records for a in record.addresses)
        assert all(pointer.address.startswith(prefix) for pointer in records.pointers)
        for record in records.records:
            if record.name.startswith("tasks."):
                assert set(record.addresses) <= serving
    assert (told.mesh is not None) == ("ingress" in networks)
    assert bool(told.ingress_addresses) == ("ingress" in networks and ME in nodes)
    assert told == cluster_networks(resources, ME, 1500)


def test_mtu_and_port() -> None:
    plain, own = a_network("net1"), a_network("net2", **{"com.docker.network.driver.mtu": "1400"})
    cluster = ClusterResource(cluster_id="c", data_path_port=4790, heartbeat_period=1)
    overlays = cluster_networks([plain, own, cluster], ME, 9000).overlays
    assert (overlays["net1"].mtu, overlays["net2"].mtu) == (9000 - VXLAN_OVERHEAD, 1400)
    assert {overlay.port for overlay in overlays.values()} == {4790}


def test_names() -> None:
    task = EndpointRecord(
        task_id="t", name="web.1.t", slot=1, node_id=ME, address="10.0.1.9/24", aliases=[], serving=True
    )
    web = ServiceResource(
        network_id="net1", service_id="w", name="web", aliases=["www"], vip="10.0.1.5/24", ports=[], endpoints=[task]
    )
    records = cluster_networks([a_network("net1"), web], ME, 1500).records["net1"]
    names = {record.name: record.addresses for record in records.records}
    own = ("10.0.1.9",)
    assert names == {
        "web": ("10.0.1.5",), "www": ("10.0.1.5",), "tasks.web": own, "tasks.www": own, "web.1.t": own
    }  # fmt: skip
    assert {(p.address, p.name) for p in records.pointers} == {("10.0.1.5", "web"), ("10.0.1.9", "web.1.t")}
