"""The way from what is there to what is wanted: a pure difference, in an order that the kernel accepts.

First everything that has to go, dependants before what they depend on; then everything that is to come, the other way
round. What the kernel takes away by itself with a namespace or a link (its addresses, routes, neighbours, a veth's
other end) is neither removed again nor believed to be still there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TypeAlias

from shoal.network.items import (
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
    same_device,
    satisfies,
)

Items: TypeAlias = Mapping[Key, Item]


class Phase(IntEnum):
    """When an operation is due; all of one phase may run in any order."""

    REMOVE_ENTRY = 0
    REMOVE_LINK = 1
    REMOVE_NAMESPACE = 2
    ADD_NAMESPACE = 3
    ADD_HUB = 4
    ADD_PAIR = 5
    SET_SYSCTL = 6
    SET_LINK = 7
    ADD_ADDRESS = 8
    ADD_ENTRY = 9


@dataclass(frozen=True, slots=True)
class Add:
    """Make what is not there; of a veth pair one end's Add makes both."""

    item: Item


@dataclass(frozen=True, slots=True)
class Set:
    """Bring to its wanted form what is there (or was just made)."""

    item: Item


@dataclass(frozen=True, slots=True)
class Remove:
    """Take away what is there."""

    item: Item


Operation: TypeAlias = Add | Set | Remove


def by_key(items: Iterable[Item]) -> dict[Key, Item]:
    """Items by what they are."""
    return {item.key: item for item in items}


def plan(wanted: Items, observed: Items) -> list[Operation]:
    """The operations that turn ``observed`` into ``wanted``, in order; none if it is so already."""
    doomed = by_key(item for key, item in observed.items() if _must_go(item, wanted.get(key)))
    loss = _loss(doomed, observed)
    left = _survivors(observed, doomed, loss)
    operations: list[Operation] = [Remove(i) for i in doomed.values() if _is_removed_by_hand(i, doomed, loss)]
    for key, item in wanted.items():
        found = left.get(key)
        if satisfies(item, found):
            continue
        if isinstance(item, Bridge | Veth | Vxlan):
            if found is None and not (isinstance(item, Veth) and _comes_with_peer(item, wanted, left)):
                operations.append(Add(item))
            operations.append(Set(item))
        elif found is None:
            operations.append(Add(item))
        else:
            operations.append(Set(item))
    return sorted(operations, key=phase_of)


def _comes_with_peer(veth: Veth, wanted: Items, left: Items) -> bool:
    """Whether the other end is to be made, and this one with it."""
    return veth.peer_key < veth.key and veth.peer_key in wanted and veth.peer_key not in left


def _must_go(item: Item, wanted: Item | None) -> bool:
    if isinstance(item, Sysctl):
        return False
    if wanted is None:
        return True
    return isinstance(wanted, Bridge | Veth | Vxlan) and not same_device(wanted, item)


@dataclass(frozen=True)
class _Loss:
    """What the kernel takes away by itself: all that is in some namespaces, on some links, and IPv4 on others."""

    spaces: set[str]
    links: set[Key]
    silenced: set[Key]

    def takes(self, item: Item) -> bool:
        """Whether the item goes with something else."""
        if item.ns in self.spaces:
            return True
        if isinstance(item, Stray):
            return ("link", item.ns, item.master) in self.links
        if not isinstance(item, Address | Route | Neighbour | FdbEntry | Sysctl) or item.link is None:
            return False
        link = ("link", item.ns, item.link)
        return link in self.links or (link in self.silenced and not isinstance(item, Address) and _is_ipv4(item))


def _loss(doomed: Items, observed: Items) -> _Loss:
    """What goes with the doomed items."""
    spaces = {item.name for item in doomed.values() if isinstance(item, Namespace)}
    links = {key for key, item in doomed.items() if isinstance(item, Bridge | Veth | Vxlan)}
    links |= {item.peer_key for item in doomed.values() if isinstance(item, Veth)}
    # A namespace takes its ends of veth pairs with it, and so the other ends.
    links |= {item.peer_key for item in observed.values() if isinstance(item, Veth) and item.ns in spaces}
    # Where the last IPv4 address goes, the kernel stops IPv4 on that link: routes and neighbours go too.
    lost: set[Key] = {("link", i.ns, i.link) for i in doomed.values() if isinstance(i, Address) and _is_ipv4(i)}
    if lost:
        kept = (i for key, i in observed.items() if key not in doomed and isinstance(i, Address) and _is_ipv4(i))
        lost -= {("link", item.ns, item.link) for item in kept}
    return _Loss(spaces, links, lost)


def _is_ipv4(item: Item) -> bool:
    match item:
        case Address(address=text) | Route(dst=text) | Neighbour(ip=text):
            return ":" not in text
        case _:
            return False


def _survivors(observed: Items, doomed: Items, loss: _Loss) -> dict[Key, Item]:
    """What is still there once the doomed items are gone, and the kernel has cleaned up behind them."""
    return {
        key: _out_of_lost_bridge(item, loss)
        for key, item in observed.items()
        if key not in doomed and key not in loss.links and not loss.takes(item)
    }


def _out_of_lost_bridge(item: Item, loss: _Loss) -> Item:
    if isinstance(item, Veth | Vxlan) and item.master and ("link", item.ns, item.master) in loss.links:
        return replace(item, master=None)
    return item


def _is_removed_by_hand(item: Item, doomed: Items, loss: _Loss) -> bool:
    """Whether a doomed item needs an operation of its own, or goes with something else that is removed."""
    match item:
        case Namespace() | Vxlan():
            # A tunnel's number is free again when its link is gone, which a namespace takes its time for.
            return True
        case Veth() as veth if veth.ns not in loss.spaces:
            # One end is enough. The outer one is taken, so that it is gone at once rather than when the kernel has
            # got round to cleaning up the namespace.
            peer = doomed.get(veth.peer_key)
            return not (isinstance(peer, Veth) and peer.ns not in loss.spaces and peer.key < veth.key)
        case _:
            return not loss.takes(item)


def phase_of(operation: Operation) -> Phase:
    """When an operation is due."""
    item = operation.item
    match operation, item:
        case Remove(), Namespace():
            return Phase.REMOVE_NAMESPACE
        case Remove(), Bridge() | Veth() | Vxlan():
            return Phase.REMOVE_LINK
        case Remove(), _:
            return Phase.REMOVE_ENTRY
        case _, Namespace():
            return Phase.ADD_NAMESPACE
        case Add(), Bridge() | Vxlan():
            return Phase.ADD_HUB
        case Add(), Veth():
            return Phase.ADD_PAIR
        case _, Sysctl():
            return Phase.SET_SYSCTL
        case Set(), Bridge() | Veth() | Vxlan():
            return Phase.SET_LINK
        case _, Address():
            return Phase.ADD_ADDRESS
        case _, Route() | Rule() | Neighbour() | FdbEntry() | Table():
            return Phase.ADD_ENTRY
        case _:
            raise AssertionError(operation)


def describe(operation: Operation) -> str:
    """The operation in words, for logs and dry runs."""
    verb = {Add: "add", Set: "set", Remove: "remove"}[type(operation)]
    kind, *what = operation.item.key
    where = what[0] or "host"
    return f"{verb} {kind} {' '.join(what[1:])} in {where}".replace("  ", " ")


def simulate(operations: Iterable[Operation], observed: Items) -> dict[Key, Item]:
    """What a kernel that does as it is told has afterwards: the plan's own model of it, for dry runs and tests."""
    state = dict(observed)
    for operation in operations:
        item = operation.item
        if isinstance(operation, Remove):
            doomed = {item.key: state.get(item.key, item)}
            state = _survivors(state, doomed, _loss(doomed, state))
        else:
            state[item.key] = item
            if isinstance(operation, Add) and isinstance(item, Veth):
                state.setdefault(
                    item.peer_key, Veth(item.peer_ns, item.peer_name, item.ns, item.name, item.mtu, None, "")
                )
    return state
