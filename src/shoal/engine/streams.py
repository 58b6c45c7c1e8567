"""A container's output and input, for ``attach`` and ``logs``: live from the keeper, past from the log."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Literal

import msgspec

from shoal.aio.clock import Clock
from shoal.container.runtime import Runtime
from shoal.engine.events import Events
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.records import Records
from shoal.engine.waiting import Condition
from shoal.errors import Conflict, FailedPrecondition, NotFound, ShoalError, Unavailable, Unimplemented
from shoal.keeper import logfile
from shoal.keeper.client import Attachment, KeeperClient
from shoal.keeper.watch import FolderWatch
from shoal.objects.container import Container
from shoal.objects.results import LogLine, LogQuery
from shoal.wire.keeper import Stream

_log = logging.getLogger(__name__)
_NANO = 1_000_000_000


class Line(msgspec.Struct, frozen=True):
    """A :class:`~shoal.objects.results.LogLine`."""

    stream: Literal["stdout", "stderr"]
    time: int
    data: bytes


class LiveStreams:
    """A process's streams, kept through restarts of the keeper; see ``Attachment`` in the API's backends.

    ``attach`` makes a connection to the keeper, ``end_stdin`` tells the runtime that the process's input has ended.
    """

    def __init__(
        self,
        attached: Attachment,
        *,
        attach: Callable[[], Awaitable[Attachment]],
        end_stdin: Callable[[], Awaitable[None]],
        before: AsyncIterator[tuple[int, bytes]] | None = None,
    ) -> None:
        self._attached = attached
        self._attach = attach
        self._end_stdin = end_stdin
        self._before = before
        self._over = False
        self._renewed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        if self._before is not None:
            async for piece in self._before:
                yield piece
        while True:
            async for stream, data in self._attached:
                if stream is Stream.STDIN_CLOSED:
                    await self._close_input()
                else:
                    yield int(stream), data
            if self._attached.ended or self._over or not await self._again():
                await self.aclose()
                return

    async def write(self, data: bytes) -> None:
        """Give it input; waits while the process does not read. What nobody will read any more is dropped."""
        await self._send(lambda attached: attached.write(data))

    async def close_stdin(self) -> None:
        """No more input will come."""
        await self._send(lambda attached: attached.close_stdin())

    async def aclose(self) -> None:
        """Let go; the process goes on."""
        self._over = True
        self._renewed.set()
        await self._attached.aclose()

    async def _send(self, send: Callable[[Attachment], Awaitable[None]]) -> None:
        """To the keeper, or its successor, for which whoever reads the output sees."""
        while not self._over:
            renewed = self._renewed
            try:
                return await send(self._attached)
            except Unavailable as error:
                _log.debug("input that the keeper does not take: %s", error)
            await renewed.wait()

    async def _again(self) -> bool:
        """The keeper went away without a word. What the process writes meanwhile waits for its successor."""
        try:
            attached = await self._attach()
        except ShoalError as error:
            _log.debug("the streams are gone: %s", error)
            return False
        if self._over:  # left meanwhile
            await attached.aclose()
            return False
        await self._attached.aclose()
        self._attached = attached
        self._renewed.set()
        self._renewed = asyncio.Event()
        return True

    async def _close_input(self) -> None:
        try:
            await self._end_stdin()
        except (NotFound, FailedPrecondition) as error:
            _log.debug("the process ended before its input: %s", error)


class Streams:
    """``attach``, ``logs`` and ``resize`` of :class:`shoal.api.backends_containers.ContainerBackend`."""

    def __init__(
        self,
        *,
        records: Records,
        lifecycle: Lifecycle,
        runtime: Runtime,
        keeper: KeeperClient,
        events: Events,
        watch: FolderWatch,
        clock: Clock,
    ) -> None:
        self._records = records
        self._lifecycle = lifecycle
        self._runtime = runtime
        self._keeper = keeper
        self._events = events
        self._watch = watch
        self._clock = clock

    def close(self) -> None:
        """No log is followed any more."""
        self._watch.close()

    async def attach(self, ref: str, *, stdin: bool, stdout: bool, stderr: bool, logs: bool) -> LiveStreams:
        """The streams from now on, with ``logs`` also what the log has; of a container that does not run, those of its
        next start. Raises NotFound, Conflict while it is paused or about to restart."""
        container = self._records.get(ref)
        if container.state.paused:
            raise Conflict(f"Container {container.id} is paused, unpause the container before attach")
        if container.state.restarting:
            raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
        if not container.is_running:
            await self._lifecycle.cleared(container.id)
            await self._lifecycle.open_stdio(container)
        stdin = stdin and container.config.open_stdin

        async def connect() -> Attachment:
            return await self._keeper.attach(container.id, stdin=stdin, stdout=stdout, stderr=stderr)

        async def end_stdin() -> None:
            await self._runtime.close_stdin(container.id)

        attached = await connect()
        now = int(self._clock.now().timestamp() * _NANO)
        before = _written(container, now, stdout=stdout, stderr=stderr) if logs else None
        self._events.of_container("attach", container)
        return LiveStreams(attached, attach=connect, end_stdin=end_stdin, before=before)

    async def logs(self, ref: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """The lines that are there, then, if asked to follow, those that come until the container ends.

        :raises NotFound: no such container.
        :raises Unimplemented: it keeps no log.
        """
        container = self._records.get(ref)
        if container.host_config.log_config.type == "none":
            raise Unimplemented("configured logging driver does not support reading")
        return self._lines(container, query)

    async def resize(self, ref: str, height: int, width: int) -> None:
        """Tell its terminal the size. Raises Conflict when it does not run."""
        container = self._records.get(ref)
        if not container.is_running:
            raise Conflict(f"Container {container.id} is not running")
        await self._runtime.resize(container.id, height=height, width=width)
        self._events.of_container("resize", container, height=str(height), width=str(width))

    async def _lines(self, container: Container, query: LogQuery) -> AsyncIterator[Line]:
        path = Path(container.log_path)
        wanted = logfile.LogQuery(tail=query.tail, since=query.since, until=query.until)
        if not query.follow or not container.is_running:
            async for line in logfile.read_log(path, wanted):
                if query.stdout if line.stream is Stream.STDOUT else query.stderr:
                    yield _line(line)
            return
        stopped = asyncio.Event()
        ended = self._lifecycle.waiters.wait(container.id, Condition.NEXT_EXIT)
        ended.add_done_callback(lambda _: stopped.set())
        try:
            async for line in logfile.follow_log(path, wanted, stopped=stopped, watch=self._watch, clock=self._clock):
                if query.stdout if line.stream is Stream.STDOUT else query.stderr:
                    yield _line(line)
        finally:
            ended.cancel()


async def _written(container: Container, until: int, *, stdout: bool, stderr: bool) -> AsyncIterator[tuple[int, bytes]]:
    """What the log has up to that moment (ns since 1970), as the streams had it."""
    async for line in logfile.read_log(Path(container.log_path), logfile.LogQuery(until=until)):
        if stdout if line.stream is Stream.STDOUT else stderr:
            yield int(line.stream), line.data


def _line(line: logfile.LogLine) -> Line:
    return Line(stream="stdout" if line.stream is Stream.STDOUT else "stderr", time=line.time, data=line.data)
