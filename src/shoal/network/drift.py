"""Whether what the kernel tells can mean that something of ours is not as it should be. Pure.

Most of what it tells is our own doing, or nobody's: then the last word on each thing agrees with what is wanted, and
nothing needs to be read back. A wrong "yes" costs a look; a wrong "no" lasts until the next sweep.
"""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_interface

from shoal.errors import NotFound
from shoal.kernel import records as r
from shoal.kernel.monitor import Event, EventKind
from shoal.network.items import Address, Bridge, FdbEntry, Item, Key, Neighbour, Route, Rule, Veth, Vxlan
from shoal.network.marks import PROTOCOL, is_ours


def concerns(
    events: Iterable[Event],
    ns: str,
    wanted: Mapping[Key, Item],
    owner: str,
    index_of: Callable[[str], int],
) -> bool:
    """Whether these events of one namespace call for a look there; ``wanted`` has at least that namespace's items, and
    ``index_of`` gives a link's number now, or raises NotFound."""
    last: dict[tuple[object, ...], Event] = {}
    for event in events:
        if event.kind is EventKind.OVERRUN:
            return True
        if event.subject is not None:
            # A route may have taken the place of another, of which the kernel says nothing, and be gone again.
            coming = isinstance(event.subject, r.Route) and not event.gone and event.subject.protocol != PROTOCOL
            last[(coming, *_identity(event.subject))] = event
    if not last:
        return False
    here = _Wanted(ns, wanted, owner, index_of)
    return any(here.is_otherwise(event) for event in last.values())


def _identity(subject: object) -> tuple[object, ...]:
    match subject:
        case r.Link():
            return ("link", subject.index)
        case r.Address():
            return ("address", subject.index, subject.ip)
        case r.Route():
            return ("route", subject.dst, subject.table, subject.protocol)
        case r.Rule():
            return ("rule", subject.family, subject.fwmark, subject.table, subject.protocol)
        case r.Neighbour():
            return ("neighbour", subject.index, subject.ip)
        case r.FdbEntry():
            return ("fdb", subject.index, subject.mac, subject.master)
        case _:
            raise AssertionError(subject)


class _Wanted:
    """One namespace's items as events name them, which know links by number."""

    def __init__(self, ns: str, wanted: Mapping[Key, Item], owner: str, index_of: Callable[[str], int]) -> None:
        self._owner = owner
        self._index_of = index_of
        self._indexes: dict[str | None, int | None] = {None: None}
        items = [item for item in wanted.values() if item.ns == ns]
        self._links = {item.name: item for item in items if isinstance(item, Bridge | Veth | Vxlan)}
        self._addresses = {ip_interface(item.address) for item in items if isinstance(item, Address)}
        self._routes = {(item.dst, item.table): item.via for item in items if isinstance(item, Route)}
        self._rules = {(item.mark, item.table) for item in items if isinstance(item, Rule)}
        self._neighbours = {item.ip: item.mac for item in items if isinstance(item, Neighbour)}
        self._fdb = {item.mac: item.vtep for item in items if isinstance(item, FdbEntry)}

    def is_otherwise(self, event: Event) -> bool:
        """Whether the event's subject is not as wanted now, or should not be."""
        match event.subject:
            case r.Link() as link:
                return self._is_link_otherwise(link, gone=event.gone)
            case r.Address() as address:
                is_wanted = address.ip in self._addresses
                return is_wanted if event.gone else address.protocol == PROTOCOL and not is_wanted
            case r.Route() as route:
                return self._is_route_otherwise(route, gone=event.gone)
            case r.Rule() as rule:
                is_wanted = (rule.fwmark, rule.table) in self._rules
                return is_wanted if event.gone else rule.protocol == PROTOCOL and not is_wanted
            case r.Neighbour() as entry:
                mac = self._neighbours.get(str(entry.ip))
                return mac is not None and (event.gone or not entry.permanent or entry.mac != mac)
            case r.FdbEntry() as entry if entry.master is None:
                vtep = self._fdb.get(entry.mac)
                return vtep is not None and (event.gone or not entry.permanent or str(entry.dst) != vtep)
            case _:
                return False

    def _is_link_otherwise(self, link: r.Link, *, gone: bool) -> bool:
        wanted = self._links.get(link.name)
        if wanted is None:
            # A link that is nobody's concern, unless it is plugged in somewhere: perhaps into a bridge of ours.
            return not gone and (link.master is not None or is_ours(link, self._owner))
        if gone or not link.up or link.mtu != wanted.mtu or link.alias != wanted.alias:
            return True
        if isinstance(wanted, Bridge | Veth) and wanted.mac is not None and link.mac != wanted.mac:
            return True
        return not isinstance(wanted, Bridge) and link.master != self._index(wanted.master)

    def _index(self, name: str | None) -> int | None:
        if name not in self._indexes:
            assert name is not None
            try:
                self._indexes[name] = self._index_of(name)
            except NotFound:
                self._indexes[name] = -1
        return self._indexes[name]

    def _is_route_otherwise(self, route: r.Route, *, gone: bool) -> bool:
        place = (str(route.dst), route.table)
        if place not in self._routes:
            return not gone and route.protocol == PROTOCOL
        if gone:
            return route.protocol == PROTOCOL
        # One that somebody puts in the place of ours is not told of as the end of ours.
        via = str(route.gateway) if route.gateway else None
        return route.protocol != PROTOCOL or via != self._routes[place]
