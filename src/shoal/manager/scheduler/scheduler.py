"""The scheduler's station: each task that waits for a node gets the one with the least of its service, then the least
of anything; one that fits nowhere says why in its status, and is tried again when something changes.

Tasks of one service and one version of its spec want the same, so they are placed as a group: every node is looked at
once a group, those that can take the group's tasks lie in a heap by their rank, and a task costs one turn of the heap.
Within a group nodes only get fuller, so one that turns a task down is out for the rest of it.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace

from shoal.manager.scheduler.filters import Filter, is_full, turned_down
from shoal.manager.scheduler.load import NodeLoad
from shoal.objects.base import timestamp
from shoal.objects.ids import NodeId
from shoal.objects.node import Node
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus
from shoal.store.tx import Action, Event, Tx, View

# Tasks changed in one transaction: more would keep the event loop from everything else for too long.
_BATCH = 1000
_ASSIGNED = "scheduler assigned task to node"


class Scheduler:
    """See :class:`shoal.manager.loop.Station`."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._loads: dict[str, NodeLoad] = {}
        self._waiting = _Waiting()

    def reset(self) -> None:
        self._loads = {node.id: NodeLoad(node) for node in self._view.all(Node)}
        self._waiting = _Waiting()
        for task in self._view.all(Task):
            self._take(task)

    def _take(self, task: Task) -> bool:
        """Count a task where it is; say whether it waits for us."""
        if _waits(task):
            self._waiting.add(task)
            return True
        self._waiting.discard(task.id)
        # A global service's task knows its node before it is placed there; it counts once it is.
        load = self._loads.get(task.node_id or "")
        if load is not None and task.state >= TaskState.ASSIGNED:
            load.remove(task.id) if is_terminal(task.state) else load.add(task)
        return False

    def note(self, event: Event) -> bool:
        match event.obj:
            case Task() as task if event.action is Action.DELETE:
                self._waiting.discard(task.id)
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

    def step(self, tx: Tx, now: datetime) -> datetime | None:
        room = _BATCH
        for group in self._waiting.groups():
            room -= self._place(tx, group, room, now)
            if room <= 0:
                return now
        return None

    def _place(self, tx: Tx, group: list[str], room: int, now: datetime) -> int:
        """Give nodes to tasks that want the same, at most ``room`` of them; return how many tasks were changed."""
        changed = 0
        ranked: _Ranked | None = None
        for task_id in group:
            if changed >= room:
                break
            task = tx.get(Task, task_id)
            if task is None or not _waits(task):
                self._waiting.discard(task_id)
                continue
            ranked = ranked or self._rank(task)
            load = ranked.best(task)
            if load is None:
                changed += _explain(tx, task, ranked.why, now)
                continue
            self._assign(tx, task, load, now)
            ranked.put_back(load, task)
            changed += 1
        return changed

    def _rank(self, task: Task) -> "_Ranked":
        if task.node_id:
            return _Ranked([self._loads[task.node_id]] if task.node_id in self._loads else [], task)
        return _Ranked(self._loads.values(), task)

    def _assign(self, tx: Tx, task: Task, load: NodeLoad, now: datetime) -> None:
        message = "scheduler confirmed task can run on preassigned node" if task.node_id else _ASSIGNED
        status = TaskStatus(timestamp=timestamp(now), state=TaskState.ASSIGNED.word, message=message)
        assigned = replace(task, node_id=NodeId(load.node.id), status=status)
        tx.update(assigned)
        load.add(assigned)
        self._waiting.discard(task.id)


class _Waiting:
    """The tasks that wait for a node, by the groups that want the same of it, first come first."""

    def __init__(self) -> None:
        self._group_of: dict[str, tuple[str, int]] = {}
        self._groups: dict[tuple[str, int], dict[str, None]] = {}

    def add(self, task: Task) -> None:
        """Let a task wait; one that does already keeps its turn."""
        if task.id not in self._group_of:
            self._group_of[task.id] = key = _group(task)
            self._groups.setdefault(key, {})[task.id] = None

    def discard(self, task_id: str) -> None:
        """The task waits no more, if it did."""
        if (key := self._group_of.pop(task_id, None)) is not None:
            del self._groups[key][task_id]
            if not self._groups[key]:
                del self._groups[key]

    def groups(self) -> Iterator[list[str]]:
        """Each group's tasks; groups and tasks may be taken out meanwhile."""
        return (list(group) for group in list(self._groups.values()))

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._group_of

    def __len__(self) -> int:
        return len(self._group_of)


class _Ranked:
    """The nodes that can take a group's tasks, the best first, and why the others cannot."""

    def __init__(self, loads: Iterable[NodeLoad], task: Task) -> None:
        self._refused: Counter[Filter] = Counter()
        self._heap: list[tuple[int, int, int, NodeLoad]] = []
        for number, load in enumerate(loads):
            if (by := turned_down(load, task)) is None:
                self._heap.append((load.of_service(task), len(load.tasks), number, load))
            else:
                self._refused[by] += 1
        heapq.heapify(self._heap)
        self._number = 0

    def best(self, task: Task) -> NodeLoad | None:
        """Take the best node out; ``None`` when none is left."""
        while self._heap:
            _, _, self._number, load = heapq.heappop(self._heap)
            if (by := is_full(load, task)) is None:
                return load
            self._refused[by] += 1
        return None

    def put_back(self, load: NodeLoad, task: Task) -> None:
        """Put the node that :meth:`best` gave back in, by its new rank."""
        heapq.heappush(self._heap, (load.of_service(task), len(load.tasks), self._number, load))

    @property
    def why(self) -> str:
        """Why no node is left, the most frequent reason first."""
        reasons = "; ".join(by.explain(count) for by, count in self._refused.most_common())
        return f"no suitable node ({reasons})" if reasons else "no suitable node"


def _explain(tx: Tx, task: Task, why: str, now: datetime) -> bool:
    """Write the reason into the task's status; say whether that is news."""
    if task.status.err == why:
        return False
    tx.update(replace(task, status=replace(task.status, timestamp=timestamp(now), err=why)))
    return True


def _group(task: Task) -> tuple[str, int]:
    """Tasks with the same key want the same of a node."""
    if task.node_id or not task.service_id or task.spec_version is None:
        return task.id, 0
    return task.service_id, task.spec_version.index


def _waits(task: Task) -> bool:
    return task.state == TaskState.PENDING and task.desired <= TaskState.RUNNING
