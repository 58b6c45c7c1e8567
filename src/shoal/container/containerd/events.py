"""containerd's events about tasks, as ours."""

from collections.abc import AsyncIterator

from shoal.aio.clock import Clock
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.pb import events_pb2 as pb
from shoal.container.containerd.pb.task_events_pb2 import TaskExit, TaskOOM, TaskStart
from shoal.container.containerd.wellknown import moment
from shoal.container.runtime import EventsBegin, ExitStatus, OutOfMemory, ProcessExited, ProcessStarted, RuntimeEvent
from shoal.errors import Unavailable
from shoal.wire.rpc import Streaming

_SUBSCRIBE = Streaming("containerd.services.events.v1.Events/Subscribe", pb.SubscribeRequest, pb.Envelope)
_TOPICS = ("/tasks/start", "/tasks/exit", "/tasks/oom")
_RETRY_SECONDS = 0.1


async def subscribe(containerd: Containerd, *, clock: Clock) -> AsyncIterator[RuntimeEvent]:
    """Events of the connection's namespace, for ever. containerd does not say when a subscription holds: what happens
    within the first millisecond after ``EventsBegin`` may be missing."""
    filters = [f'namespace=={containerd.namespace},topic=="{topic}"' for topic in _TOPICS]
    while True:
        yield EventsBegin()
        try:
            async for envelope in containerd.stream(_SUBSCRIBE, pb.SubscribeRequest(filters=filters), patient=True):
                if (event := decoded(envelope)) is not None:
                    yield event
        except Unavailable:
            await clock.sleep(_RETRY_SECONDS)


def decoded(envelope: pb.Envelope) -> RuntimeEvent | None:
    """The event in ``envelope``; None for one that says nothing to us."""
    value = envelope.event.value
    match envelope.topic:
        case "/tasks/start":
            start = TaskStart.FromString(value)
            return ProcessStarted(start.container_id, start.pid)
        case "/tasks/exit":
            exit_ = TaskExit.FromString(value)
            # A task's own process goes by the container's id.
            exec_id = "" if exit_.id == exit_.container_id else exit_.id
            status = ExitStatus(exit_.exit_status, moment(exit_.exited_at))
            return ProcessExited(exit_.container_id, exec_id, exit_.pid, status)
        case "/tasks/oom":
            return OutOfMemory(TaskOOM.FromString(value).container_id)
        case _:
            return None
