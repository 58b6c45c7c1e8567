"""Carrying a plan out: phase by phase, the changes of one namespace in one batch of netlink messages."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from socket import AF_INET, AF_INET6

from shoal.errors import Conflict, NotFound, ShoalError
from shoal.kernel import changes, netns, sysctl
from shoal.kernel.netlink import Netlink
from shoal.kernel.netlink_socket import Change
from shoal.kernel.records import Vxlan as VxlanParameters
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
    Table,
    Veth,
    Vxlan,
)
from shoal.network.marks import PROTOCOL, RULE_PRIORITY, nascent_group
from shoal.network.plan import Add, Operation, Phase, Remove, Set, phase_of


@dataclass(frozen=True)
class Failure:
    """An operation that the kernel refused."""

    operation: Operation
    error: ShoalError


def apply(operations: Iterable[Operation], handles: Handles) -> list[Failure]:
    """Carry out all operations, whatever becomes of the others; what failed, in order."""
    failures: list[Failure] = []
    barred: dict[str, ShoalError] = {}
    foreign: dict[Key, ShoalError] = {}
    for number, phase in groupby(operations, key=phase_of):
        by_ns: dict[str, list[Operation]] = defaultdict(list)
        for operation in phase:
            item = operation.item
            error = barred.get(item.ns) or barred.get(_far_end(item)) or _first_of(foreign, _links_of(item))
            if error is not None:
                failures.append(Failure(operation, error))
            else:
                by_ns[operation.item.ns].append(operation)
        if number == Phase.ADD_PAIR:
            handles.reaper.wait_for(_ends(operation for batch in by_ns.values() for operation in batch))
        for ns, batch in by_ns.items():
            failed = _apply_in(ns, batch, handles)
            failures += failed
            if failed and number == Phase.ADD_NAMESPACE:
                # It is somebody else's, or there is none: nothing of ours must come to lie there.
                barred[ns] = failed[0].error
            if number in (Phase.ADD_HUB, Phase.ADD_PAIR):
                # A link of that name is there already and is not ours: it keeps its settings and its alias.
                foreign |= {key: f.error for f in failed for key in _ends([f.operation])}
    return failures


def _first_of(foreign: Mapping[Key, ShoalError], keys: Iterable[Key]) -> ShoalError | None:
    return next((foreign[key] for key in keys if key in foreign), None)


def _links_of(item: Item) -> Iterator[Key]:
    """The links that an item is, stands on or is plugged into."""
    match item:
        case Bridge() | Veth() | Vxlan():
            yield item.key
            if not isinstance(item, Bridge) and item.master:
                yield ("link", item.ns, item.master)
        case Address() | Route() | Neighbour() | FdbEntry() | Sysctl() if item.link is not None:
            yield ("link", item.ns, item.link)
        case _:
            return


def _far_end(item: Item) -> str:
    return item.peer_ns if isinstance(item, Veth) else item.ns


def _ends(operations: Iterable[Operation]) -> Iterator[Key]:
    for operation in operations:
        yield operation.item.key
        if isinstance(operation.item, Veth):
            yield operation.item.peer_key


def _apply_in(ns: str, batch: list[Operation], handles: Handles) -> list[Failure]:
    failures: list[Failure] = []
    messages: list[tuple[Operation, Change]] = []
    with ExitStack() as open_files:
        for operation in batch:
            if not _stands_alone(operation):
                with _noting(operation, failures):
                    messages += [(operation, change) for change in _changes(operation, handles, open_files)]
        if messages:
            for failure in handles.netlink(ns).attempt([change for _, change in messages]):
                operation = messages[failure.position][0]
                if isinstance(operation, Add) and isinstance(failure.error, Conflict):
                    failures.append(Failure(operation, _taken(operation, failure.error)))
                elif not (isinstance(operation, Remove) and isinstance(failure.error, NotFound)):
                    failures.append(Failure(operation, failure.error))
        for operation in filter(_stands_alone, batch):
            with _noting(operation, failures):
                _apply_alone(operation, handles)
        cut_off = [
            operation for operation in batch if isinstance(operation, Remove) and isinstance(operation.item, Veth)
        ]
        if cut_off:
            with suppress(NotFound):  # a namespace that has lost its name goes by itself, with its links
                handles.reaper.reap(handles.path(ns), list(_ends(cut_off)))
    return failures


def _taken(operation: Operation, error: ShoalError) -> ShoalError:
    """Why a thing cannot be made that is there already."""
    item = operation.item
    if not isinstance(item, Bridge | Veth):
        return error
    where = f"in {item.ns}" if item.ns else "on this machine"
    return Conflict(
        f"{item.name} {where} is not ours: stop the engine that it belongs to, remove it with "
        f"'ip link del {item.name}' if nobody needs it, or choose another name (shoald --bridge)"
    )


def _stands_alone(operation: Operation) -> bool:
    """Whether an operation cannot be a message to the namespace's own socket."""
    item = operation.item
    return isinstance(item, Namespace | Table | Sysctl) or (isinstance(operation, Add) and isinstance(item, Vxlan))


@contextmanager
def _noting(operation: Operation, failures: list[Failure]) -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        # Whatever is gone already need not be removed.
        if not isinstance(operation, Remove):
            failures.append(Failure(operation, error))
    except ShoalError as error:
        failures.append(Failure(operation, error))


def _apply_alone(operation: Operation, handles: Handles) -> None:
    match operation, operation.item:
        case Remove(), Namespace(name=name):
            handles.forget(name)
            netns.delete(name, handles.base)
        case Add(), Namespace(name=name, alias=alias):
            if handles.give_name_back(name) or handles.is_ours(name):
                # It lost its name only while it was looked for. What is in it is there: the rest fails, and is planned
                # anew.
                return
            handles.forget(name)
            mine = [changes.set_link("lo", up=True, alias=alias)]
            if not netns.exists(name, handles.base):
                netns.create(name, handles.base, mark=handles.owner, prepare=lambda: _here(mine))
            elif _is_unused(name, handles):
                handles.netlink(name).apply(mine)
            else:
                raise Conflict(f"the namespace {name} exists already and is not ours")
        case Set(), Namespace(name=name, alias=alias):
            handles.netlink(name).apply([changes.set_link("lo", up=True, alias=alias)])
        case Remove(), Table() as table:
            handles.tables.remove(table)
        case _, Table() as table:
            handles.tables.write(table)
        case _, Sysctl(ns=ns, name=name, value=value):
            sysctl.write(handles.path(ns), name, value)
        case Add(), Vxlan() as vxlan:
            _new_tunnel(vxlan, handles)
        case _:
            raise AssertionError(operation)


def _here(wanted: list[Change]) -> None:
    """Apply changes where the thread is."""
    with closing(Netlink.open(None)) as netlink:
        netlink.apply(wanted)


def _is_unused(name: str, handles: Handles) -> bool:
    """Whether a namespace is as it was made, perhaps by us before a crash: with nothing but ``lo``, and that down."""
    links = handles.netlink(name).links()
    return len(links) == 1 and not links[0].up and not links[0].alias


def _changes(operation: Operation, handles: Handles, open_files: ExitStack) -> list[Change]:
    item = operation.item
    match operation, item:
        case Remove(), Veth():
            return handles.reaper.cut_off(item.name)
        case Remove(), Bridge() | Vxlan():
            return [changes.del_link(item.name)]
        case Remove(), Stray():
            return [changes.set_link(item.name, master=0)]
        case Add(), Bridge() | Veth() | Vxlan():
            return [_new_link(item, handles, open_files)]
        case Set(), Bridge() | Veth() | Vxlan():
            return _set_link(item, handles)
        case Remove(), _:
            return [_entry(item, handles, remove=True)]
        case _:
            return [_entry(item, handles, remove=False)]


def _new_link(link: Item, handles: Handles, open_files: ExitStack) -> Change:
    group = nascent_group(handles.owner)
    match link:
        case Bridge():
            return changes.add_bridge(link.name, link.mac, link.mtu, group)
        case Veth():
            path = handles.path(link.peer_ns) or netns.HOST
            fd = open_files.enter_context(netns.opened(path))
            return changes.add_veth(link.name, link.peer_name, mtu=link.mtu, mac=link.mac, peer_ns_fd=fd, group=group)
        case _:
            raise AssertionError(link)


def _new_tunnel(vxlan: Vxlan, handles: Handles) -> None:
    parameters = VxlanParameters(vni=vxlan.vni, port=vxlan.port, proxy=True, l2miss=True, l3miss=True, learning=False)
    with netns.opened(handles.path(vxlan.ns) or netns.HOST) as fd:
        # Sent through the host's socket, so that the tunnel's packets go the host's way.
        group = nascent_group(handles.owner)
        handles.netlink(HOST).apply([changes.add_vxlan(vxlan.name, parameters, mtu=vxlan.mtu, ns_fd=fd, group=group)])


def _set_link(link: Bridge | Veth | Vxlan, handles: Handles) -> list[Change]:
    mac = None if isinstance(link, Vxlan) else link.mac
    master = None if isinstance(link, Bridge) else link.master
    number = None if isinstance(link, Bridge) else handles.netlink(link.ns).index(master) if master else 0
    wanted = [changes.set_link(link.name, up=True, mtu=link.mtu, mac=mac, alias=link.alias, master=number, group=0)]
    if isinstance(link, Veth) and master:
        wanted.append(changes.set_bridge_port(link.name, isolated=link.isolated, hairpin=link.hairpin))
    if isinstance(link, Vxlan) and master:
        # Where every MAC is comes from the snapshot; the bridge has nothing to learn behind the tunnel.
        wanted.append(changes.set_bridge_port(link.name, learning=False))
    return wanted


def _entry(item: Item, handles: Handles, *, remove: bool) -> Change:
    netlink = handles.netlink(item.ns)
    match item:
        case Address():
            address = ipaddress.ip_interface(item.address)
            index = netlink.index(item.link)
            if remove:
                return changes.del_address(index, address)
            return changes.add_address(index, address, protocol=PROTOCOL)
        case Route():
            route = changes.route(
                ipaddress.ip_network(item.dst),
                gateway=ipaddress.ip_address(item.via) if item.via else None,
                index=netlink.index(item.link),
                table=item.table,
                protocol=PROTOCOL,
            )
            return changes.del_route(route) if remove else changes.replace_route(route)
        case Rule():
            family = AF_INET if item.version == 4 else AF_INET6
            rule = changes.mark_rule(family, RULE_PRIORITY, item.mark, item.table, PROTOCOL)
            return changes.del_rule(rule) if remove else changes.add_rule(rule)
        case Neighbour():
            index, ip = netlink.index(item.link), ipaddress.ip_address(item.ip)
            return changes.del_neighbour(index, ip) if remove else changes.replace_neighbour(index, ip, item.mac)
        case FdbEntry():
            index, vtep = netlink.index(item.link), ipaddress.ip_address(item.vtep)
            return changes.del_fdb(index, item.mac, vtep) if remove else changes.replace_fdb(index, item.mac, vtep)
        case _:
            raise AssertionError(item)
