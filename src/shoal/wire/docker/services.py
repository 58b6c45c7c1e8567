"""Tasks and services as clients are shown them: without what only the manager's stations need of them."""

from shoal.objects.base import Object
from shoal.objects.meta import Version
from shoal.objects.network import NetworkAttachment
from shoal.objects.service import Endpoint, ServiceSpec, ServiceStatus, TaskSpec, UpdateStatus
from shoal.objects.task import ContainerStatus, PortStatus


class TaskStatusAnswer(Object, frozen=True, kw_only=True):
    """``state`` is there in every state, unlike in the stored form."""

    timestamp: str
    state: str
    message: str | None
    err: str | None = None
    container_status: ContainerStatus | None = None
    port_status: PortStatus


class TaskAnswer(Object, frozen=True, kw_only=True):
    id: str
    version: Version
    created_at: str
    updated_at: str
    name: str | None = None
    labels: dict[str, str]
    spec: TaskSpec
    service_id: str | None = None
    slot: int | None = None
    node_id: str | None = None
    status: TaskStatusAnswer
    desired_state: str
    networks_attachments: list[NetworkAttachment] | None = None
    job_iteration: Version | None = None


class ServiceAnswer(Object, frozen=True, kw_only=True):
    id: str
    version: Version
    created_at: str
    updated_at: str
    spec: ServiceSpec
    previous_spec: ServiceSpec | None = None
    endpoint: Endpoint
    update_status: UpdateStatus | None = None
    service_status: ServiceStatus | None = None


class ServiceCreated(Object, frozen=True, omit_defaults=False):
    id: str
    warnings: list[str] | None = None


class ServiceUpdated(Object, frozen=True, omit_defaults=False):
    warnings: list[str] | None = None
