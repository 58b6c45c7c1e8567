"""The orchestrator's station: which services to look at, and the commit of what the step decides."""

from datetime import datetime

from shoal.manager.orchestrator import reaper, step
from shoal.manager.orchestrator.wanted import wanted_slots
from shoal.objects.node import Node
from shoal.objects.service import Service
from shoal.objects.task import Task
from shoal.store.tx import Event, Tx, View

# Objects changed in one transaction, beyond which it waits for the next with the other services.
_BATCH = 1000


class Orchestrator:
    """Keeps every service's tasks as the service wants them; see :class:`shoal.manager.loop.Station`."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._dirty: set[str] = set()
        self._wakes: dict[str, datetime] = {}

    def reset(self) -> None:
        self._dirty = {service.id for service in self._view.all(Service)}
        self._dirty |= {task.service_id for task in self._view.all(Task) if task.service_id}

    def note(self, event: Event) -> bool:
        before = len(self._dirty)
        match event.obj:
            case Service(id=service_id):
                self._dirty.add(service_id)
            case Task(service_id=service_id) if service_id:
                self._dirty.add(service_id)
            case Node() as node if _matters(event.old, node):
                self.reset()
                return True
            case _:
                pass
        return len(self._dirty) > before

    def step(self, tx: Tx, now: datetime) -> datetime | None:
        self._dirty |= {service_id for service_id, moment in self._wakes.items() if moment <= now}
        while self._dirty:
            if len(tx.changed) >= _BATCH:
                return now
            service_id = self._dirty.pop()
            self._wakes.pop(service_id, None)
            self._reconcile(tx, service_id, now)
        return min(self._wakes.values(), default=None)

    def _reconcile(self, tx: Tx, service_id: str, now: datetime) -> None:
        service = tx.get(Service, service_id)
        if service is None:
            outcome = step.remove_all(tx.tasks_of_service(service_id))
        else:
            outcome = step.reconcile(tx, service, wanted_slots(tx, service), now)
        for task in outcome.created:
            tx.create(task)
        for task in outcome.changed.values():
            tx.update(task)
        if outcome.service is not None:
            tx.update(outcome.service)
        if outcome.wake is not None:
            self._wakes[service_id] = outcome.wake
        for task in reaper.reapable(tx, service_id):
            tx.delete(task)


def _matters(old: object, node: Node) -> bool:
    """Whether a node's change can move tasks: it came, went, changed its state, availability or labels."""
    return not isinstance(old, Node) or (old.status.state, old.spec, old.description) != (
        node.status.state,
        node.spec,
        node.description,
    )
