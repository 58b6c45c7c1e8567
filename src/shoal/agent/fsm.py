"""A task's next step, from what is wanted of it and where it stands. Pure.

SwarmKit's life of a task: ASSIGNED, ACCEPTED, PREPARING, READY, STARTING, RUNNING, then COMPLETE, FAILED, SHUTDOWN or
REJECTED. READY is where a task waits that is wanted no further yet.
"""

from enum import Enum

from shoal.objects.state import TaskState, is_terminal


class Step(Enum):
    """What the runner does next."""

    ACCEPT = "accept"
    PREPARE = "prepare"
    START = "start"
    WATCH = "watch"
    SHUT_DOWN = "shut down"
    IDLE = "idle"


def next_step(state: TaskState, desired: TaskState) -> Step:
    """The one thing to do now; IDLE until something changes."""
    if is_terminal(state):
        return Step.IDLE
    if desired >= TaskState.SHUTDOWN:
        return Step.SHUT_DOWN
    if state < TaskState.ACCEPTED:
        return Step.ACCEPT
    if state < TaskState.READY:
        return Step.PREPARE
    if state < TaskState.RUNNING:
        # STARTING: shoald ended in the middle of it; starting again finds what is there.
        return Step.START if desired >= TaskState.RUNNING else Step.IDLE
    return Step.WATCH
