"""From whatever is there to what is wanted, on a kernel that refuses nonsense."""

from dataclasses import replace
from itertools import groupby
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.kernel_model import KernelModel
from tests.fakes.lab_network import lab_node
from tests.fakes.node_networks import node_networks

from shoal.network.describe import describe, parts
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
    satisfies,
)
from shoal.network.node import NodeNetwork
from shoal.network.plan import Add, Items, Phase, Remove, Set, by_key, phase_of, plan, simulate
from shoal.network.plan import describe as in_words


def described(node: NodeNetwork) -> dict[Key, Item]:
    return by_key(item for part in parts(node) for item in describe(node, part))


def observed(node: NodeNetwork) -> dict[Key, Item]:
    """What a kernel has that is as the node wants it."""
    return {
        key: replace(item, mac="62:00:00:00:00:01") if isinstance(item, Bridge | Veth) and item.mac is None else item
        for key, item in described(node).items()
    }


def fulfils(state: Items, wanted: Items) -> None:
    """Nothing is missing, nothing is otherwise, and nothing is too much but settings, which have no absence."""
    assert [item for key, item in wanted.items() if not satisfies(item, state.get(key))] == []
    assert [item for key, item in state.items() if key not in wanted and not isinstance(item, Sysctl)] == []


def damaged(items: Items, random: Random) -> dict[Key, Item]:
    """What may have become of a node's network behind our back."""
    kernel = KernelModel(items)
    for _ in range(random.randrange(6)):
        if not kernel.items:
            break
        key = random.choice(sorted(kernel.items))
        item = kernel.items[key]
        match random.choice(("remove", "change", "replace", "stranger")):
            case "remove":
                kernel.remove(key)
            case "change":
                kernel.items[key] = _changed(item)
            case "replace" if isinstance(item, Bridge | Veth | Vxlan):
                kernel.remove(key)
                kernel.items[key] = Bridge(item.ns, item.name, 1500, "62:00:00:00:00:02", "shoal: other")
            case _:
                for stranger in _strangers(item):
                    kernel.items.setdefault(stranger.key, stranger)
    return kernel.items


def _changed(item: Item) -> Item:
    match item:
        case Bridge() | Veth():
            return replace(item, mtu=999, mac="62:00:00:00:00:03", alias="(down)")
        case Vxlan():
            return replace(item, alias="(down)", master=None)
        case Namespace():
            return replace(item, alias="shoal: nobody")
        case Route():
            return replace(item, via="192.0.2.254")
        case Neighbour():
            return replace(item, mac="62:00:00:00:00:04")
        case FdbEntry():
            return replace(item, vtep="192.0.2.254")
        case Table():
            return replace(item, fingerprint="other")
        case Sysctl():
            return replace(item, value="7")
        case _:
            return item


def _strangers(item: Item) -> list[Item]:
    """What a crash of ours, or somebody within one of our namespaces, may leave beside an item."""
    match item:
        case Namespace(name=ns):
            return [Table(ns, "ip6", "shoal", "old"), Rule(ns, 4, 99, 199), Bridge(ns, "br7", 1500, "any", "mine")]
        case Bridge(ns=ns, name=name):
            left = f"left-{ns}-{name}"
            inner = Veth(left, "eth0", ns, f"veth-{name}", 1500, "any", "shoal: left")
            outer = Veth(ns, f"veth-{name}", left, "eth0", 1500, "any", "shoal: left eth0", name)
            address = Address(left, "eth0", "10.0.1.99/24")
            return [Namespace(left, "shoal: left"), inner, outer, address, Vxlan(ns, "vxlan9", 9999, 4789, 1450, "x")]
        case Veth(ns=ns, name=name) | Vxlan(ns=ns, name=name):
            return [
                Address(ns, name, "10.77.0.1/24"),
                Neighbour(ns, name, "10.77.0.2", "62:00:00:00:00:05"),
                FdbEntry(ns, name, "62:00:00:00:00:06", "192.0.2.254"),
                Route(ns, "10.78.0.0/16", "10.77.0.9", name),
            ]
        case _:
            return []


@settings(max_examples=200, deadline=None)
@given(node_networks(), node_networks(), st.randoms(use_true_random=False))
def test_a_plan_leads_from_any_state_to_what_is_wanted(before: NodeNetwork, after: NodeNetwork, random: Random) -> None:
    wanted, found = described(after), damaged(observed(before), random)
    operations = plan(wanted, found)
    fulfils(simulate(operations, found), wanted)

    kernel = KernelModel(found)
    phases = [phase_of(operation) for operation in operations]
    assert phases == sorted(phases)
    for _, phase in groupby(operations, key=phase_of):
        batch = list(phase)
        random.shuffle(batch)
        for operation in batch:
            kernel.carry_out(operation)
    fulfils(kernel.items, wanted)
    assert plan(wanted, kernel.items) == []


@settings(max_examples=50, deadline=None)
@given(node_networks(), st.randoms(use_true_random=False))
def test_nothing_is_left_of_any_state(before: NodeNetwork, random: Random) -> None:
    found = damaged(observed(before), random)
    kernel = KernelModel(found)
    for operation in plan({}, found):
        assert isinstance(operation, Remove)
        kernel.carry_out(operation)
    assert [item for item in kernel.items.values() if not isinstance(item, Sysctl)] == []


@settings(max_examples=50, deadline=None)
@given(node_networks())
def test_what_is_as_wanted_is_left_alone(node: NodeNetwork) -> None:
    assert plan(described(node), observed(node)) == []


def test_a_sandbox_that_goes_takes_its_own_and_loses_its_outer_ends() -> None:
    one, two = described(lab_node(1)), described(lab_node(2))
    removed = [operation.item.key for operation in plan(one, two) if isinstance(operation, Remove)]
    assert [key[:2] for key in removed] == [
        ("link", "1-a4xiy43kwu"),
        ("link", "1-v1qhhmk5qm"),
        ("link", HOST),
        ("netns", "web.2.xyz"),
    ]


def test_one_end_makes_a_pair_and_both_are_set() -> None:
    pair = [Veth("a", "x", "b", "y", 1500, None, "one"), Veth("b", "y", "a", "x", 1500, None, "two")]
    spaces: list[Item] = [Namespace("a", "a"), Namespace("b", "b")]
    operations = plan(by_key([*spaces, *pair]), by_key(spaces))
    assert operations == [Add(pair[0]), Set(pair[0]), Set(pair[1])]
    assert [phase_of(operation) for operation in operations] == [Phase.ADD_PAIR, Phase.SET_LINK, Phase.SET_LINK]


def test_a_tunnel_goes_before_its_namespace_for_its_number_is_wanted_again() -> None:
    there = by_key([Namespace("a", "a"), Vxlan("a", "vxlan0", 4096, 4789, 1450, "a")])
    assert [type(operation.item) for operation in plan({}, there)] == [Vxlan, Namespace]


def test_operations_in_words() -> None:
    assert in_words(Add(Address("web", "eth0", "10.0.0.3/24"))) == "add address eth0 10.0.0.3/24 in web"
    assert in_words(Remove(Bridge(HOST, "docker0", 1500, None, ""))) == "remove link docker0 in host"
    assert in_words(Set(Namespace("web", "alias"))) == "set netns in web"
