"""Tasks that are to stop, and are not told so before every node has stopped sending to them. Pure.

A task that serves and is wanted no longer is withdrawn first: each node that shares a network with it is sent a version
in which it does not serve. When all have answered that they have applied it, or after :data:`PATIENCE`, the task's own
node is told to stop it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from msgspec.structs import replace

from shoal.objects.state import TaskState
from shoal.objects.task import Task

PATIENCE = 5.0
"""How long a node that does not answer keeps a task from being stopped, in seconds."""


class Audience(Protocol):
    """A node's session, as far as it matters here: offers are numbered."""

    offered: int
    applied_offer: int


S = TypeVar("S", bound=Audience)


@dataclass
class _Held(Generic[S]):
    """``waiting`` has, for each session, the offer that has to be applied; 0 until it is made."""

    node_id: str
    until: float
    waiting: dict[S, int]


class Withdrawals(Generic[S]):
    """The tasks that are being withdrawn."""

    def __init__(self) -> None:
        self._held: dict[str, _Held[S]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def note(self, task: Task, audience: Iterable[S], now: float) -> None:
        """A task that was serving has changed; ``audience`` are the sessions of other nodes that may send to it."""
        if task.state != TaskState.RUNNING or is_serving(task):
            return
        waiting = dict.fromkeys(audience, 0)
        if waiting:
            self._held[task.id] = _Held(task.node_id or "", now + PATIENCE, waiting)

    def told(self, session: S) -> None:
        """The session was just offered what is wanted now."""
        for held in self._held.values():
            if held.waiting.get(session) == 0:
                held.waiting[session] = session.offered

    def seen(self, task: Task) -> Task:
        """The task as its own node is to see it for now."""
        if task.id not in self._held:
            return task
        return replace(task, desired_state=TaskState.RUNNING.word)

    def release(self, now: float, is_there: Callable[[S], bool]) -> set[str]:
        """Let go of the tasks for which nobody has to be waited any more; their nodes."""
        nodes: set[str] = set()
        for task_id, held in list(self._held.items()):
            held.waiting = {
                session: offer
                for session, offer in held.waiting.items()
                if is_there(session) and (offer == 0 or session.applied_offer < offer)
            }
            if not held.waiting or now >= held.until:
                del self._held[task_id]
                nodes.add(held.node_id)
        return nodes

    def forget(self, task_id: str) -> None:
        """The task is gone."""
        self._held.pop(task_id, None)


def is_serving(task: Task) -> bool:
    """Whether requests may be sent to a task."""
    return task.state == TaskState.RUNNING and task.desired <= TaskState.RUNNING
