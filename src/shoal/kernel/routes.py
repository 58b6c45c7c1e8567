"""Which networks the host has routes to, so that no pool is laid over one; and how it reaches an address."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass

from shoal.kernel import records
from shoal.kernel.netlink import Netlink


@dataclass(frozen=True)
class Underlay:
    """How packets leave this machine: its own address there, and the link's MTU in bytes."""

    address: str
    link: str
    mtu: int


def host_routes(except_links: Collection[str] = ()) -> list[records.IPNetwork]:
    """The destinations of the main table's routes, default routes and those over ``except_links`` left out."""
    netlink = Netlink.open(None)
    try:
        names = {link.index: link.name for link in netlink.links()}
        return [
            route.dst
            for route in netlink.routes(records.TABLE_MAIN)
            if route.dst.prefixlen and not route.dst.is_link_local and names.get(route.index or 0) not in except_links
        ]
    finally:
        netlink.close()


def underlays() -> list[Underlay]:
    """The machine's own global addresses, those of the default route's link first."""
    netlink = Netlink.open(None)
    try:
        links = {link.index: link for link in netlink.links()}
        ways_out = [r.index for r in netlink.routes(records.TABLE_MAIN) if r.dst.prefixlen == 0 and r.dst.version == 4]
        found = []
        for address in netlink.addresses():
            link = links.get(address.index)
            if link is None or address.ip.is_loopback or address.ip.is_link_local or link.kind == "bridge":
                continue
            found.append((address.index not in ways_out, Underlay(str(address.ip.ip), link.name, link.mtu)))
        return [underlay for _, underlay in sorted(found, key=lambda pair: pair[0])]
    finally:
        netlink.close()


def mtu_of(address: str) -> int:
    """The MTU of the link that has this address; 1500 when none has it."""
    ip = ipaddress.ip_address(address)
    netlink = Netlink.open(None)
    try:
        links = {link.index: link.mtu for link in netlink.links()}
        return next((links[a.index] for a in netlink.addresses() if a.ip.ip == ip), 1500)
    finally:
        netlink.close()
