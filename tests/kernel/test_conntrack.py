"""Tracked connections, made by real datagrams within a namespace; as root."""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_address, ip_interface

import pytest

from shoal.kernel import changes, netns
from shoal.kernel.conntrack import Conntrack, Flow
from shoal.kernel.netlink import Netlink
from shoal.kernel.netns import Namespace
from shoal.kernel.nftables import Nftables

pytestmark = pytest.mark.root

# a VIP with two backends, and tracking of everything else that leaves
SCRIPT = """table ip vip { chain out {
  type nat hook output priority -100;
  ip daddr 10.0.0.100 udp dport 53 dnat to 10.0.0.1:5353
  ip daddr 10.0.0.101 udp dport 53 dnat to 10.0.0.2:5353
}
}
table ip6 track { chain out { type filter hook output priority 0; ct state new accept; }
}
"""


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
def table(spaces: list[Namespace]) -> Iterator[Conntrack]:
    """A namespace with four tracked flows: two through VIPs, one to a backend itself, one of IPv6."""
    path = spaces[0].path
    with closing(Netlink.open(path)) as sock, closing(Nftables.open(path)) as nft:
        own = [f"10.0.0.{n}/32" for n in (1, 2, 100, 101)] + ["fd00::1/128"]
        sock.apply([changes.set_link("lo", up=True), *(changes.add_address(1, ip_interface(a)) for a in own)])
        nft.run(SCRIPT)

        targets = [("10.0.0.100", 53), ("10.0.0.101", 53), ("10.0.0.1", 5353), ("fd00::1", 5353)]
        senders = netns.run_in(path, lambda: [_sender(address) for address, _ in targets])
        with closing(Conntrack.open(path)) as conntrack, ExitStack() as stack:
            for sender in senders:
                stack.enter_context(sender)
            # A first packet may be lost while the addresses settle; another from the same socket is the same flow.
            for _ in range(20):
                for sender, target in zip(senders, targets, strict=True):
                    sender.sendto(b"x", target)
                if len(_udp(conntrack)) == len(targets):
                    break
                time.sleep(0.05)
            yield conntrack


def _sender(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)


def _udp(conntrack: Conntrack) -> dict[str, Flow]:
    return {str(flow.original.dst): flow for flow in conntrack.flows() if flow.protocol == socket.IPPROTO_UDP}


def test_flows_show_both_directions(table: Conntrack) -> None:
    flows = _udp(table)
    assert set(flows) == {"10.0.0.100", "10.0.0.101", "10.0.0.1", "fd00::1"}
    vip = flows["10.0.0.100"]
    assert (vip.original.dport, vip.reply.src, vip.reply.sport) == (53, ip_address("10.0.0.1"), 5353)
    assert table.count() == len(table.flows())


@pytest.mark.parametrize(
    ("backends", "protocol", "gone"),
    [
        ({"10.0.0.1"}, None, {"10.0.0.100"}),
        ({"10.0.0.1", "10.0.0.2", "10.0.0.7"}, socket.IPPROTO_UDP, {"10.0.0.100", "10.0.0.101"}),
        ({"10.0.0.1"}, socket.IPPROTO_TCP, set()),
        ({"10.0.0.100", "fd00::1"}, None, set()),
    ],
)
def test_connections_to_a_backend_go_and_nothing_else(
    table: Conntrack, backends: set[str], protocol: int | None, gone: set[str]
) -> None:
    before = set(_udp(table))
    assert table.forget_backends({ip_address(b) for b in backends}, protocol) == len(gone)
    assert before - set(_udp(table)) == gone


def test_an_empty_namespace_has_none(spaces: list[Namespace]) -> None:
    with closing(Conntrack.open(spaces[1].path)) as conntrack:
        assert conntrack.flows() == []
        assert conntrack.count() == 0
        assert conntrack.forget_backends({ip_address("10.0.0.1")}) == 0
