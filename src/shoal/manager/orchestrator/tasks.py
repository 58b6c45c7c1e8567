"""Making tasks, and marking what is wanted of them."""

from datetime import datetime

from msgspec.structs import replace

from shoal.manager.orchestrator.slots import SlotKey
from shoal.objects.base import timestamp
from shoal.objects.ids import NodeId, TaskId, swarm_id
from shoal.objects.service import Endpoint, EndpointSpec, Service
from shoal.objects.state import TaskState
from shoal.objects.task import Task, TaskStatus


def new_task(service: Service, key: SlotKey, now: datetime, *, desired: TaskState, after: Task | None = None) -> Task:
    """A task for a slot of ``service``; ``after`` is the ended task that it replaces by the restart policy."""
    restarts = [*(after.restarts or []), timestamp(now)] if after else None
    spec = service.spec.task_template
    return Task(
        id=TaskId(swarm_id()),
        labels={},
        spec=spec,
        spec_version=service.spec_version,
        service_id=service.id,
        service_name=service.name,
        slot=key if isinstance(key, int) else None,
        node_id=NodeId(key) if isinstance(key, str) else None,
        status=TaskStatus(timestamp=timestamp(now), state=TaskState.NEW.word, message="created"),
        desired_state=desired.word,
        endpoint=Endpoint(spec=service.spec.endpoint_spec or EndpointSpec()),
        restarts=restarts[-100:] if restarts else None,
    )


def wanted(task: Task, state: TaskState) -> Task:
    """The task with that desired state; a desired state never goes back, except that READY becomes RUNNING."""
    return task if task.desired >= state else replace(task, desired_state=state.word)
