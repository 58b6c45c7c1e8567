"""Agents without machines: they move the tasks of their nodes on through the states that a real agent reports."""

from datetime import datetime
from enum import Enum

from msgspec.structs import replace

from shoal.objects.base import timestamp
from shoal.objects.ids import NodeId
from shoal.objects.node import Node, NodeDescription, NodeResources, NodeSpec, NodeStatus
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus
from shoal.store.tx import Tx


class Image(Enum):
    """What a task does once it is started, by the name of its image; any other image runs until it is stopped."""

    FAILS = "fails"
    EXITS = "exits"
    REJECTED = "rejected"


_UP = [
    TaskState.ASSIGNED,
    TaskState.ACCEPTED,
    TaskState.PREPARING,
    TaskState.READY,
    TaskState.STARTING,
    TaskState.RUNNING,
]


def a_node(node_id: str, *, labels: dict[str, str] | None = None, cpus: int = 4, memory: int = 8 << 30) -> Node:
    """A worker that is ready."""
    return Node(
        id=NodeId(node_id),
        spec=NodeSpec(labels=labels or {}, role="worker", availability="active"),
        description=NodeDescription(
            hostname=node_id, resources=NodeResources(nano_cpus=cpus * 10**9, memory_bytes=memory)
        ),
        status=NodeStatus(state="ready", addr="192.0.2.1"),
    )


def next_state(task: Task) -> TaskState:
    """Where an agent takes this task next; its present state where there is nothing to do."""
    if is_terminal(task.state) or task.state < TaskState.ASSIGNED:
        return task.state
    if task.desired >= TaskState.SHUTDOWN:
        return TaskState.SHUTDOWN
    if task.state == TaskState.RUNNING or (task.state == TaskState.READY and task.desired < TaskState.RUNNING):
        return task.state
    image = task.spec.container_spec.image if task.spec.container_spec else None
    if task.state == TaskState.PREPARING and image == Image.REJECTED.value:
        return TaskState.REJECTED
    if task.state == TaskState.STARTING and image == Image.FAILS.value:
        return TaskState.FAILED
    if task.state == TaskState.STARTING and image == Image.EXITS.value:
        return TaskState.COMPLETE
    return _UP[_UP.index(task.state) + 1]


def moved_on(tx: Tx, now: datetime) -> int:
    """Take every task of a node that is ready one state further; return how many there were."""
    moved = 0
    for node in tx.all(Node):
        if node.is_ready:
            for task in tx.tasks_of_node(node.id):
                if (state := next_state(task)) != task.state:
                    report(tx, task, state, now)
                    moved += 1
    return moved


def report(tx: Tx, task: Task, state: TaskState, now: datetime) -> None:
    """Write an observed state, as the dispatcher does for an agent."""
    tx.update(replace(task, status=TaskStatus(timestamp=timestamp(now), state=state.word)))
