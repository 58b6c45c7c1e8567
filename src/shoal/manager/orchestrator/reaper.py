"""Which tasks the store may forget. Pure; the orchestrator's loop deletes them."""

from shoal.manager.orchestrator.slots import slots_of
from shoal.objects.cluster import Cluster
from shoal.objects.defaults import TASK_HISTORY
from shoal.objects.node import Node
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task
from shoal.store.tx import View


def history_limit(view: View) -> int:
    """How many tasks a slot keeps (``swarm update --task-history-limit``); below 0 it keeps all."""
    for cluster in view.all(Cluster):
        limit = cluster.spec.orchestration.task_history_retention_limit
        return TASK_HISTORY if limit is None else limit
    return TASK_HISTORY


def reapable(view: View, service_id: str) -> list[Task]:
    """Tasks to be removed that have stopped, and ended tasks beyond the slot's history."""
    tasks = view.tasks_of_service(service_id)
    gone = [t for t in tasks if t.desired >= TaskState.REMOVE and _is_over(t, view)]
    limit = history_limit(view)
    if limit < 0:
        return gone
    for slot in slots_of(tasks).values():
        ended = [t for t in slot.tasks if t.desired > TaskState.RUNNING and _is_over(t, view)]
        # The limit counts the slot's task that is alive as well, as SwarmKit's reaper does: 5 leaves four ended ones.
        spare = len(slot.tasks) - max(limit, 1 if slot.runnable else 0)
        if spare > 0:
            gone += ended[:spare]
    return gone


def _is_over(task: Task, view: View) -> bool:
    if is_terminal(task.state) or task.state < TaskState.ASSIGNED:
        return True
    return task.node_id is not None and view.get(Node, task.node_id) is None
