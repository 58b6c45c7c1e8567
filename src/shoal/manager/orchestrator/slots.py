"""Slots: the tasks of a service, grouped by the place they were made for."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from shoal.objects.node import Node
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task
from shoal.store.tx import View

SlotKey: TypeAlias = int | str


@dataclass
class Slot:
    """One place of a service: every task that was tried there, the newest last."""

    key: SlotKey
    tasks: list[Task] = field(default_factory=list)

    @property
    def runnable(self) -> list[Task]:
        """The tasks that are still wanted: one, or two while an update starts the new before it stops the old."""
        return [t for t in self.tasks if t.desired <= TaskState.RUNNING]

    @property
    def newest(self) -> Task:
        """The task made last."""
        return self.tasks[-1]

    @property
    def is_running(self) -> bool:
        """Whether one of the wanted tasks runs."""
        return any(t.state == TaskState.RUNNING for t in self.runnable)


def slot_key(task: Task) -> SlotKey:
    """A replica's number; for a global service the node's id."""
    return task.slot or task.node_id or ""


def slots_of(tasks: Iterable[Task]) -> dict[SlotKey, Slot]:
    """Group tasks into slots. Tasks that are to be removed do not count: their slots are free again."""
    slots: dict[SlotKey, Slot] = {}
    for task in sorted(tasks, key=_age):
        if task.desired < TaskState.REMOVE:
            slots.setdefault(slot_key(task), Slot(slot_key(task))).tasks.append(task)
    return slots


def _age(task: Task) -> tuple[int, str, int, str]:
    """The order in which tasks were made: of an older spec before, since a manager's clock may be behind another's."""
    made_from = task.spec_version.index if task.spec_version else 0
    return made_from, task.created_at, len(task.restarts or ()), task.id


def is_stopped(task: Task, view: View) -> bool:
    """Whether a task surely no longer runs: it ended, was never given to a node, or its node is down or gone."""
    if is_terminal(task.state) or task.state < TaskState.ASSIGNED or not task.node_id:
        return True
    node = view.get(Node, task.node_id)
    return node is None or node.status.state == "down"


def is_draining(task: Task, view: View) -> bool:
    """Whether the task serves on a node that is to be drained: it may go on until another does."""
    node = view.get(Node, task.node_id) if task.node_id else None
    return (
        node is not None
        and node.spec.availability == "drain"
        and node.status.state != "down"
        and task.state == TaskState.RUNNING
    )


def has_lost_node(task: Task, view: View) -> bool:
    """Whether the task has to move: its node is down, gone or to be drained."""
    if not task.node_id:
        return False
    node = view.get(Node, task.node_id)
    return node is None or node.status.state == "down" or node.spec.availability == "drain"
