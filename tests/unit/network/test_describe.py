"""What a node's network is, part by part."""

from collections import Counter

from hypothesis import given, settings
from tests.fakes.lab_network import INGRESS, NGINX, lab_node
from tests.fakes.node_networks import node_networks

from shoal.network.describe import HOST_PART, describe, outer_name, overlay_part, parts, sandbox_part
from shoal.network.items import HOST, Address, Bridge, FdbEntry, Namespace, Neighbour, Route, Rule, Veth, Vxlan
from shoal.network.node import INGRESS_SANDBOX, BridgeNetwork, NodeNetwork, RemoteEndpoint, mac_of


@settings(max_examples=100, deadline=None)
@given(node_networks())
def test_each_item_belongs_to_one_part(node: NodeNetwork) -> None:
    keys = Counter(item.key for part in parts(node) for item in describe(node, part))
    assert [key for key, times in keys.items() if times > 1] == []


@settings(max_examples=50, deadline=None)
@given(node_networks())
def test_everything_lies_where_there_is_a_namespace_and_a_link(node: NodeNetwork) -> None:
    items = {item.key: item for part in parts(node) for item in describe(node, part)}
    for item in items.values():
        assert item.ns == HOST or ("netns", item.ns) in items
        if isinstance(item, Address | Route | Neighbour | FdbEntry):
            assert ("link", item.ns, item.link) in items
        if isinstance(item, Veth):
            other = items[item.peer_key]
            assert isinstance(other, Veth)
            assert other.peer_key == item.key
        if isinstance(item, Veth | Vxlan) and item.master:
            assert isinstance(items["link", item.ns, item.master], Bridge)
        if isinstance(item, Bridge | Veth | Vxlan | Namespace):
            assert item.alias.startswith("shoal: ")


def test_an_alias_is_as_long_as_the_kernel_takes_it() -> None:
    network = BridgeNetwork("n", "é" * 300, "br-n", ("10.1.0.1/16",))
    (bridge,) = (item for item in describe(NodeNetwork(bridges={"n": network}), HOST_PART) if isinstance(item, Bridge))
    assert bridge.alias.startswith("shoal: network éé")
    assert 250 < len(bridge.alias.encode()) <= 255


def test_a_part_that_is_not_there_has_nothing() -> None:
    assert describe(NodeNetwork(), HOST_PART) == []
    assert describe(lab_node(), overlay_part("none")) == describe(lab_node(), sandbox_part("none")) == []
    assert parts(lab_node()) == [
        HOST_PART,
        overlay_part(INGRESS),
        overlay_part(NGINX),
        sandbox_part(INGRESS_SANDBOX),
        sandbox_part("task1"),
        sandbox_part("task2"),
    ]


def test_replies_find_the_router_they_came_by() -> None:
    items = describe(lab_node(), sandbox_part("task1"))
    assert [item for item in items if isinstance(item, Rule)] == [Rule("web.1.xyz", 4, 2, 102)]
    assert Route("web.1.xyz", "0.0.0.0/0", "10.255.0.2", "eth0", 102) in items
    assert Route("web.1.xyz", "0.0.0.0/0", "172.18.0.1", "eth2") in items


def test_a_remote_endpoint_is_a_neighbour_behind_its_nodes_tunnel() -> None:
    node = NodeNetwork(overlays=lab_node().overlays, remotes={NGINX: (RemoteEndpoint("10.0.0.9/24", "192.0.2.7"),)})
    items = describe(node, overlay_part(NGINX))
    ns, mac = "1-v1qhhmk5qm", mac_of("10.0.0.9")
    assert Neighbour(ns, "vxlan0", "10.0.0.9", mac) in items
    assert FdbEntry(ns, "vxlan0", mac, "192.0.2.7") in items


def test_outer_names_are_dockers_in_form_and_differ() -> None:
    names = {outer_name(f"task{number}", network) for number in range(50) for network in (INGRESS, NGINX)}
    assert len(names) == 100
    assert {len(name) for name in names} == {11}
