"""Events of a namespace; as root."""

import os
import select
import uuid
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address, ip_interface, ip_network
from socket import AF_INET

import pytest

from shoal.kernel import changes, netns
from shoal.kernel.monitor import Event, EventKind, Monitor
from shoal.kernel.netlink import Netlink
from shoal.kernel.netns import Namespace
from shoal.kernel.records import Address, Link, Neighbour, Route, Rule, Vxlan

pytestmark = pytest.mark.root


@pytest.fixture
def spaces() -> Iterator[list[Namespace]]:
    """Two namespaces of this test's own."""
    names = [f"t-{os.getpid()}-{uuid.uuid4().hex[:6]}" for _ in range(2)]
    try:
        yield [netns.create(name) for name in names]
    finally:
        for name in names:
            netns.delete(name)


def _read(monitor: Monitor) -> list[Event]:
    events: list[Event] = []
    while select.select([monitor], [], [], 0.2)[0]:
        events += monitor.read()
    return events


def test_each_kind_of_object_coming_and_going(spaces: list[Namespace]) -> None:
    with closing(Monitor.open(spaces[0].path)) as monitor, closing(Netlink.open(spaces[0].path)) as sock:
        sock.apply([changes.add_bridge("br0", "02:42:0a:00:00:01"), changes.set_link("br0", up=True)])
        index, ip, mac = sock.index("br0"), ip_interface("10.0.0.1/24"), "02:42:0a:00:00:07"
        route = changes.route(ip_network("10.9.0.0/16"), gateway=ip_address("10.0.0.9"), index=index)
        rule, other = changes.mark_rule(AF_INET, 100, 2, 102), ip_address("10.0.0.7")
        sock.apply([changes.add_address(index, ip), changes.add_route(route), changes.add_rule(rule)])
        sock.apply([changes.add_neighbour(index, other, mac)])
        came = _read(monitor)
        assert not [e for e in came if e.gone and e.kind is not EventKind.FDB]
        assert [e.subject for e in came if e.kind is EventKind.ROUTE and e.subject == route]
        assert [e.subject for e in came if e.kind is EventKind.RULE] == [rule]
        assert [e.subject.ip for e in came if isinstance(e.subject, Address) and e.subject.ip.version == 4] == [ip]
        assert [e.subject.mac for e in came if isinstance(e.subject, Neighbour) and e.subject.ip == other] == [mac]
        assert {e.subject.name for e in came if isinstance(e.subject, Link)} == {"br0"}

        sock.apply([changes.del_rule(rule), changes.del_route(route), changes.del_link(index)])
        went = [e for e in _read(monitor) if e.gone]
        assert [e.subject for e in went if isinstance(e.subject, Rule)] == [rule]
        assert route in [e.subject for e in went if isinstance(e.subject, Route)]
        assert [e.subject.name for e in went if isinstance(e.subject, Link)] == ["br0"]
        assert ip in [e.subject.ip for e in went if isinstance(e.subject, Address)]


def test_a_link_that_leaves_its_bridge_is_not_gone(spaces: list[Namespace]) -> None:
    with closing(Monitor.open(spaces[0].path)) as monitor, closing(Netlink.open(spaces[0].path)) as sock:
        sock.apply([changes.add_bridge("br0"), changes.add_veth("a", "b")])
        sock.apply([changes.set_link("a", master=sock.index("br0")), changes.set_link("a", master=0)])
        events = _read(monitor)
        assert not [e for e in events if e.kind is EventKind.LINK and e.gone]
        assert [e for e in events if e.kind is EventKind.PORT and e.gone]


def test_fdb_entries_are_events_of_their_own(spaces: list[Namespace]) -> None:
    with closing(Monitor.open(spaces[0].path)) as monitor, closing(Netlink.open(spaces[0].path)) as sock:
        vxlan = Vxlan(vni=4096, port=4789, proxy=True, l2miss=True, l3miss=True, learning=False)
        sock.apply([changes.add_vxlan("vxlan0", vxlan, mtu=1450)])
        index, mac, vtep = sock.index("vxlan0"), "02:42:0a:00:00:07", ip_address("192.0.2.1")
        sock.apply([changes.add_fdb(index, mac, vtep), changes.del_fdb(index, mac, vtep)])
        events = [e for e in _read(monitor) if e.kind is EventKind.FDB]
        assert [e.gone for e in events] == [False, True]


def test_too_many_events_are_an_overrun_and_no_end(spaces: list[Namespace]) -> None:
    with closing(Monitor.open(spaces[0].path, receive_buffer=8192)) as monitor:
        with closing(Netlink.open(spaces[0].path)) as sock:
            sock.apply([changes.set_link("lo", up=True, alias=str(i)) for i in range(100)])
            assert EventKind.OVERRUN in {e.kind for e in _read(monitor)}
            sock.apply([changes.set_link("lo", alias="after")])
        assert [e.subject.alias for e in _read(monitor) if isinstance(e.subject, Link)] == ["after"]


def test_nothing_to_read_does_not_wait(spaces: list[Namespace]) -> None:
    with closing(Monitor.open(spaces[0].path)) as monitor:
        assert monitor.read() == []
