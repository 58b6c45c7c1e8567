"""Plain containers on the swarm's attachable networks: each is a task of no service, so that the allocator gives it
addresses and every node hears of it (SwarmKit's ``NetworkAttachmentSpec``)."""

from datetime import datetime

from shoal.errors import Forbidden, InvalidArgument, NotFound
from shoal.objects.base import timestamp
from shoal.objects.ids import NodeId, TaskId, swarm_id
from shoal.objects.network import Network, NetworkAttachmentConfig
from shoal.objects.service import NetworkAttachmentSpec, TaskSpec
from shoal.objects.state import TaskState
from shoal.objects.task import Task, TaskStatus
from shoal.store.tx import Tx
from shoal.wire.cluster import AttachNetwork


def attach(tx: Tx, node_id: str, asked: AttachNetwork, now: datetime) -> str:
    """A new task for the attachment; returns its id. Raises NotFound, or Forbidden for a network that is not meant
    for plain containers, in Docker's words."""
    network = tx.get(Network, asked.network_id)
    if network is None:
        raise NotFound(f"network {asked.network_id} not found")
    if not network.spec.attachable:
        raise Forbidden(
            f"Could not attach to network {network.name}: rpc error: code = PermissionDenied desc = "
            f"network {network.name} not manually attachable"
        )
    for name in (asked.name, *asked.aliases):
        if not all(0 < len(label.encode()) < 64 for label in name.split(".")) or len(name.encode()) > 253:
            raise InvalidArgument(f"{name!r} cannot be the name or an alias of a container on a network")
    task = Task(
        id=TaskId(swarm_id()),
        name=asked.name,
        spec=TaskSpec(
            network_attachment_spec=NetworkAttachmentSpec(container_id=asked.container_id),
            networks=[NetworkAttachmentConfig(target=network.id, aliases=asked.aliases or None)],
            runtime="attachment",
        ),
        node_id=NodeId(node_id),
        status=TaskStatus(timestamp=timestamp(now), state=TaskState.NEW.word, message="created"),
        desired_state=TaskState.RUNNING.word,
    )
    tx.create(task)
    return task.id


def detach(tx: Tx, node_id: str, task_id: str) -> None:
    """The container has left: forget the task, whose addresses are free then. One that is not there is no error."""
    task = tx.get(Task, task_id)
    if task is not None and task.node_id == node_id and task.service_id is None:
        tx.delete(task)
