"""Tasks: one try at running one container of a service."""

import msgspec

from shoal.objects.base import Object
from shoal.objects.ids import NodeId, ServiceId, TaskId
from shoal.objects.meta import Version
from shoal.objects.network import NetworkAttachment
from shoal.objects.service import Endpoint, PortConfig, TaskSpec
from shoal.objects.state import TaskState


class ContainerStatus(Object, frozen=True):
    container_id: str | None = None
    pid: int | None = None
    exit_code: int | None = None


class PortStatus(Object, frozen=True):
    ports: list[PortConfig] | None = None


class TaskStatus(Object, frozen=True):
    """What is observed: written by the station that the state belongs to, the agent's from ACCEPTED on."""

    timestamp: str = ""
    state: str = "new"
    message: str | None = None
    err: str | None = None
    container_status: ContainerStatus | None = None
    port_status: PortStatus = msgspec.field(default_factory=PortStatus)


class Task(Object, frozen=True):
    """One writer a field: spec, slot and desired state are the orchestrator's, attachments and endpoint the
    allocator's, the node the scheduler's, the status that of whoever moved it last. ``restarts`` is the orchestrator's
    too, and ours alone: when earlier tasks of this slot were replaced because they had ended."""

    id: TaskId
    version: Version = Version()
    created_at: str = ""
    updated_at: str = ""
    name: str | None = None
    labels: dict[str, str] | None = None
    spec: TaskSpec = TaskSpec()
    spec_version: Version | None = None
    service_id: ServiceId | None = None
    service_name: str | None = None
    slot: int | None = None
    node_id: NodeId | None = None
    status: TaskStatus = TaskStatus()
    desired_state: str = "running"
    networks_attachments: list[NetworkAttachment] | None = None
    endpoint: Endpoint | None = None
    job_iteration: Version | None = None
    restarts: list[str] | None = None

    @property
    def state(self) -> TaskState:
        """The observed state."""
        return TaskState.of(self.status.state)

    @property
    def desired(self) -> TaskState:
        """The state that the orchestrator wants it in."""
        return TaskState.of(self.desired_state)

    @property
    def full_name(self) -> str:
        """``service.slot.task-id``, for a global service ``service.node-id.task-id``: the container's name too."""
        return f"{self.service_name}.{self.slot or self.node_id}.{self.id}"
