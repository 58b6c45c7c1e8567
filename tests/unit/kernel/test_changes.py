"""What a change says and what the kernel answers have one format: each verb is read back by the decoder."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from socket import AF_INET, AF_INET6

from hypothesis import given
from hypothesis import strategies as st

from shoal.kernel import changes
from shoal.kernel import records as r

indexes = st.integers(1, 0x7FFFFFFF)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))
addresses4, addresses6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
addresses = addresses4 | addresses6
interfaces = st.builds(lambda ip, p: IPv4Interface((ip, p)), addresses4, st.integers(0, 32)) | st.builds(
    lambda ip, p: IPv6Interface((ip, p)), addresses6, st.integers(0, 128)
)
tables = st.integers(1, 0xFFFFFFFF)


@st.composite
def routes(draw: st.DrawFn) -> r.Route:
    four = draw(st.booleans())
    ips: st.SearchStrategy[IPv4Address | IPv6Address] = addresses4 if four else addresses6
    network = IPv4Network if four else IPv6Network
    return r.Route(
        dst=network((int(draw(ips)), draw(st.integers(0, 32 if four else 128))), strict=False),
        table=draw(tables),
        kind=draw(st.sampled_from(r.RouteKind)),
        gateway=draw(st.none() | ips),
        index=draw(st.none() | indexes),
        source=draw(st.none() | ips),
        scope=draw(st.integers(0, 255)),
        metric=draw(st.integers(0, 0xFFFFFFFF)),
        protocol=draw(st.integers(0, 255)),
    )


@given(routes())
def test_routes(route: r.Route) -> None:
    for change in (changes.add_route(route), changes.replace_route(route), changes.del_route(route)):
        assert r.decode_route(change.body) == route
        assert str(route.dst) in change.text


@given(indexes, interfaces, st.sampled_from(r.Scope))
def test_addresses(index: int, ip: r.IPInterface, scope: r.Scope) -> None:
    address = r.decode_address(changes.add_address(index, ip, scope).body)
    assert (address.index, address.ip, address.scope) == (index, ip, scope)
    assert bool(address.flags & r.IFA_F_NODAD) == (ip.version == 6)
    assert r.decode_address(changes.del_address(index, ip).body).ip == ip


@given(
    st.sampled_from([AF_INET, AF_INET6]), st.integers(0, 32765), st.integers(1, 0xFFFFFFFF), tables, st.integers(0, 255)
)
def test_rules(family: int, priority: int, mark: int, table: int, protocol: int) -> None:
    rule = changes.mark_rule(family, priority, mark, table, protocol)
    assert r.decode_rule(changes.add_rule(rule).body) == rule == r.decode_rule(changes.del_rule(rule).body)


def test_rules_on_addresses() -> None:
    rule = r.Rule(AF_INET, 7, 300, 0, 0, IPv4Network("10.0.0.0/8"), IPv4Network("10.1.0.0/16"), 4)
    assert r.decode_rule(changes.add_rule(rule).body) == rule


@given(indexes, addresses, macs)
def test_neighbours(index: int, ip: r.IPAddress, mac: str) -> None:
    for change in (changes.add_neighbour(index, ip, mac), changes.replace_neighbour(index, ip, mac)):
        assert r.decode_neighbour(change.body) == r.Neighbour(index, ip, mac, r.NUD_PERMANENT, 0)
    assert r.decode_neighbour(changes.del_neighbour(index, ip).body).ip == ip


@given(indexes, macs, st.none() | addresses)
def test_fdb_entries(index: int, mac: str, vtep: r.IPAddress | None) -> None:
    for change in (changes.add_fdb(index, mac, vtep), changes.replace_fdb(index, mac, vtep)):
        entry = r.decode_fdb(change.body)
        assert (entry.index, entry.mac, entry.dst) == (index, mac, vtep)
        assert entry.permanent == (vtep is not None)


@given(
    st.builds(
        r.Vxlan,
        vni=st.integers(0, 2**24 - 1),
        port=st.integers(1, 65535),
        proxy=st.booleans(),
        l2miss=st.booleans(),
        l3miss=st.booleans(),
        learning=st.booleans(),
        local=st.none() | addresses.filter(lambda ip: not ip.is_unspecified),
    ),
    macs,
    st.integers(68, 65535),
)
def test_vxlan_devices(vxlan: r.Vxlan, mac: str, mtu: int) -> None:
    link = r.decode_link(changes.add_vxlan("vxlan0", vxlan, mac=mac, mtu=mtu).body)
    assert (link.name, link.kind, link.vxlan, link.mac, link.mtu) == ("vxlan0", "vxlan", vxlan, mac, mtu)


@given(st.booleans(), st.text(max_size=60).filter(lambda t: "\0" not in t), st.integers(0, 9))
def test_links(up: bool, alias: str, master: int) -> None:
    link = r.decode_link(changes.set_link("veth0", up=up, alias=alias, master=master).body)
    assert (link.name, link.up, link.alias, link.master) == ("veth0", up, alias, master)


@given(st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_bridge_ports(isolated: bool, learning: bool, hairpin: bool, flood: bool) -> None:
    change = changes.set_bridge_port("veth0", isolated=isolated, learning=learning, hairpin=hairpin, flood=flood)
    assert r.decode_link(change.body).port == r.BridgePort(isolated, learning, hairpin, flood)


def test_a_route_gets_the_kernels_defaults() -> None:
    direct = changes.route(IPv4Network("10.0.0.0/8"), index=2)
    assert (direct.scope, direct.metric, direct.table) == (r.Scope.LINK, 0, r.TABLE_MAIN)
    assert changes.route(IPv4Network("10.0.0.0/8"), gateway=IPv4Address("10.0.0.1")).scope == r.Scope.UNIVERSE
    assert changes.route(IPv6Network("fd00::/64"), index=2).metric == 1024
