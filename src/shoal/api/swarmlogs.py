"""The logs of a service or a task: lines from many containers in one answer.

The docker client always asks for ``details``, and finds in them the task and the node that each line is from.
"""

from collections.abc import AsyncIterator

from aiohttp import web

from shoal.api.backends import SwarmBackend, SwarmLogLine
from shoal.api.moments import query_moment, rfc3339_nano
from shoal.api.requests import query_bool, query_tail
from shoal.api.streams import MULTIPLEXED, RAW, StdStream, frame, stream_bytes
from shoal.errors import InvalidArgument, ShoalError
from shoal.objects.results import LogQuery
from shoal.objects.service import Service, TaskSpec
from shoal.objects.task import Task


async def stream_logs(
    request: web.Request, backend: SwarmBackend, target: Service | Task, spec: TaskSpec
) -> web.StreamResponse:
    """Answer with what the target's containers have written, and with ``follow`` what they will write."""
    query = LogQuery(
        stdout=query_bool(request, "stdout"),
        stderr=query_bool(request, "stderr"),
        follow=query_bool(request, "follow"),
        since=query_moment(request, "since"),
        tail=query_tail(request),
    )
    if not (query.stdout or query.stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    details, timestamps = query_bool(request, "details"), query_bool(request, "timestamps")
    tty = bool(spec.container_spec and spec.container_spec.tty)
    lines = await backend.logs(target, query)

    def framed(stream: StdStream, text: bytes) -> bytes:
        return text if tty else frame(stream, text)

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in texts():
                yield piece
        except ShoalError as error:
            # As dockerd does: the lines that there are, then why they are not all.
            yield framed(StdStream.SYSTEM_ERROR, f"Error grabbing logs: {error}\n".encode())

    async def texts() -> AsyncIterator[bytes]:
        async for item in lines:
            text = (_details(item.task) if details else b"") + item.line.data
            if timestamps:
                text = rfc3339_nano(item.line.time).encode() + b" " + text
            yield framed(_stream(item), text)

    return await stream_bytes(request, pieces(), content_type=RAW if tty else MULTIPLEXED, endless=query.follow)


def _stream(item: SwarmLogLine) -> StdStream:
    return StdStream.STDERR if item.line.stream == "stderr" else StdStream.STDOUT


def _details(task: Task) -> bytes:
    prefix = "com.docker.swarm"
    return f"{prefix}.node.id={task.node_id},{prefix}.service.id={task.service_id},{prefix}.task.id={task.id} ".encode()
