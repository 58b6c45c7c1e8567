"""One service's tasks against what the service wants: the orchestrator's pure step.

From the tasks alone, so that any manager can go on where another stopped: nothing is remembered between two calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shoal.manager.orchestrator import restart, update
from shoal.manager.orchestrator.slots import Slot, SlotKey, has_lost_node, is_draining, is_stopped, slots_of
from shoal.manager.orchestrator.tasks import new_task, wanted
from shoal.objects.meaning import is_dirty
from shoal.objects.service import Service
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task
from shoal.store.tx import View


@dataclass
class Outcome:
    """New and changed objects, and when to look again even if nothing happens."""

    created: list[Task] = field(default_factory=list)
    changed: dict[str, Task] = field(default_factory=dict)
    service: Service | None = None
    wake: datetime | None = None

    def change(self, before: Task, after: Task) -> None:
        """Note a changed task; one that is the same is none."""
        if after is not before:
            self.changed[after.id] = after

    def wake_by(self, moment: datetime) -> None:
        """Look again at ``moment`` at the latest."""
        self.wake = moment if self.wake is None else min(self.wake, moment)


def remove_all(tasks: Sequence[Task]) -> Outcome:
    """What a service that is gone wants: none of its tasks."""
    outcome = Outcome()
    for task in tasks:
        outcome.change(task, wanted(task, TaskState.REMOVE))
    return outcome


def reconcile(view: View, service: Service, keys: Sequence[SlotKey], now: datetime) -> Outcome:
    """Bring the service's slots to ``keys``: add and remove slots, replace ended tasks, roll over changed ones."""
    outcome = Outcome()
    slots = slots_of(view.tasks_of_service(service.id))
    kept = set(keys)
    for key in [key for key in slots if key not in kept]:
        for task in slots.pop(key).tasks:
            outcome.change(task, wanted(task, TaskState.REMOVE))
    for key in keys:
        slot = slots.get(key)
        if slot is None:
            outcome.created.append(new_task(service, key, now, desired=TaskState.RUNNING))
        else:
            _tend(view, service, slot, now, outcome)
    update.roll(view, service, slots, now, outcome)
    return outcome


def _tend(view: View, service: Service, slot: Slot, now: datetime, outcome: Outcome) -> None:
    runnable = slot.runnable
    leaving = [t for t in runnable if is_draining(t, view)]
    staying = [t for t in runnable if not is_terminal(t.state) and not has_lost_node(t, view)]
    clean = [t for t in staying if not is_dirty(t, service)]
    # A node that was to be drained is not any more, and its task and the replacement both may stay: the older does.
    spare = [t for t in clean if t is not next((r for r in clean if r.state == TaskState.RUNNING), clean[0])]
    for task in runnable:
        if task in leaving and not _may_leave(slot, task, staying):
            if not staying:
                outcome.created.append(new_task(service, slot.key, now, desired=TaskState.RUNNING))
        elif is_terminal(task.state) or has_lost_node(task, view) or task in spare:
            outcome.change(task, wanted(task, TaskState.SHUTDOWN))
        elif task.desired == TaskState.READY:
            _start_when_due(view, slot, task, now, outcome)
    alive = [t for t in runnable if t.id not in outcome.changed or outcome.changed[t.id].desired <= TaskState.RUNNING]
    if alive:
        return
    ended = slot.newest
    moved = has_lost_node(ended, view) and not is_terminal(ended.state)
    if ended.spec_version != service.spec_version:
        outcome.created.append(new_task(service, slot.key, now, desired=TaskState.READY))
    elif not moved and ended.restarts and (moment := restart.due(ended, ended.restarts[-1])) > now:
        # It was to wait for its start, and failed to get ready meanwhile: so will the next, which comes no sooner.
        outcome.wake_by(moment)
    elif moved or restart.may_restart(ended):
        outcome.created.append(
            new_task(service, slot.key, now, desired=TaskState.READY, after=None if moved else ended)
        )


def _may_leave(slot: Slot, task: Task, staying: Sequence[Task]) -> bool:
    """Whether a task may be stopped because its node is drained: another runs in its place. Where there is no room for
    one, or it failed, the node is to be empty all the same."""
    others = slot.tasks[slot.tasks.index(task) + 1 :]
    if any(is_terminal(t.state) and t.desired <= TaskState.RUNNING for t in others):
        return True
    return any(t.state == TaskState.RUNNING or (t.state == TaskState.PENDING and t.status.err) for t in staying)


def _start_when_due(view: View, slot: Slot, task: Task, now: datetime, outcome: Outcome) -> None:
    """A replacement waits at READY until what it replaces has stopped and, where it had ended, for the delay."""
    before = [t for t in slot.tasks if t is not task]
    if any(not is_stopped(t, view) for t in before):
        return
    replaced = before[-1] if before else None
    if replaced is not None and task.restarts and (moment := restart.due(replaced, task.restarts[-1])) > now:
        outcome.wake_by(moment)
        return
    outcome.change(task, wanted(task, TaskState.RUNNING))
