"""The way from what is there to what is wanted: a pure difference, in an order that the kernel accepts.

First everything that has to go, dependants before what they depend on; then everything that is to come, the other way
round. What the kernel takes away by itself with a namespace or a link (its addresses, routes, neighbours, a veth's
other end) is neither removed again nor believed to be still there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    ADD_LINK = 4
    SET_SYSCTL = 5
    SET_LINK = 6
    ADD_ADDRESS = 7
    ADD_ENTRY = 8


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
    doomed = [item for key, item in observed.items() if _must_go(item, wanted.get(key))]
    left = _survivors(observed, doomed)
    operations: list[Operation] = [Remove(item) for item in doomed if _is_removed_by_hand(item, observed, doomed)]
    for key, item in wanted.items():
        found = left.get(key)
        if satisfies(item, found):
            continue
        if isinstance(item, Bridge | Veth | Vxlan):
            if found is None and not (
                isinstance(item, Veth) and item.peer_key < item.key and _is_new(item, wanted, left)
            ):
                operations.append(Add(item))
            operations.append(Set(item))
        elif found is None:
            operations.append(Add(item))
        else:
            operations.append(Set(item))
    return sorted(operations, key=phase_of)


def _is_new(veth: Veth, wanted: Items, left: Items) -> bool:
    """Whether the other end is wanted and made by an Add of its own, which makes this end too."""
    return veth.peer_key in wanted and veth.peer_key not in left


def _must_go(item: Item, wanted: Item | None) -> bool:
    if isinstance(item, Sysctl):
        return False
    if wanted is None:
        return True
    return isinstance(wanted, Bridge | Veth | Vxlan) and not same_device(wanted, item)


def _survivors(observed: Items, doomed: Iterable[Item]) -> dict[Key, Item]:
    """What is still there once the doomed items are gone, and the kernel has cleaned up behind them."""
    gone = {item.key for item in doomed}
    gone |= {item.peer_key for item in doomed if isinstance(item, Veth)}
    spaces = {item.name for item in doomed if isinstance(item, Namespace)}
    # A namespace takes its ends of veth pairs with it, and so the other ends.
    gone |= {i.peer_key for i in observed.values() if isinstance(i, Veth) and i.ns in spaces}
    return {
        key: item
        for key, item in observed.items()
        if key not in gone and item.ns not in spaces and not _goes_with_link(item, gone)
    }


def _goes_with_link(item: Item, gone: set[Key]) -> bool:
    link = _link_of(item)
    return link is not None and ("link", item.ns, link) in gone


def _link_of(item: Item) -> str | None:
    return item.link if isinstance(item, Address | Route | Neighbour | FdbEntry) else None


def _is_removed_by_hand(item: Item, observed: Items, doomed: list[Item]) -> bool:
    """Whether a doomed item needs an operation of its own, or goes with something else that is removed."""
    spaces = {i.name for i in doomed if isinstance(i, Namespace)}
    match item:
        case Namespace():
            return True
        case Veth() as veth:
            # One end is enough. The outer one is taken, so that it is gone at once rather than when the kernel has
            # got round to cleaning up the namespace.
            peer = observed.get(veth.peer_key)
            if veth.ns in spaces:
                return False
            return not (isinstance(peer, Veth) and peer in doomed and peer.ns not in spaces and peer.key < veth.key)
        case _ if item.ns in spaces:
            return False
        case _:
            links = {i.key for i in doomed if isinstance(i, Bridge | Veth | Vxlan)}
            return not _goes_with_link(item, links)


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
        case Add(), Bridge() | Veth() | Vxlan():
            return Phase.ADD_LINK
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
            state = _survivors(state, [state.get(item.key, item)])
        else:
            state[item.key] = item
            if isinstance(operation, Add) and isinstance(item, Veth):
                state.setdefault(
                    item.peer_key, Veth(item.peer_ns, item.peer_name, item.ns, item.name, item.mtu, None, "")
                )
    return state
