"""Each thing made by a change, read back by us and by iproute2; as root, in namespaces of the test's own."""

import errno
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_address, ip_interface, ip_network
from socket import AF_INET, AF_INET6
from typing import Any

import pytest

from shoal.errors import Conflict, Internal, InvalidArgument, NotFound
from shoal.kernel import changes, netns
from shoal.kernel.faults import KernelError
from shoal.kernel.netlink import Netlink
from shoal.kernel.netlink_socket import Change
from shoal.kernel.netns import Namespace
from shoal.kernel.records import IPAddress, IPNetwork, Link, Neighbour, Route, RouteKind, Scope, Vxlan

pytestmark = pytest.mark.root

MAC = "02:42:0a:00:00:01"
VXLAN = Vxlan(vni=4096, port=4789, proxy=True, l2miss=True, l3miss=True, learning=False)


@pytest.fixture
def spaces() -> Iterator[list[Namespace]]:
    """Two namespaces of this test's own."""
    names = [f"t-{os.getpid()}-{uuid.uuid4().hex[:6]}" for _ in range(2)]
    try:
        yield [netns.create(name) for name in names]
    finally:
        for name in names:
            netns.delete(name)


@pytest.fixture
def sockets(spaces: list[Namespace]) -> Iterator[list[Netlink]]:
    """A socket in each."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(Netlink.open(space.path))) for space in spaces]


def _ip(space: Namespace, *args: str, tool: str = "ip") -> list[dict[str, Any]]:
    command = [tool, "-n", space.path.name, "-j", "-d", *args]
    found: list[dict[str, Any]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout or "[]")
    return [item for item in found if item]


def _link(sock: Netlink, name: str) -> Link:
    link = sock.link(name)
    assert link is not None
    return link


def _bridge(sock: Netlink, *addresses: str) -> int:
    sock.apply([changes.add_bridge("br0", MAC)])
    index = sock.index("br0")
    sock.apply([changes.set_link(index, up=True), *(changes.add_address(index, ip_interface(a)) for a in addresses)])
    return index


def test_a_new_namespace_has_lo_down(sockets: list[Netlink]) -> None:
    (lo,) = sockets[0].links()
    assert (lo.index, lo.name, lo.kind, lo.mtu, lo.up, lo.running) == (1, "lo", "", 65536, False, False)


def test_a_bridge(spaces: list[Namespace], sockets: list[Netlink]) -> None:
    sockets[0].apply([changes.add_bridge("br0", MAC, 1450), changes.set_link("br0", up=True, alias="shoal net/x")])
    link = _link(sockets[0], "br0")
    assert (link.kind, link.mac, link.mtu, link.up, link.alias) == ("bridge", MAC, 1450, True, "shoal net/x")
    (seen,) = _ip(spaces[0], "link", "show", "br0")
    assert (seen["ifindex"], seen["address"], seen["mtu"], seen["ifalias"]) == (link.index, MAC, 1450, "shoal net/x")
    assert seen["linkinfo"]["info_kind"] == "bridge"
    assert link in sockets[0].links()
    assert sockets[0].link(link.index) == link


def test_a_veth_pair_into_another_namespace(spaces: list[Namespace], sockets: list[Netlink]) -> None:
    near, far = sockets
    bridge = _bridge(near)
    with netns.opened(spaces[1].path) as fd:
        near.apply(
            [
                changes.add_veth("veth0", "eth0", mtu=1450, mac="02:00:00:00:00:01", peer_mac=MAC, peer_ns_fd=fd),
                changes.set_link("veth0", up=True, master=bridge, alias="near"),
            ]
        )
        far.apply([changes.set_link("eth0", up=True, alias="far")])
        nsid = near.nsid_of(fd)
    veth, eth = _link(near, "veth0"), _link(far, "eth0")
    assert (veth.kind, veth.mac, veth.mtu, veth.alias) == ("veth", "02:00:00:00:00:01", 1450, "near")
    assert (veth.master, veth.peer_index, veth.peer_nsid) == (bridge, eth.index, nsid)
    assert (eth.mac, eth.mtu, eth.alias, eth.up, eth.running) == (MAC, 1450, "far", True, True)
    assert eth.peer_index == veth.index
    with netns.opened(spaces[0].path) as fd:
        assert far.nsid_of(fd) == eth.peer_nsid
    (seen,) = _ip(spaces[0], "link", "show", "veth0")
    assert (seen["master"], seen["link_index"], seen["link_netnsid"]) == ("br0", eth.index, nsid)
    near.apply([changes.set_link("veth0", master=0)])
    assert _link(near, "veth0").master is None
    near.apply([changes.del_link("veth0")])
    assert far.link("eth0") is None


def test_a_veth_pair_within_one_namespace_has_no_nsid(sockets: list[Netlink]) -> None:
    sockets[0].apply([changes.add_veth("a", "b")])
    a, b = _link(sockets[0], "a"), _link(sockets[0], "b")
    assert (a.peer_index, a.peer_nsid, b.peer_index, b.peer_nsid) == (b.index, None, a.index, None)


def test_an_unknown_namespace_has_no_number(spaces: list[Namespace], sockets: list[Netlink]) -> None:
    with netns.opened(spaces[1].path) as fd:
        assert sockets[0].nsid_of(fd) is None


@pytest.mark.parametrize("local", [None, ip_address("10.1.0.1"), ip_address("fd00::1")])
def test_a_vxlan_device_with_its_underlay_elsewhere(
    spaces: list[Namespace], sockets: list[Netlink], local: IPAddress | None
) -> None:
    underlay, overlay = sockets
    _bridge(underlay, "10.1.0.1/24", "fd00::1/64")
    wanted = Vxlan(vni=4096, port=4789, proxy=True, l2miss=True, l3miss=True, learning=False, local=local)
    with netns.opened(spaces[1].path) as fd:
        underlay.apply([changes.add_vxlan("vxlan0", wanted, mac=MAC, mtu=1450, ns_fd=fd)])
    link = _link(overlay, "vxlan0")
    assert (link.kind, link.vxlan, link.mac, link.mtu) == ("vxlan", wanted, MAC, 1450)
    with netns.opened(spaces[0].path) as fd:
        assert overlay.nsid_of(fd) == link.peer_nsid is not None
    (seen,) = _ip(spaces[1], "link", "show", "vxlan0")
    data = seen["linkinfo"]["info_data"]
    assert (data["id"], data["port"], data["learning"]) == (4096, 4789, False)
    assert data["proxy"] and data["l2miss"] and data["l3miss"]


def test_a_vni_is_taken_once_on_an_underlay(spaces: list[Namespace], sockets: list[Netlink]) -> None:
    with netns.opened(spaces[1].path) as fd:
        sockets[0].apply([changes.add_vxlan("vxlan0", VXLAN, mtu=1450, ns_fd=fd)])
        with pytest.raises(Conflict, match="vxlan1") as caught:
            sockets[0].apply([changes.add_vxlan("vxlan1", VXLAN, mtu=1450, ns_fd=fd)])
    assert isinstance(caught.value, KernelError)
    assert caught.value.errno == errno.EEXIST


def test_a_bridge_port(spaces: list[Namespace], sockets: list[Netlink]) -> None:
    bridge = _bridge(sockets[0])
    sockets[0].apply([changes.add_veth("veth0", "eth0"), changes.set_link("veth0", master=bridge)])
    port = _link(sockets[0], "veth0").port
    assert port is not None
    assert (port.isolated, port.learning, port.hairpin, port.flood) == (False, True, False, True)
    sockets[0].apply([changes.set_bridge_port("veth0", isolated=True, learning=False, hairpin=True)])
    port = _link(sockets[0], "veth0").port
    assert port is not None
    assert (port.isolated, port.learning, port.hairpin, port.flood) == (True, False, True, True)
    (seen,) = _ip(spaces[0], "link", "show", "veth0")
    data = seen["linkinfo"]["info_slave_data"]
    assert (data["isolated"], data["learning"], data["hairpin"], data["flood"]) == (True, False, True, True)


def test_renaming_and_moving(spaces: list[Namespace], sockets: list[Netlink]) -> None:
    near, far = sockets
    near.apply([changes.add_veth("a", "b")])
    near.apply([changes.set_link(near.index("a"), name="c", mtu=1400, mac=MAC)])
    assert near.link("a") is None
    assert (_link(near, "c").mtu, _link(near, "c").mac) == (1400, MAC)
    with netns.opened(spaces[1].path) as fd:
        near.apply([changes.set_link(near.index("c"), ns_fd=fd, name="eth7")])
    assert near.link("c") is None
    assert _link(far, "eth7").mac == MAC


def test_an_alias_goes_again(sockets: list[Netlink]) -> None:
    sockets[0].apply([changes.set_link("lo", alias="ours")])
    assert _link(sockets[0], "lo").alias == "ours"
    sockets[0].apply([changes.set_link("lo", alias="")])
    assert _link(sockets[0], "lo").alias == ""


@pytest.mark.parametrize(
    ("text", "brd"), [("10.255.0.1/16", "10.255.255.255"), ("10.0.0.2/32", None), ("fd00::1/64", None)]
)
def test_an_address(spaces: list[Namespace], sockets: list[Netlink], text: str, brd: str | None) -> None:
    ip, index = ip_interface(text), _bridge(sockets[0])
    sockets[0].apply([changes.add_address(index, ip)])
    (found,) = [a for a in sockets[0].addresses() if a.ip == ip]
    assert (found.index, found.scope) == (index, Scope.UNIVERSE)
    (link,) = _ip(spaces[0], "addr", "show", "br0")
    (seen,) = [a for a in link["addr_info"] if a["scope"] == "global"]
    assert f"{seen['local']}/{seen['prefixlen']}" == text
    assert seen.get("broadcast") == brd
    assert "tentative" not in seen
    with pytest.raises(Conflict):
        sockets[0].apply([changes.add_address(index, ip)])
    sockets[0].apply([changes.del_address(index, ip)])
    assert not [a for a in sockets[0].addresses() if a.ip == ip]
    with pytest.raises(NotFound):
        sockets[0].apply([changes.del_address(index, ip)])


@pytest.mark.parametrize(
    ("dst", "gateway", "table", "source"),
    [
        ("10.9.0.0/16", "10.0.0.9", 254, None),
        ("10.9.0.0/16", None, 102, "10.0.0.1"),
        ("0.0.0.0/0", "10.0.0.9", 1000, None),
        ("fd09::/64", "fd00::9", 254, None),
        ("fd09::/64", None, 102, None),
        ("::/0", "fd00::9", 1000, None),
    ],
)
def test_a_route(
    spaces: list[Namespace], sockets: list[Netlink], dst: str, gateway: str | None, table: int, source: str | None
) -> None:
    index = _bridge(sockets[0], "10.0.0.1/24", "fd00::1/64")
    route = changes.route(
        ip_network(dst),
        gateway=ip_address(gateway) if gateway else None,
        index=index,
        table=table,
        source=ip_address(source) if source else None,
    )
    sockets[0].apply([changes.add_route(route)])
    assert route in sockets[0].routes()
    assert route in sockets[0].routes(table)
    assert route not in sockets[0].routes(255)
    seen = _ip(spaces[0], "-4" if route.dst.version == 4 else "-6", "route", "show", "table", str(table), dst)
    if table != 254:
        assert [r.get("gateway") for r in seen] == [gateway]
    with pytest.raises(Conflict):
        sockets[0].apply([changes.add_route(route)])
    sockets[0].apply([changes.replace_route(route), changes.del_route(route)])
    assert route not in sockets[0].routes()
    with pytest.raises(NotFound):
        sockets[0].apply([changes.del_route(route)])


@pytest.mark.parametrize("dst", [ip_network("10.9.0.0/16"), ip_network("fd09::/64")])
@pytest.mark.parametrize("kind", [RouteKind.BLACKHOLE, RouteKind.UNREACHABLE])
def test_a_route_that_leads_nowhere(sockets: list[Netlink], dst: IPNetwork, kind: RouteKind) -> None:
    sockets[0].apply([changes.set_link("lo", up=True)])
    route = changes.route(dst, kind=kind)
    sockets[0].apply([changes.add_route(route)])
    (found,) = [r for r in sockets[0].routes(254) if r.dst == dst]
    assert found.kind == kind
    sockets[0].apply([changes.del_route(route)])
    assert not [r for r in sockets[0].routes(254) if r.dst == dst]


def test_an_unknown_table_has_no_routes(sockets: list[Netlink]) -> None:
    assert sockets[0].routes(4711) == []


@pytest.mark.parametrize("family", [AF_INET, AF_INET6])
@pytest.mark.parametrize("table", [102, 1000])
def test_a_rule(spaces: list[Namespace], sockets: list[Netlink], family: int, table: int) -> None:
    rule = changes.mark_rule(family, 100, 0x2, table)
    sockets[0].apply([changes.add_rule(rule)])
    assert rule in sockets[0].rules()
    (seen,) = _ip(spaces[0], "-4" if family == AF_INET else "-6", "rule", "show", "priority", "100")
    assert (int(seen["fwmark"], 16), seen["table"]) == (2, str(table))
    with pytest.raises(Conflict):
        sockets[0].apply([changes.add_rule(rule)])
    sockets[0].apply([changes.del_rule(rule)])
    assert rule not in sockets[0].rules()


@pytest.mark.parametrize("ip", [ip_address("10.0.0.7"), ip_address("fd00::7")])
def test_a_neighbour(spaces: list[Namespace], sockets: list[Netlink], ip: IPAddress) -> None:
    index = _bridge(sockets[0], "10.0.0.1/24", "fd00::1/64")

    def found() -> list[Neighbour]:
        return [n for n in sockets[0].neighbours() if n.ip == ip]

    sockets[0].apply([changes.add_neighbour(index, ip, MAC)])
    with pytest.raises(Conflict):
        sockets[0].apply([changes.add_neighbour(index, ip, MAC)])
    sockets[0].apply([changes.replace_neighbour(index, ip, "02:42:0a:00:00:07")])
    (neighbour,) = found()
    assert (neighbour.index, neighbour.mac, neighbour.permanent) == (index, "02:42:0a:00:00:07", True)
    (seen,) = _ip(spaces[0], "neigh", "show", str(ip), "dev", "br0")
    assert (seen["lladdr"], seen["state"]) == ("02:42:0a:00:00:07", ["PERMANENT"])
    sockets[0].apply([changes.del_neighbour(index, ip)])
    assert not [n for n in found() if n.permanent]


def test_fdb_entries_of_a_vxlan_device_and_of_its_bridge(spaces: list[Namespace], sockets: list[Netlink]) -> None:
    bridge, vtep = _bridge(sockets[0]), ip_address("192.0.2.2")
    sockets[0].apply([changes.add_vxlan("vxlan0", VXLAN, mtu=1450), changes.set_link("vxlan0", up=True, master=bridge)])
    index, mac = sockets[0].index("vxlan0"), "02:42:0a:00:00:07"
    sockets[0].apply(
        [
            changes.add_fdb(index, mac, ip_address("192.0.2.1")),
            changes.replace_fdb(index, mac, vtep),
            changes.add_fdb(index, mac, None),
        ]
    )
    own, at_port = sorted((e for e in sockets[0].fdb() if e.mac == mac), key=lambda e: e.dst is None)
    assert (own.index, own.dst, own.master, own.permanent) == (index, vtep, None, True)
    assert (at_port.index, at_port.dst, at_port.master) == (index, None, bridge)
    seen = [e for e in _ip(spaces[0], "fdb", "show", "dev", "vxlan0", tool="bridge") if e["mac"] == mac]
    assert sorted((e.get("dst"), e.get("master"), e["state"]) for e in seen if "dst" in e) == [
        ("192.0.2.2", None, "permanent")
    ]
    assert [(e["master"], e["state"]) for e in seen if "master" in e] == [("br0", "static")]
    with pytest.raises(Conflict):
        sockets[0].apply([changes.add_fdb(index, mac, vtep)])
    sockets[0].apply([changes.del_fdb(index, mac, vtep), changes.del_fdb(index, mac, None)])
    assert not [e for e in sockets[0].fdb() if e.mac == mac]
    with pytest.raises(NotFound):
        sockets[0].apply([changes.del_fdb(index, mac, vtep)])


def test_a_batch_goes_on_after_a_failure_and_tells_the_first(sockets: list[Netlink]) -> None:
    batch = [
        changes.add_bridge("br0"),
        changes.add_bridge("br0"),
        changes.del_link("absent"),
        changes.add_bridge("br1"),
    ]
    failures = sockets[0].attempt(batch)
    assert [(f.position, f.change, f.error.errno) for f in failures] == [
        (1, batch[1], errno.EEXIST),
        (2, batch[2], errno.ENODEV),
    ]
    assert sockets[0].link("br1")
    with pytest.raises(NotFound, match="remove the link absent"):
        sockets[0].apply([changes.del_link("absent"), changes.add_bridge("br0")])


def test_many_changes_are_one_call(sockets: list[Netlink]) -> None:
    index = _bridge(sockets[0])
    batch = [changes.add_neighbour(index, ip_address(0x0A000000 + i), MAC) for i in range(1000)]
    sockets[0].apply(batch)
    assert len([n for n in sockets[0].neighbours() if n.permanent]) == 1000
    assert [f.position for f in sockets[0].attempt([*batch[:300], changes.del_link("absent")])] == [*range(301)]


def test_a_dump_of_200_links(sockets: list[Netlink]) -> None:
    for i in range(100):
        sockets[0].apply([changes.add_veth(f"a{i}", f"b{i}")])
    links = {link.index: link for link in sockets[0].links()}
    assert len(links) == 201
    assert all(links[link.peer_index].peer_index == link.index for link in links.values() if link.peer_index)


def test_a_wrong_request_says_why(sockets: list[Netlink]) -> None:
    with pytest.raises(Internal, match="change the link lo: .*mtu") as caught:
        sockets[0].apply([changes.set_link("lo", mtu=1 << 31)])
    assert isinstance(caught.value, KernelError)
    assert caught.value.errno == errno.EINVAL


def test_absent_links_are_not_found(sockets: list[Netlink]) -> None:
    with pytest.raises(NotFound, match="absent"):
        sockets[0].index("absent")
    assert sockets[0].link("absent") is None
    assert sockets[0].link(4711) is None


def test_names_and_macs_are_checked_before_the_kernel_sees_them() -> None:
    bad: list[Callable[[], Change]] = [
        lambda: changes.add_bridge("a-name-that-is-too-long"),
        lambda: changes.add_bridge(""),
        lambda: changes.add_bridge("br0", "02:42"),
        lambda: changes.add_bridge("br0", "nonsense"),
        lambda: changes.set_link("lo", alias="x" * 256),
        lambda: changes.set_link("lo", name="lo1"),
    ]
    for make in bad:
        with pytest.raises(InvalidArgument):
            make()


def test_a_socket_stays_in_its_namespace_and_keeps_it(spaces: list[Namespace]) -> None:
    with closing(Netlink.open(spaces[0].path)) as sock:
        sock.apply([changes.add_bridge("br0")])
        netns.delete(spaces[0].path.name)
        assert sock.link("br0")
    with pytest.raises(NotFound):
        Netlink.open(spaces[0].path)


def test_a_route_of_the_kernels_own_can_be_removed(sockets: list[Netlink]) -> None:
    _bridge(sockets[0], "10.0.0.1/24", "fd00::1/64")
    mine: list[Route] = [
        r for r in sockets[0].routes(254) if r.dst in (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))
    ]
    assert len(mine) == 2
    sockets[0].apply([changes.del_route(r) for r in mine])
    assert not [r for r in sockets[0].routes(254) if r in mine]
