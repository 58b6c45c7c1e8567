"""What a task of this node has written, sent into a stream that a manager has asked for."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from shoal.agent.streams import Stream
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import NotFound, ShoalError
from shoal.objects.results import LogLine, LogQuery
from shoal.wire.cluster import STREAM_BEAT, ReadLog
from shoal.wire.logs import Line, LogLines, pack_lines

# A message has so many lines, or so many bytes and one line more; as many lines are read ahead.
_MOST_LINES, _ENOUGH = 64, 64 * 1024
# After so many seconds without a line it is said the first time that there are no more at the moment.
_PAUSE = 0.05
_NANO = 1_000_000_000


async def send_log(
    asked: ReadLog,
    stream: Stream,
    *,
    read: Callable[[str, LogQuery], Awaitable[AsyncIterator[LogLine]]],
    clock: Clock,
) -> None:
    """Send the lines that the manager has asked for; ``read`` has them by the task's id, and raises NotFound for a task
    that has no container on this node: it has written nothing here. Raises what else ``read`` raises."""

    async def send(lines: list[Line]) -> None:
        await stream.send(pack_lines(LogLines(now=int(clock.now().timestamp() * _NANO), lines=lines)))

    await send([])
    try:
        lines = await read(asked.task_id, asked.query)
    except NotFound:
        return
    queue: asyncio.Queue[Line | ShoalError | None] = asyncio.Queue(_MOST_LINES)
    reading = spawn(_read(lines, queue), name=f"log of {asked.task_id}")
    patience = _PAUSE
    try:
        while True:
            try:
                async with asyncio.timeout(patience):
                    batch, end = _take(await queue.get(), queue)
            except TimeoutError:
                batch, end, patience = [], False, STREAM_BEAT
            if batch or not end:
                await send(batch)
            if isinstance(end, ShoalError):
                raise end
            if end:
                return
    finally:
        await cancel(reading)


async def _read(lines: AsyncIterator[LogLine], queue: "asyncio.Queue[Line | ShoalError | None]") -> None:
    try:
        async for line in lines:
            await queue.put(Line(line.stream, line.time, line.data))
    except ShoalError as error:
        await queue.put(error)
    else:
        await queue.put(None)


def _take(
    first: Line | ShoalError | None, queue: "asyncio.Queue[Line | ShoalError | None]"
) -> tuple[list[Line], bool | ShoalError]:
    """One message's lines of those that are there; and whether they are the last, or why there are no more."""
    batch: list[Line] = []
    size = 0
    item = first
    while isinstance(item, Line):
        batch.append(item)
        size += len(item.data)
        if size >= _ENOUGH or len(batch) == _MOST_LINES or queue.empty():
            return batch, False
        item = queue.get_nowait()
    return batch, item if isinstance(item, ShoalError) else True
