"""When a task that ended is replaced: the service's restart policy, as a pure decision."""

from datetime import datetime, timedelta

from shoal.objects.base import parse_time
from shoal.objects.restart import allows, delay_of
from shoal.objects.service import RestartPolicy
from shoal.objects.state import TaskState
from shoal.objects.task import Task


def nanoseconds(count: int | None) -> timedelta:
    """A duration of the API as one of Python's."""
    return timedelta(microseconds=(count or 0) / 1000)


def may_restart(task: Task) -> bool:
    """Whether the policy allows a replacement for a task that has ended: its condition, and its number of attempts
    within the window before its end (all of time where there is none)."""
    policy = task.spec.restart_policy or RestartPolicy()
    restarts = len(recent_restarts(task)) if policy.max_attempts else 0
    return allows(policy, failed=task.state != TaskState.COMPLETE, restarts=restarts)


def recent_restarts(task: Task) -> list[str]:
    """When this slot's earlier tasks were replaced, as far as the policy's window looks back from the task's end."""
    policy = task.spec.restart_policy or RestartPolicy()
    restarts = task.restarts or []
    if not policy.window:
        return restarts
    since = parse_time(task.updated_at) - nanoseconds(policy.window)
    return [moment for moment in restarts if parse_time(moment) >= since]


def due(replaced: Task, ended_at: str) -> datetime:
    """When the replacement of an ended task may start: the policy's delay after a moment of this manager's clock,
    since the node's own clock, in the task's status, may show anything."""
    return parse_time(ended_at) + delay_of(replaced.spec.restart_policy or RestartPolicy())
