"""The lab's node, made and read back; as root."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.fakes.lab_network import INGRESS, NGINX, lab_node
from tests.fakes.machine import ip, own_machine

from shoal.network.describe import overlay_part
from shoal.network.node import RemoteEndpoint
from shoal.network.reconciler import Reconciler
from shoal.observe.draw import WIDTH
from shoal.observe.graph import DefaultRoute, Interface, Namespace, Peer, Topology, Tunnel
from shoal.observe.topology import read_topology

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def machine() -> Iterator[None]:
    with own_machine():
        yield


def the(namespace: Namespace, name: str) -> Interface:
    return next(interface for interface in namespace.interfaces if interface.name == name)


async def observed() -> Topology:
    reconciler = Reconciler(owner="shoal")
    node = replace(lab_node(), remotes={NGINX: (RemoteEndpoint("10.0.0.9/24", "192.0.2.7"),)})
    try:
        await reconciler.start(node)
        await reconciler.apply(node, [overlay_part(NGINX)])
        return await read_topology(reconciler)
    finally:
        await reconciler.close()


def test_the_lab_read_back() -> None:
    ip("link add wire0 type bridge")
    ip("addr add 192.0.2.1/24 dev wire0")
    ip("link set wire0 up")
    ip("route add default via 192.0.2.254")
    ip("netns add stranger")
    ip("link add veth77 type veth peer name eth0 netns stranger")

    topology = asyncio.run(observed())
    spaces = {namespace.name: namespace for namespace in topology.namespaces}
    ingress, nginx = f"1-{INGRESS[:10]}", f"1-{NGINX[:10]}"
    assert list(spaces) == ["", ingress, nginx, "ingress_sbox", "web.1.xyz", "web.2.xyz"]

    host = spaces[""]
    assert the(host, "wire0").addresses == ["192.0.2.1/24"]
    assert the(host, "veth77").peer == Peer(namespace=None)
    assert host.default_routes == [DefaultRoute(interface="wire0", via="192.0.2.254")]
    ports = [interface for interface in host.interfaces if interface.bridge == "docker_gwbridge"]
    assert [port.peer for port in ports if port.peer and port.peer.namespace == "web.2.xyz"] == [
        Peer(namespace="web.2.xyz", interface="eth2", addresses=["172.18.0.4/16"], owner="task web.2")
    ]
    assert {port.owner: port.isolated for port in ports} == {
        "ingress sandbox": False,
        "task web.1": True,
        "task web.2": True,
    }

    assert spaces[nginx].owner == "network nginx-net"
    assert the(spaces[nginx], "br0").addresses == ["10.0.0.1/24"]
    assert the(spaces[nginx], "vxlan0").tunnel == Tunnel(vni=4097, port=4789, fdb_entries=1, neighbours=1)
    assert the(spaces[ingress], "vxlan0").tunnel == Tunnel(vni=4096, port=4789)
    task = spaces["web.1.xyz"]
    assert task.owner == the(task, "eth0").owner == "task web.1"
    assert the(task, "eth0").mac == "02:42:0a:ff:00:04"
    assert the(task, "eth1").peer == Peer(namespace=nginx, interface="veth0", owner="task web.1")
    assert task.default_routes == [
        DefaultRoute(interface="eth0", via="10.255.0.2", table=102),
        DefaultRoute(interface="eth2", via="172.18.0.1"),
    ]

    lines = topology.text.splitlines()
    assert max(len(line) for line in lines) <= WIDTH
    assert "   ├─ veth1   ↔ eth0 in web.1.xyz                            10.255.0.4/16  task web.1" in lines
    assert "namespace 1-a4xiy43kwu  (network ingress)" in lines
