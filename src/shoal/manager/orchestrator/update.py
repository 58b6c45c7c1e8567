"""The rolling update: which slots to renew next, as a pure decision over the slots as they are.

Engine API, ``UpdateConfig``: at most ``Parallelism`` slots are under way (0: all at once), each keeps its place for
``Delay`` after its new task runs; a new task that fails within ``Monitor`` of its start counts as a failure, and when
more than ``MaxFailureRatio`` of the slots have failed, ``FailureAction`` is taken.
"""

from datetime import datetime
from typing import Protocol

from msgspec.structs import replace

from shoal.manager.orchestrator import restart
from shoal.manager.orchestrator.restart import nanoseconds
from shoal.manager.orchestrator.slots import Slot, SlotKey
from shoal.manager.orchestrator.tasks import new_task, wanted
from shoal.objects.base import parse_time, timestamp
from shoal.objects.defaults import UPDATE
from shoal.objects.meaning import is_dirty
from shoal.objects.meta import Version
from shoal.objects.service import Service, UpdateConfig, UpdateStatus
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task
from shoal.store.tx import View


class Changes(Protocol):
    """Where the decisions go: the orchestrator's outcome."""

    created: list[Task]
    changed: dict[str, Task]
    service: Service | None

    def change(self, before: Task, after: Task) -> None: ...

    def wake_by(self, moment: datetime) -> None: ...


def roll(view: View, service: Service, slots: dict[SlotKey, Slot], now: datetime, changes: Changes) -> None:
    """Renew dirty slots as far as the configuration allows now, and keep the service's update status."""
    status = service.update_status
    if status is not None and status.state in ("paused", "rollback_paused"):
        return
    rolling_back = status is not None and (status.state or "").startswith("rollback")
    config = (service.spec.rollback_config if rolling_back else service.spec.update_config) or UpdateConfig()
    dirty = [s for s in slots.values() if any(is_dirty(t, service) for t in s.runnable)]
    started = status is not None and status.state in ("updating", "rollback_started")
    # Slots in which nothing was wanted any more have been filled anew already: that is part of the update.
    empty = any(not s.runnable and is_dirty(s.newest, service) for s in slots.values())
    if not dirty and not empty and not started:
        return
    if not started:
        status = UpdateStatus(state="updating", started_at=timestamp(now), message="update in progress")
        changes.service = service = replace(service, update_status=status)
    assert status is not None
    if status.started_at is None:
        status = replace(status, started_at=timestamp(now), message="manually requested rollback")
        changes.service = service = replace(service, update_status=status)
    failed = _failed(service, slots)
    if config.failure_action != "continue" and len(failed) > (config.max_failure_ratio or 0.0) * len(slots):
        _fail(service, config, rolling_back, failed[-1], now, changes)
        return
    _renew(service, config, slots, dirty, now, changes)
    if not dirty and _settled(service, config, slots, status, now, changes):
        word = "rollback_completed" if rolling_back else "completed"
        text = "rollback completed" if rolling_back else "update completed"
        changes.service = replace(
            service, update_status=replace(status, state=word, completed_at=timestamp(now), message=text)
        )


def _renew(
    service: Service,
    config: UpdateConfig,
    slots: dict[SlotKey, Slot],
    dirty: list[Slot],
    now: datetime,
    changes: Changes,
) -> None:
    start_first = config.order == "start-first"
    busy = 0
    waiting: list[Slot] = []
    for slot in dirty:
        new = [t for t in slot.runnable if not is_dirty(t, service)]
        if not new:
            if start_first and (moment := _again_at(slot, service)) is not None:
                if moment > now:
                    changes.wake_by(moment)
                    busy += 1
                    continue
            waiting.append(slot)
        elif any(t.state == TaskState.RUNNING for t in new):
            for old in (t for t in slot.runnable if is_dirty(t, service)):
                changes.change(old, wanted(old, TaskState.SHUTDOWN))
            busy += 1
        else:
            busy += 1
    rest = slots.keys() - {slot.key for slot in dirty}
    for slot in (slots[key] for key in rest):
        if slot.newest.spec_version == service.spec_version:
            busy += _occupies(slot, config, service, now, changes)
    room = len(waiting) if config.parallelism == 0 else (config.parallelism or UPDATE.parallelism or 1) - busy
    for slot in waiting[: max(room, 0)]:
        if start_first:
            # An update that was overtaken may have left a new task beside the old one: one stays, the one that runs.
            *others, _ = sorted(slot.runnable, key=lambda t: t.state == TaskState.RUNNING)
            for other in others:
                changes.change(other, wanted(other, TaskState.SHUTDOWN))
            changes.created.append(new_task(service, slot.key, now, desired=TaskState.RUNNING))
            continue
        for old in slot.runnable:
            changes.change(old, wanted(old, TaskState.SHUTDOWN))
        changes.created.append(new_task(service, slot.key, now, desired=TaskState.READY))


def _occupies(slot: Slot, config: UpdateConfig, service: Service, now: datetime, changes: Changes) -> bool:
    """Whether a renewed slot still holds its place: its task does not run yet, or has not run for the delay."""
    if not slot.runnable:
        return False
    if not slot.is_running:
        return True
    free_at = parse_time(slot.newest.updated_at) + nanoseconds(config.delay)
    if config.delay and free_at > now and _made_by_update(slot.newest, service):
        changes.wake_by(free_at)
        return True
    return False


def _made_by_update(task: Task, service: Service) -> bool:
    status = service.update_status
    return bool(status and status.started_at and task.created_at >= status.started_at)


def _again_at(slot: Slot, service: Service) -> datetime | None:
    """When a slot whose new task has failed beside its old one may be tried again; ``None`` if none has been tried."""
    if slot.newest.spec_version != service.spec_version or not is_terminal(slot.newest.state):
        return None
    return restart.due(slot.newest, slot.newest.updated_at)


def _failed(service: Service, slots: dict[SlotKey, Slot]) -> list[Task]:
    """One task of this update for each slot where one has failed or ended early."""
    found = (
        [
            t
            for t in s.tasks
            if t.spec_version == service.spec_version and _ended_early(t) and _made_by_update(t, service)
        ]
        for s in slots.values()
    )
    return [tasks[-1] for tasks in found if tasks]


def _ended_early(task: Task) -> bool:
    if task.state in (TaskState.FAILED, TaskState.REJECTED):
        return True
    condition = task.spec.restart_policy.condition if task.spec.restart_policy else None
    return task.state == TaskState.COMPLETE and condition in (None, "", "any")


def _fail(
    service: Service, config: UpdateConfig, rolling_back: bool, failed: Task, now: datetime, changes: Changes
) -> None:
    why = f"due to failure or early termination of task {failed.id}"
    if config.failure_action == "rollback" and not rolling_back and service.previous_spec is not None:
        status = UpdateStatus(state="rollback_started", started_at=timestamp(now), message=f"update rolled back {why}")
        changes.service = replace(
            service,
            spec=service.previous_spec,
            previous_spec=None,
            spec_version=Version(index=service.version.index + 1),
            update_status=status,
        )
        return
    word = "rollback_paused" if rolling_back else "paused"
    previous = service.update_status or UpdateStatus()
    text = f"{'rollback' if rolling_back else 'update'} paused {why}"
    changes.service = replace(service, update_status=replace(previous, state=word, message=text))


def _settled(
    service: Service,
    config: UpdateConfig,
    slots: dict[SlotKey, Slot],
    status: UpdateStatus,
    now: datetime,
    changes: Changes,
) -> bool:
    """Whether every slot runs, and the tasks made by this update have run for the monitoring period."""
    monitor = nanoseconds(UPDATE.monitor if config.monitor is None else config.monitor)
    until = parse_time(status.started_at) if status.started_at else now
    for slot in slots.values():
        if slot.runnable and not slot.is_running:
            return False
        for task in slot.runnable:
            if _made_by_update(task, service):
                until = max(until, parse_time(task.updated_at) + monitor)
    if until > now:
        changes.wake_by(until)
        return False
    return True
