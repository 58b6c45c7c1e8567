"""containerd's events as ours."""

from datetime import UTC, datetime

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from shoal.container.containerd.events import decoded
from shoal.container.containerd.pb.events_pb2 import Envelope
from shoal.container.containerd.pb.task_events_pb2 import TaskExit, TaskOOM, TaskStart
from shoal.container.runtime import ExitStatus, OutOfMemory, ProcessExited, ProcessStarted


def envelope(topic: str, message: Message) -> Envelope:
    return Envelope(topic=topic, namespace="shoal", event=Any(value=message.SerializeToString()))


def test_each_kind() -> None:
    assert decoded(envelope("/tasks/start", TaskStart(container_id="c", pid=7))) == ProcessStarted("c", 7)
    assert decoded(envelope("/tasks/oom", TaskOOM(container_id="c"))) == OutOfMemory("c")
    assert decoded(envelope("/tasks/paused", TaskOOM(container_id="c"))) is None
    ended = ExitStatus(3, datetime(2026, 1, 1, tzinfo=UTC))
    for exec_id, seen_as in (("c", ""), ("e", "e")):
        stamp = Timestamp(seconds=int(ended.at.timestamp()))
        message = TaskExit(container_id="c", id=exec_id, pid=7, exit_status=3, exited_at=stamp)
        assert decoded(envelope("/tasks/exit", message)) == ProcessExited("c", seen_as, 7, ended)
