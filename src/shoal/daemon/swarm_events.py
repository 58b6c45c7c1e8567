"""What happens in the swarm, for ``/events``: services, nodes and networks as Docker reports them, scope ``swarm``."""

from collections.abc import Iterable

from shoal.aio.broadcast import Lagged
from shoal.engine.events import Events
from shoal.objects.network import Network
from shoal.objects.node import Node
from shoal.objects.service import Service
from shoal.store.store import Store
from shoal.store.tx import Action, Event

_WORDS = {Action.CREATE: "create", Action.UPDATE: "update", Action.DELETE: "remove"}


async def report(store: Store, events: Events) -> None:
    """Tell of every change in the store, until cancelled."""
    with store.watch() as changes:
        while True:
            try:
                batches = await changes.drain()
            except Lagged:
                continue
            if not batches:
                return
            for batch in batches:
                _tell(batch, events)


def _tell(batch: Iterable[Event], events: Events) -> None:
    for event in batch:
        match event.obj, event.old:
            case Service() as service, old:
                _service(service, old, event.action, events)
            case Node() as node, old:
                _node(node, old, event.action, events)
            case Network() as network, _ if event.action is not Action.UPDATE:
                attributes = {"name": network.name, "type": "overlay"}
                events.emit("network", _WORDS[event.action], network.id, attributes, scope="swarm")
            case _:
                pass


def _service(service: Service, old: object, action: Action, events: Events) -> None:
    attributes = {"name": service.name}
    if action is Action.UPDATE and isinstance(old, Service):
        if old.update_status != service.update_status:
            before = (old.update_status.state if old.update_status else None) or ""
            after = (service.update_status.state if service.update_status else None) or ""
            attributes |= {"updatestate.old": before, "updatestate.new": after} if before != after else {}
        elif old.spec == service.spec:
            return
        old_count, new_count = old.spec.replicas, service.spec.replicas
        if old_count != new_count:
            attributes |= {"replicas.old": str(old_count), "replicas.new": str(new_count)}
    events.emit("service", _WORDS[action], service.id, attributes, scope="swarm")


def _node(node: Node, old: object, action: Action, events: Events) -> None:
    attributes = {"name": node.hostname}
    if action is Action.UPDATE and isinstance(old, Node):
        if old.status.state != node.status.state:
            attributes |= {"state.old": old.status.state, "state.new": node.status.state}
        elif old.spec == node.spec:
            return
        if old.spec.availability != node.spec.availability:
            attributes |= {
                "availability.old": old.spec.availability or "",
                "availability.new": node.spec.availability or "",
            }
    events.emit("node", _WORDS[action], node.id, attributes, scope="swarm")
