"""The scheduler's station: each task that waits for a node gets the one with the least of its service, then the least
of anything; one that fits nowhere says why in its status, and is tried again when something changes."""

from collections import Counter
from datetime import datetime

from msgspec.structs import replace

from shoal.manager.scheduler.filters import Filter, turned_down
from shoal.manager.scheduler.load import NodeLoad
from shoal.objects.base import timestamp
from shoal.objects.ids import NodeId
from shoal.objects.node import Node
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus
from shoal.store.tx import Action, Event, Tx, View


class Scheduler:
    """See :class:`shoal.manager.loop.Station`."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._loads: dict[str, NodeLoad] = {}
        self._waiting: dict[str, None] = {}

    def reset(self) -> None:
        self._loads = {node.id: NodeLoad(node) for node in self._view.all(Node)}
        self._waiting = {}
        for task in self._view.all(Task):
            self._take(task)

    def _take(self, task: Task) -> bool:
        """Count a task where it is; say whether it waits for us."""
        if _waits(task):
            self._waiting[task.id] = None
            return True
        self._waiting.pop(task.id, None)
        load = self._loads.get(task.node_id or "")
        if load is not None:
            load.remove(task.id) if is_terminal(task.state) else load.add(task)
        return False

    def note(self, event: Event) -> bool:
        match event.obj:
            case Task() as task if event.action is Action.DELETE:
                self._waiting.pop(task.id, None)
                if (load := self._loads.get(task.node_id or "")) is not None:
                    load.remove(task.id)
                return bool(self._waiting)
            case Task() as task:
                fresh = task.id not in self._waiting
                if self._take(task):
                    return fresh
                return bool(self._waiting) and is_terminal(task.state)
            case Node() as node if event.action is Action.DELETE:
                self._loads.pop(node.id, None)
                return bool(self._waiting)
            case Node() as node:
                self._loads.setdefault(node.id, NodeLoad(node)).node = node
                return bool(self._waiting)
            case _:
                return False

    def step(self, tx: Tx, now: datetime) -> None:
        for task_id in list(self._waiting):
            task = tx.get(Task, task_id)
            if task is None or not _waits(task):
                del self._waiting[task_id]
                continue
            chosen, why = self._choose(task)
            if chosen is None:
                if task.status.err != why:
                    tx.update(replace(task, status=replace(task.status, timestamp=timestamp(now), err=why)))
                continue
            status = TaskStatus(
                timestamp=timestamp(now),
                state=TaskState.ASSIGNED.word,
                message="scheduler confirmed task can run on preassigned node"
                if task.node_id
                else "scheduler assigned task to node",
            )
            assigned = replace(task, node_id=NodeId(chosen.node.id), status=status)
            tx.update(assigned)
            chosen.add(assigned)
            del self._waiting[task_id]

    def _choose(self, task: Task) -> tuple[NodeLoad | None, str]:
        candidates = [self._loads[task.node_id]] if task.node_id in self._loads else []
        if not task.node_id:
            candidates = list(self._loads.values())
        refused: Counter[Filter] = Counter()
        best: NodeLoad | None = None
        best_rank: tuple[int, int] | None = None
        for load in candidates:
            if (by := turned_down(load, task)) is not None:
                refused[by] += 1
                continue
            rank = (load.of_service(task), len(load.tasks))
            if best_rank is None or rank < best_rank:
                best, best_rank = load, rank
        if best is not None:
            return best, ""
        reasons = "; ".join(by.explain(count) for by, count in refused.items())
        return None, f"no suitable node ({reasons})" if reasons else "no suitable node"


def _waits(task: Task) -> bool:
    return task.state == TaskState.PENDING and task.desired <= TaskState.RUNNING
