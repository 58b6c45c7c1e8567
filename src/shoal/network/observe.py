"""Reading a node's network back from the kernel: only what is ours, in the same items as the description.

Ours are the namespaces whose ``lo`` carries our alias; in them and in the host's the links with our alias, the routes,
rules and addresses with our protocol number and the nft tables with our name. What a container makes in its own
namespace is its own. What is wanted counts as ours whatever mark it has lost, where that is no matter of whose it is.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from socket import AF_INET

from shoal.errors import NotFound
from shoal.kernel import netns, records, sysctl
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
    Stray,
    Sysctl,
    Veth,
    Vxlan,
)
from shoal.network.marks import PROTOCOL, is_ours
from shoal.network.plan import by_key


def observe(handles: Handles, wanted: Mapping[Key, Item], only: Collection[str] | None = None) -> dict[Key, Item]:
    """Everything that carries the owner's mark, and the present values of the wanted sysctls; in all namespaces, or in
    these ``only``."""
    wanted_spaces = [item.name for item in wanted.values() if isinstance(item, Namespace)]
    handles.keep_only(netns.list_names(handles.base), wanted_spaces)
    names = netns.list_names(handles.base)  # some have come back
    spaces = our_namespaces(handles, names if only is None else [name for name in names if name in only])
    places = [ns for ns in (HOST, *spaces) if only is None or ns in only]
    links = {ns: handles.netlink(ns).links() for ns in places}
    peers = Peers(links, handles)
    going = handles.reaper.pending
    items: list[Item] = [Namespace(name, alias) for name, alias in spaces.items()]
    for ns, found in links.items():
        ours = [
            link
            for link in found
            if (key := ("link", ns, link.name)) not in going
            and (is_ours(link, handles.owner) or (ns != HOST and key in wanted))
        ]
        items += _links(ns, ours, found, peers)
        items += _entries(ns, ours, wanted, handles)
        items += handles.tables.look(ns)
    items += read_sysctls([i for i in wanted.values() if isinstance(i, Sysctl) and i.ns in links], handles)
    return by_key(items)


def our_namespaces(handles: Handles, names: Iterable[str]) -> dict[str, str]:
    """Those of the named namespaces that are the owner's, with the alias that says whose each is."""
    found: dict[str, str] = {}
    for name in names:
        with suppress(NotFound):
            lo = handles.netlink(name).link("lo")
            if lo is not None and is_ours(lo, handles.owner):
                found[name] = lo.alias
                continue
        handles.forget(name)
    return found


class Peers:
    """Finds the other ends of links, across all namespaces that are open; ``links`` are those that were read."""

    def __init__(self, links: Mapping[str, list[records.Link]], handles: Handles) -> None:
        self._handles = handles
        self._read = set(links)
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
        if other is None and where not in self._read:
            other = self._handles.netlink(where).link(link.peer_index)
        return (where, other) if other is not None else None

    def _name(self, ns: str, nsid: int) -> str | None:
        """The namespace that ``ns`` knows under a number: each is asked for once, until the one is found."""
        known = self._names.setdefault(ns, {})
        untold = self._untold.setdefault(ns, iter((HOST, *self._handles.entered)))
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
    mine = {link.index for link in ours}
    bridges = {link.index for link in ours if link.kind == "bridge"}
    for link in everything:
        if link.master in bridges and link.index not in mine:
            yield Stray(ns, link.name, names[link.master])


def _entries(ns: str, ours: list[records.Link], wanted: Mapping[Key, Item], handles: Handles) -> Iterator[Item]:
    netlink = handles.netlink(ns)
    names = {link.index: link.name for link in ours}
    tunnels = {link.index for link in ours if link.vxlan is not None}
    for address in netlink.addresses():
        if address.index in names:
            found = Address(ns, names[address.index], str(address.ip))
            if address.protocol == PROTOCOL or found.key in wanted:
                yield found
    for route in netlink.routes():
        if route.protocol == PROTOCOL and route.index in names:
            via = str(route.gateway) if route.gateway else None
            yield Route(ns, str(route.dst), via, names[route.index], route.table)
    for rule in netlink.rules():
        if rule.protocol == PROTOCOL:
            yield Rule(ns, 4 if rule.family == AF_INET else 6, rule.fwmark, rule.table)
    if not tunnels:
        return
    for neighbour in netlink.neighbours():
        if neighbour.permanent and neighbour.index in tunnels and not neighbour.ip.is_multicast:
            yield Neighbour(ns, names[neighbour.index], str(neighbour.ip), neighbour.mac)
    for entry in netlink.fdb():
        if entry.permanent and entry.dst is not None and entry.index in tunnels:
            yield FdbEntry(ns, names[entry.index], entry.mac, str(entry.dst))


def read_sysctls(wanted: Iterable[Sysctl], handles: Handles) -> Iterator[Sysctl]:
    """The present values of settings; one whose link or namespace is gone has none."""
    by_ns: dict[str, list[str]] = defaultdict(list)
    for item in wanted:
        by_ns[item.ns].append(item.name)
    for ns, names in by_ns.items():
        with suppress(NotFound):
            values = sysctl.read(handles.path(ns), names)
            yield from (Sysctl(ns, name, value) for name, value in values.items())
