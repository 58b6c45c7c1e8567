"""What a restart policy says, for the manager that replaces tasks and for a node that is on its own. Pure."""

from datetime import timedelta

from shoal.objects.defaults import RESTART_DELAY
from shoal.objects.service import RestartPolicy


def allows(policy: RestartPolicy, *, failed: bool, restarts: int) -> bool:
    """Whether a task that ended, with a failure or without, may run again after so many restarts."""
    if policy.condition == "none" or (policy.condition == "on-failure" and not failed):
        return False
    return not policy.max_attempts or restarts < policy.max_attempts


def delay_of(policy: RestartPolicy) -> timedelta:
    """How long to wait before a restart."""
    return RESTART_DELAY if policy.delay is None else timedelta(microseconds=policy.delay / 1000)
