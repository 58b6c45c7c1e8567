"""Which slots a service wants: numbers for a replicated one, nodes for a global one. Pure."""

from collections.abc import Sequence

from shoal.manager.orchestrator.slots import Slot, SlotKey, slots_of
from shoal.objects.constraint import matches, parse
from shoal.objects.node import Node
from shoal.objects.service import Service
from shoal.objects.state import TaskState
from shoal.store.tx import View


def wanted_slots(view: View, service: Service) -> Sequence[SlotKey]:
    """The keys of all slots that the service should have."""
    if service.spec.is_global:
        return [node.id for node in view.all(Node) if takes_global(service, node, view)]
    return _replicas(slots_of(view.tasks_of_service(service.id)), service.spec.replicas)


def takes_global(service: Service, node: Node, view: View) -> bool:
    """Whether a global service has a task on this node: it is active, up, and meets the constraints. A node that is
    only paused or out of touch keeps the task it has."""
    placement = service.spec.task_template.placement
    constraints = parse((placement.constraints if placement else None) or [])
    if not matches(constraints, node) or node.spec.availability == "drain" or node.status.state == "down":
        return False
    if node.spec.availability == "active" and node.is_ready:
        return True
    return any(t.service_id == service.id and t.desired <= TaskState.RUNNING for t in view.tasks_of_node(node.id))


def _replicas(slots: dict[SlotKey, Slot], count: int) -> list[SlotKey]:
    """Keep what runs: slots with a running task first, then the lower numbers; fill up with the lowest free ones."""
    kept = sorted((key for key in slots if isinstance(key, int)), key=lambda key: (not slots[key].is_running, key))[
        :count
    ]
    taken = set(kept)
    number = 1
    while len(taken) < count:
        if number not in taken:
            taken.add(number)
        number += 1
    return sorted(taken)
