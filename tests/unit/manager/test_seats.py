"""Who is to have a seat, and what is done about it."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes.nodes import a_node

from shoal.manager.seats import Deed, plan
from shoal.objects.ids import NodeId
from shoal.objects.node import Node, NodeSpec, NodeStatus
from shoal.store.etcd.members import Member


def url(node_id: str) -> str:
    return f"https://{node_id}:2380"


def node(node_id: str, *, role: str = "manager", ready: bool = True) -> Node:
    status = NodeStatus(state="ready" if ready else "down")
    return replace(a_node(node_id), spec=NodeSpec(role=role), status=status)


def seat(number: int, node_id: str, *, is_learner: bool = False, started: bool = True) -> Member:
    return Member(id=number, name=node_id if started else "", peer_url=url(node_id), is_learner=is_learner)


def steps(nodes: list[Node], seats: list[Member], own: str = "n1") -> list[tuple[Deed, str]]:
    urls = {n.id: url(n.id) for n in nodes if n.spec.role == "manager"}
    return [(step.deed, step.url) for step in plan(nodes, seats, urls, own)]


def test_one_manager_after_the_other_comes_as_a_learner() -> None:
    nodes = [node("n1"), node("n2"), node("n3")]
    assert steps(nodes, [seat(1, "n1")]) == [(Deed.ADD, url("n2"))]
    assert steps(nodes, [seat(1, "n1"), seat(2, "n2", is_learner=True, started=False)]) == []
    assert steps(nodes, [seat(1, "n1"), seat(2, "n2", is_learner=True)]) == [(Deed.PROMOTE, url("n2"))]
    assert steps(nodes, [seat(1, "n1"), seat(2, "n2")]) == [(Deed.ADD, url("n3"))]
    assert steps(nodes, [seat(1, "n1"), seat(2, "n2"), seat(3, "n3")]) == []


def test_a_machine_that_is_down_is_not_let_in_and_makes_room_as_a_learner() -> None:
    nodes = [node("n1"), node("n2", ready=False), node("n3")]
    assert steps([node("n1"), node("n2", ready=False)], [seat(1, "n1")]) == []
    learner = seat(2, "n2", is_learner=True, started=False)
    assert steps(nodes, [seat(1, "n1"), learner]) == [(Deed.REMOVE, url("n2")), (Deed.ADD, url("n3"))]
    # Without anybody who waits it may take its time; one that had its seat keeps it.
    assert steps([node("n1"), node("n2", ready=False)], [seat(1, "n1"), learner]) == []
    assert steps(nodes, [seat(1, "n1"), seat(2, "n2"), seat(3, "n3")]) == []


def test_who_is_no_manager_any_more_loses_its_seat_dead_or_alive() -> None:
    seats = [seat(1, "n1"), seat(2, "n2"), seat(3, "n3")]
    for ready in (True, False):
        assert steps([node("n1"), node("n2", role="worker", ready=ready), node("n3")], seats) == [
            (Deed.REMOVE, url("n2"))
        ]
    assert steps([node("n1"), node("n3")], seats) == [(Deed.REMOVE, url("n2"))]
    # Its own one the leader leaves to the next leader.
    assert steps([node("n1", role="worker"), node("n2"), node("n3")], seats) == []


def test_a_seat_is_a_machines_and_not_an_addresses() -> None:
    """A machine in the place of a dead one has to come as another: it does not know what that one has voted for."""
    replaced = replace(node("n4"), id=NodeId("n4"))
    urls = {"n1": url("n1"), "n4": url("n2")}
    seats = [seat(1, "n1"), seat(2, "n2")]
    found = [(step.deed, step.url) for step in plan([node("n1"), replaced], seats, urls, "n1")]
    assert found == [(Deed.REMOVE, url("n2"))]
    found = [(step.deed, step.url) for step in plan([node("n1"), replaced], seats[:1], urls, "n1")]
    assert found == [(Deed.ADD, url("n2"))]
    # Two that say to be at one place: only one of them can be.
    both = {"n1": url("n1"), "n2": url("n2"), "n4": url("n2")}
    assert plan([node("n1"), node("n2"), replaced], seats, both, "n1") == []


def test_the_leader_gives_itself_no_seat_at_another_address() -> None:
    assert plan([node("n1")], [seat(1, "n1")], {"n1": "https://192.0.2.9:2380"}, "n1") == []


_IDS = [f"n{number}" for number in range(1, 6)]


@given(
    roles=st.lists(st.tuples(st.sampled_from(["manager", "worker"]), st.booleans()), min_size=5, max_size=5),
    voters=st.sets(st.sampled_from(_IDS)),
    learner=st.sampled_from([None, *_IDS]),
)
def test_taking_the_steps_again_and_again_ends_with_the_managers_that_are_there(
    roles: list[tuple[str, bool]], voters: set[str], learner: str | None
) -> None:
    nodes = [node("n1")] + [node(i, role=r, ready=up) for i, (r, up) in zip(_IDS[1:], roles[1:], strict=True)]
    seats = {i: seat(number, i) for number, i in enumerate(_IDS) if i in voters | {"n1"}}
    if learner is not None and learner not in seats:
        seats[learner] = seat(9, learner, is_learner=True)
    for _ in range(20):
        found = steps(nodes, list(seats.values()))
        assert sum(s.is_learner for s in seats.values()) <= 1
        for deed, at in found:
            node_id = at.removeprefix("https://").removesuffix(":2380")
            if deed is Deed.REMOVE:
                del seats[node_id]
            else:
                seats[node_id] = seat(_IDS.index(node_id), node_id, is_learner=deed is Deed.ADD)
    wanted = {n.id for n in nodes if n.spec.role == "manager"}
    up = {n.id for n in nodes if n.is_ready}
    assert wanted & up <= seats.keys() <= wanted
