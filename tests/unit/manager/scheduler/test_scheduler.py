"""Which node a task gets, and what it is told when there is none."""

import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.fakes.nodes import a_node
from tests.fakes.stepped import Stepped

from shoal.manager.scheduler.scheduler import Scheduler
from shoal.objects.base import convert
from shoal.objects.ids import ServiceId, TaskId
from shoal.objects.meta import Version
from shoal.objects.node import Node, Platform
from shoal.objects.service import Endpoint, PortConfig, TaskSpec
from shoal.objects.state import TaskState
from shoal.objects.task import Task, TaskStatus


def a_task(key: str, service: str = "s", *, ports: list[PortConfig] | None = None, **spec: Any) -> Task:
    return Task(
        id=TaskId(key),
        service_id=ServiceId(service),
        spec_version=Version(index=1),
        spec=convert(spec, TaskSpec),
        status=TaskStatus(state="pending"),
        endpoint=Endpoint(ports=ports) if ports else None,
    )


def placed(nodes: list[Node], tasks: list[Task]) -> Stepped:
    swarm = Stepped(lambda view: [Scheduler(view)])
    swarm.update(lambda tx: [tx.create(node) for node in nodes])
    swarm.update(lambda tx: [tx.create(task) for task in tasks])
    swarm.settle()
    return swarm


def where(swarm: Stepped) -> dict[str, str | None]:
    return {t.id: t.node_id for t in swarm.view.all(Task)}


def why(swarm: Stepped) -> set[str | None]:
    return {t.status.err for t in swarm.view.all(Task) if t.state == TaskState.PENDING}


def nodes(count: int) -> list[Node]:
    return [a_node(f"n{n}") for n in range(1, count + 1)]


def test_tasks_spread_over_the_nodes() -> None:
    swarm = placed(nodes(3), [a_task(f"t{n}") for n in range(7)])
    assert sorted(Counter(where(swarm).values()).values()) == [2, 2, 3]
    assert {t.status.message for t in swarm.view.all(Task)} == {"scheduler assigned task to node"}
    # Another service goes where the least of it, and then the least of anything, is.
    full = next(n for n, count in Counter(where(swarm).values()).items() if count == 3)
    swarm.update(lambda tx: [tx.create(a_task(f"u{n}", "other")) for n in range(2)])
    swarm.settle()
    assert full not in {where(swarm)["u0"], where(swarm)["u1"]}


@pytest.mark.parametrize(
    ("change", "spec", "text"),
    [
        ({"status": "down"}, {}, "2 nodes not available for new tasks"),
        ({"availability": "drain"}, {}, "2 nodes not available for new tasks"),
        ({"availability": "pause"}, {}, "2 nodes not available for new tasks"),
        ({}, {"Resources": {"Reservations": {"MemoryBytes": 9 << 30}}}, "insufficient resources on 2 nodes"),
        ({}, {"Resources": {"Reservations": {"NanoCPUs": 5 * 10**9}}}, "insufficient resources on 2 nodes"),
        (
            {},
            {"Placement": {"Constraints": ["node.hostname==n9"]}},
            "scheduling constraints not satisfied on 2 nodes",
        ),
        ({"os": "plan9"}, {"Placement": {"Platforms": [{"OS": "linux"}]}}, "unsupported platform on 2 nodes"),
    ],
)
def test_the_reason_is_told(change: dict[str, str], spec: dict[str, Any], text: str) -> None:
    found = nodes(2)
    for number, node in enumerate(found):
        assert node.description is not None
        found[number] = replace(
            node,
            status=replace(node.status, state=change.get("status", "ready")),
            spec=replace(node.spec, availability=change.get("availability", "active")),
            description=replace(node.description, platform=Platform(os=change["os"]) if "os" in change else None),
        )
    swarm = placed(found, [a_task("a", **spec), a_task("b", **spec)])
    assert why(swarm) == {f"no suitable node ({text})"}
    # It goes on as soon as a node will do.
    swarm.update(lambda tx: tx.create(a_node("n9", cpus=8, memory=16 << 30)))
    swarm.settle()
    assert "n9" in where(swarm).values()


def test_without_nodes_there_is_no_reason_to_name() -> None:
    assert why(placed([], [a_task("a")])) == {"no suitable node"}


def test_reasons_come_most_frequent_first() -> None:
    down = replace(a_node("n3"), status=replace(a_node("n3").status, state="down"))
    spec = {"Placement": {"Constraints": ["node.hostname==n9"]}}
    swarm = placed([down, *nodes(2)], [a_task("a", **spec)])
    assert why(swarm) == {
        "no suitable node (scheduling constraints not satisfied on 2 nodes; 1 node not available for new tasks)"
    }


def test_what_is_reserved_is_counted_and_given_back() -> None:
    reserve = {"Resources": {"Reservations": {"MemoryBytes": 3 << 30}}}
    swarm = placed(nodes(2), [a_task(f"t{n}", **reserve) for n in range(5)])
    assert sorted(Counter(where(swarm).values()).items(), key=str) == [("n1", 2), ("n2", 2), (None, 1)]
    assert why(swarm) == {"no suitable node (insufficient resources on 2 nodes)"}
    first = next(t for t in swarm.view.all(Task) if t.node_id == "n1")
    swarm.update(lambda tx: tx.update(replace(first, status=TaskStatus(state="failed"))))
    swarm.settle()
    assert why(swarm) == set()


def test_the_limit_of_replicas_a_node() -> None:
    swarm = placed(nodes(2), [a_task(f"t{n}", Placement={"MaxReplicas": 1}) for n in range(3)])
    assert why(swarm) == {"no suitable node (max replicas per node limit exceed)"}


def test_a_task_of_a_global_service_does_not_stand_in_its_own_way() -> None:
    spec = {"Placement": {"MaxReplicas": 1}, "Resources": {"Reservations": {"MemoryBytes": 6 << 30}}}
    task = replace(a_task("t", **spec), node_id="n1", status=TaskStatus(state="new"))
    swarm = placed(nodes(2), [task])
    swarm.update(lambda tx: tx.update(replace(task, status=TaskStatus(state="pending"))))
    swarm.settle()
    assert why(swarm) == set() and where(swarm) == {"t": "n1"}
    assert swarm.view.all(Task)[0].status.message == "scheduler confirmed task can run on preassigned node"


def test_a_task_that_is_no_longer_wanted_gets_no_node() -> None:
    swarm = placed(nodes(1), [replace(a_task("t"), desired_state="shutdown")])
    assert where(swarm) == {"t": None}


SPECS: list[dict[str, Any]] = [
    {},
    {"Resources": {"Reservations": {"MemoryBytes": 3 << 30}}},
    {"Placement": {"MaxReplicas": 2}},
    {"Placement": {"Constraints": ["node.hostname!=n1"]}},
]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 4),
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=25),
    st.data(),
)
def test_no_node_gets_more_than_it_can_take(
    count: int, wanted: list[tuple[str, int, bool]], data: st.DataObject
) -> None:
    port = [PortConfig(target_port=80, published_port=80, publish_mode="host")]
    kinds = {name: (number, own) for name, number, own in wanted}
    tasks = [
        a_task(f"t{i}", name, ports=port if kinds[name][1] else None, **SPECS[kinds[name][0]])
        for i, (name, _, _) in enumerate(wanted)
    ]
    swarm = placed(nodes(count), tasks)
    for _ in range(3):
        if (found := swarm.view.all(Task)) and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(found))
            swarm.update(lambda tx, t=gone: tx.delete(t))  # type: ignore[misc]
            if data.draw(st.booleans()):
                swarm.restart()
            swarm.settle()
    for node in swarm.view.all(Node):
        here = swarm.view.tasks_of_node(node.id)
        specs = [kinds[t.service_id or ""] for t in here]
        assert sum(own for _, own in specs) <= 1
        assert sum(number == 1 for number, _ in specs) * 3 <= 8
        assert not (node.id == "n1" and any(number == 3 for number, _ in specs))
        for name, amount in Counter(t.service_id for t in here).items():
            assert kinds[name or ""][0] != 2 or amount <= 2
    if count:
        free = [t for t in swarm.view.all(Task) if t.node_id is None and kinds[t.service_id or ""] == (0, False)]
        assert free == []


def test_ten_thousand_tasks_are_placed_on_a_thousand_nodes_in_little_time() -> None:
    swarm = Stepped(lambda view: [Scheduler(view)])
    swarm.update(lambda tx: [tx.create(node) for node in nodes(1000)])
    swarm.update(lambda tx: [tx.create(a_task(f"t{n}", f"s{n % 20}")) for n in range(10_000)])
    begun = time.process_time()
    swarm.settle()
    # A tenth of a second of work on a quiet machine for what took minutes when every task looked at every node.
    assert time.process_time() - begun < 10
    assert set(Counter(where(swarm).values()).values()) == {10}
