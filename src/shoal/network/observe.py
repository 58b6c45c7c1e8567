"""Reading a node's network back from the kernel: only what is ours, in the same items as the description.

Ours are the namespaces whose ``lo`` carries our alias and all that is in them; in the host's namespace the links with
our alias, their addresses, the routes and rules with our protocol number and the nft tables with our name.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from socket import AF_INET

from shoal.errors import NotFound
from shoal.kernel import netns, records, sysctl
from shoal.network.apply import PROTOCOL
from shoal.network.handles import Handles
from shoal.network.items import (
    HOST,
    Address,
    Bridge,
    FdbEntry,
    Item,
    Key,
    Namespace,
    Neighbour,
    Route,
    Rule,
    Sysctl,
    Table,
    Veth,
    Vxlan,
)
from shoal.network.plan import by_key


def observe(owner: str, handles: Handles, sysctls: Iterable[Sysctl] = ()) -> dict[Key, Item]:
    """Everything that carries ``owner``'s mark, and the present values of ``sysctls``."""
    handles.reaper.wait()  # or what is about to go would be counted
    spaces = our_namespaces(owner, handles)
    links = {ns: handles.netlink(ns).links() for ns in [HOST, *spaces]}
    peers = Peers(links, handles)
    items: list[Item] = [Namespace(name, alias) for name, alias in spaces.items()]
    for ns, found in links.items():
        ours = [link for link in found if ns != HOST or link.alias.startswith(f"{owner}:")]
        items += _links(ns, ours, found, peers)
        items += _entries(ns, {link.index: link.name for link in ours}, owner, handles)
    items += (found for wanted in sysctls for found in _sysctl(wanted, handles))
    return by_key(items)


def our_namespaces(owner: str, handles: Handles) -> dict[str, str]:
    """The named namespaces of this owner, with the alias that says whose each is."""
    found: dict[str, str] = {}
    names = netns.list_names(handles.base)
    handles.keep_only(names)
    for name in names:
        with suppress(NotFound):
            lo = handles.netlink(name).link("lo")
            if lo is not None and lo.alias.startswith(f"{owner}:"):
                found[name] = lo.alias
                continue
        handles.forget(name)
    return found


class Peers:
    """Finds the other ends of links, across all namespaces that are known."""

    def __init__(self, links: dict[str, list[records.Link]], handles: Handles) -> None:
        self._links = links
        self._handles = handles
        self._names: dict[str, dict[int, str]] = {}
        self._untold: dict[str, Iterator[str]] = {}
        self._by_index = {(ns, link.index): link for ns, found in links.items() for link in found}

    def of(self, ns: str, link: records.Link) -> tuple[str, records.Link] | None:
        """The namespace and the link at the other end of a veth; ``None`` if it is nowhere that we know."""
        if link.peer_index is None:
            return None
        where: str | None = ns if link.peer_nsid is None else self._name(ns, link.peer_nsid)
        if where is None:
            return None
        other = self._by_index.get((where, link.peer_index))
        return (where, other) if other is not None else None

    def _name(self, ns: str, nsid: int) -> str | None:
        """The namespace that ``ns`` knows under a number: each is asked for once, until the one is found."""
        known = self._names.setdefault(ns, {})
        untold = self._untold.setdefault(ns, iter(self._links))
        while nsid not in known and (other := next(untold, None)) is not None:
            with suppress(NotFound), netns.opened(self._handles.path(other) or netns.HOST) as fd:
                number = self._handles.netlink(ns).nsid_of(fd)
                if number is not None:
                    known[number] = other
        return known.get(nsid)


def _links(ns: str, ours: list[records.Link], everything: list[records.Link], peers: Peers) -> Iterator[Item]:
    names = {link.index: link.name for link in everything}
    for link in ours:
        # A link that is down is not as it should be: no description has one.
        alias = link.alias if link.up else "(down)"
        master = names.get(link.master) if link.master else None
        if link.kind == "bridge":
            yield Bridge(ns, link.name, link.mtu, link.mac, alias)
        elif link.kind == "veth":
            where, other = peers.of(ns, link) or ("?", None)
            isolated, hairpin = (link.port.isolated, link.port.hairpin) if link.port else (False, False)
            peer_name = other.name if other else "?"
            yield Veth(ns, link.name, where, peer_name, link.mtu, link.mac, alias, master, isolated, hairpin)
        elif link.vxlan is not None:
            yield Vxlan(ns, link.name, link.vxlan.vni, link.vxlan.port, link.mtu, alias, master)


def _entries(ns: str, names: dict[int, str], owner: str, handles: Handles) -> Iterator[Item]:
    netlink = handles.netlink(ns)
    for address in netlink.addresses():
        if address.index in names and not address.ip.is_loopback and not address.ip.is_link_local:
            yield Address(ns, names[address.index], str(address.ip))
    for route in netlink.routes():
        if route.protocol == PROTOCOL and route.index in names:
            via = str(route.gateway) if route.gateway else None
            yield Route(ns, str(route.dst), via, names[route.index], route.table)
    for rule in netlink.rules():
        if rule.protocol == PROTOCOL:
            yield Rule(ns, 4 if rule.family == AF_INET else 6, rule.fwmark, rule.table)
    for neighbour in netlink.neighbours():
        if neighbour.permanent and neighbour.index in names and not neighbour.ip.is_multicast:
            yield Neighbour(ns, names[neighbour.index], str(neighbour.ip), neighbour.mac)
    for entry in netlink.fdb():
        if entry.permanent and entry.dst is not None and entry.index in names:
            yield FdbEntry(ns, names[entry.index], entry.mac, str(entry.dst))
    for table in handles.nft(ns).list_tables():
        if table.name == owner:
            yield Table(ns, table.family, table.name, table.comment)


def _sysctl(wanted: Sysctl, handles: Handles) -> Iterator[Sysctl]:
    with suppress(NotFound):
        yield Sysctl(wanted.ns, wanted.name, sysctl.read(handles.path(wanted.ns), wanted.name))
