"""The swarm's root is changed under nodes that come, go, are slow and are away: none ever loses another's trust."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes.nodes import a_node
from tests.fakes.stepped import Stepped

from shoal.errors import InvalidArgument
from shoal.manager.cluster import authority, the_cluster, trust_bundle, trust_root
from shoal.manager.found import FoundingRequest, found
from shoal.manager.rotation import Rotation, advanced, begin, issuer_of, trust_of, trusted_by
from shoal.objects.cluster import Cluster
from shoal.objects.node import ManagerStatus, Node, NodeStatus, TLSInfo
from shoal.pki.authority import RootCA
from shoal.pki.identity import tls_info
from shoal.pki.tokens import root_digest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def root(number: int) -> RootCA:
    return RootCA.create(NOW)


@cache
def issuer_info(pem: str) -> TLSInfo:
    return tls_info(pem.encode())


@cache
def founded() -> Cluster:
    cluster = next(obj for obj in found(FoundingRequest("192.0.2.1:2377"), NOW).objects if isinstance(obj, Cluster))
    return cluster


def saying(node: Node, trust: str, issuer: str, rotation: int = 1) -> Node:
    """The node as it describes itself, once it has heard of the first rotation."""
    assert node.description is not None
    info = replace(issuer_info(issuer), trust_root=trust)
    return replace(node, description=replace(node.description, tls_info=info), rotation=rotation)


def a_manager(node_id: str) -> Node:
    return replace(a_node(node_id), manager_status=ManagerStatus(addr=f"{node_id}:2377"))


@dataclass
class Machine:
    """What really is on a node; ``told`` is what it heard last and may not have followed yet."""

    trust: str
    issuer: str
    told: tuple[str, str, int] = ("", "", 0)
    followed: int = 0


class World:
    """The store, and the machines whose word it has."""

    def __init__(self, managers: int, workers: int) -> None:
        self.cluster = founded()
        self.nodes: dict[str, Node] = {}
        self.machines: dict[str, Machine] = {}
        self.authorities = [trust_root(self.cluster)]
        self.count = 0
        for number in range(managers + workers):
            self.join(is_manager=number < managers)
        for node_id in self.nodes:
            self.report(node_id)

    def join(self, *, is_manager: bool) -> None:
        self.count += 1
        node_id = f"n{self.count:02}"
        made = (a_manager if is_manager else a_node)(node_id)
        self.nodes[node_id] = replace(made, status=NodeStatus(state="unknown"))
        self.machines[node_id] = Machine(trust_bundle(self.cluster), self.authorities[-1])

    def report(self, node_id: str) -> None:
        """Its session begins, or goes on."""
        machine = self.machines[node_id]
        told = saying(self.nodes[node_id], machine.trust, machine.issuer, machine.followed)
        self.nodes[node_id] = replace(told, status=NodeStatus(state="ready"))

    def tell(self, node_id: str) -> None:
        node = self.nodes[node_id]
        if node.is_ready:
            trust = trust_of(self.cluster, node, list(self.nodes.values()))
            self.machines[node_id].told = trust, issuer_of(self.cluster), self.cluster.rotations

    def follow(self, node_id: str, *, is_behind: bool = False) -> None:
        """As :class:`shoal.daemon.trust.Trust` does, with a manager that knows what is so, or what was."""
        machine = self.machines[node_id]
        trust, issuer, rotation = machine.told
        if trust:
            assert machine.issuer in trust
            machine.trust, machine.followed = trust, rotation
        given = self.authorities[-2 if is_behind and len(self.authorities) > 1 else -1]
        if issuer and machine.issuer != issuer and given == issuer:
            machine.issuer = given

    def change(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.authorities.append(authority(cluster).certificate.decode())

    def step(self) -> None:
        while (further := advanced(self.cluster, list(self.nodes.values()))) is not None:
            self.change(further)

    def round(self, node_ids: Iterable[str]) -> None:
        """These nodes report and go along, and then the leader does."""
        for node_id in node_ids:
            self.report(node_id)
            self.tell(node_id)
            self.follow(node_id)
            self.check()
        self.step()
        self.check()

    def check(self) -> None:
        for one in self.machines.values():
            for other in self.machines.values():
                assert one.issuer in other.trust, "two nodes cannot talk to each other"
        # Whoever joins now is given a certificate that all trust, and trusts all.
        bundle = trust_bundle(self.cluster)
        assert all(self.authorities[-1] in m.trust and m.issuer in bundle for m in self.machines.values())
        nodes = list(self.nodes.values())
        changing = [
            n for n in nodes if n.manager_status and trust_of(self.cluster, n, nodes) not in ("", trusted_by(n))
        ]
        assert len(changing) <= 1, "two etcds are started anew at once"


_SELDOM = ("tell", "follow", "follow behind", "report", "down", "remove", "join", "home", "rotate", "back")
_STEPS = (*_SELDOM, *["round"] * len(_SELDOM))


@settings(deadline=None, max_examples=200)
@given(
    managers=st.integers(1, 3),
    workers=st.integers(0, 2),
    history=st.lists(st.tuples(st.sampled_from(_STEPS), st.integers(0, 9)), min_size=15, max_size=40),
)
def test_at_no_moment_do_two_nodes_distrust_each_other_and_in_the_end_there_is_one_root(
    managers: int, workers: int, history: list[tuple[str, int]]
) -> None:
    world = World(managers, workers)
    for what, number in [("rotate", 0), *history]:
        node_id = sorted(world.nodes)[number % len(world.nodes)]
        match what:
            case "tell":
                world.tell(node_id)
            case "follow" | "follow behind":
                world.follow(node_id, is_behind=what == "follow behind")
            case "report":
                world.report(node_id)
            case "down":
                world.nodes[node_id] = replace(world.nodes[node_id], status=NodeStatus(state="down"))
            case "remove" if len(world.nodes) > 1:
                del world.nodes[node_id], world.machines[node_id]
            case "join" if len(world.nodes) < 7:
                world.join(is_manager=number % 2 == 0)
            case "home":
                for away in world.nodes:
                    world.report(away)
            case "round":
                world.round([one for one in world.nodes if world.nodes[one].is_ready])
            case "rotate":
                world.change(begin(world.cluster, root(number)))
            case "back":
                present = RootCA.load(trust_root(world.cluster).encode(), world.cluster.root_ca_key.encode())
                world.change(begin(world.cluster, present))
        world.check()
    for _ in range(4 * len(world.nodes) + 8):
        world.round(world.nodes)
    last = trust_root(world.cluster)
    assert world.cluster.rotation is None
    assert {(machine.trust, machine.issuer) for machine in world.machines.values()} == {(last, last)}


def test_the_station_goes_on_as_nodes_report_and_makes_new_tokens_at_the_end() -> None:
    swarm = Stepped(lambda view: [Rotation(view)])
    old = founded()
    bundle = trust_bundle(begin(old, root(1)))
    node = saying(a_node("n1"), trust_root(old), trust_root(old))
    swarm.update(lambda tx: [tx.create(old), tx.create(node)])
    swarm.settle()
    swarm.update(lambda tx: tx.update(begin(the_cluster(tx), root(1))))
    swarm.settle()
    present = the_cluster(swarm.view)
    assert present.rotation is not None and not present.rotation.issues and issuer_of(present) == ""
    new = root(1).certificate.decode()
    for trust, issuer in ((bundle, trust_root(old)), (bundle, new)):
        swarm.restart()  # another leader
        swarm.update(lambda tx, t=trust, i=issuer: tx.update(saying(node, t, i)))  # type: ignore[misc]
        swarm.settle()
    done = the_cluster(swarm.view)
    assert done.rotation is None and trust_root(done) == trust_bundle(done) == new == issuer_of(done)
    assert done.root_ca_key == root(1).key.decode()
    for token in (done.join_tokens.worker, done.join_tokens.manager):
        assert token.split("-")[2] == root_digest(root(1).certificate)


def test_a_rotation_that_nobody_has_gone_along_with_is_taken_back_at_once() -> None:
    cluster = founded()
    present = authority(cluster)
    assert begin(begin(cluster, root(1)), present) == replace(cluster, rotations=2)
    assert begin(cluster, present) is cluster
    # The one that is under way is not begun anew.
    once = begin(cluster, root(1))
    assert begin(once, root(1)) is once


def test_only_what_a_node_says_after_it_has_heard_of_a_rotation_counts_for_it() -> None:
    """A certificate that it was told to get may have come since it said that it had none."""
    cluster = founded()
    old, new = trust_root(cluster), root(1).certificate.decode()
    first = begin(cluster, root(1))
    node = saying(a_node("n1"), trust_bundle(first), old)
    issuing = advanced(first, [node])
    assert issuing is not None and issuer_of(issuing) == new
    back = begin(issuing, authority(cluster))
    assert advanced(back, [node]) is None
    back = advanced(back, [saying(node, trust_bundle(back), new, rotation=2)]) or back
    assert issuer_of(back) == old
    done = advanced(back, [saying(node, trust_bundle(back), old, rotation=2)])
    assert done is not None and done.rotation is None and trust_bundle(done) == old


def test_a_root_needs_a_key_of_its_own() -> None:
    cluster = founded()
    key = authority(cluster).key
    other = RootCA.create(NOW)
    again = RootCA(certificate=other.certificate, key=key)
    with pytest.raises(InvalidArgument, match="Cannot update to a cert with an identical key"):
        begin(cluster, again)


def test_managers_change_one_after_the_other_and_only_while_the_others_are_a_majority() -> None:
    cluster = begin(founded(), root(1))
    old, bundle = trust_root(cluster), trust_bundle(cluster)
    nodes = [saying(a_manager(f"n{number}"), old, old) for number in (1, 2, 3)]
    worker = saying(a_node("n4"), old, old)

    def told(*managers: Node) -> list[bool]:
        return [trust_of(cluster, node, [*managers, worker]) == bundle for node in managers]

    first, second, third = nodes
    assert trust_of(cluster, worker, [*nodes, worker]) == bundle
    assert told(first, second, third) == [True, False, False]
    done = saying(first, bundle, old)
    assert told(done, second, third) == [True, True, False]
    away = replace(third, status=NodeStatus(state="down"))
    assert told(done, second, away) == [True, False, False]
    assert told(done, second) == [True, True]
