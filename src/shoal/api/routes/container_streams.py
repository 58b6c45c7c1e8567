"""What lasts under ``/containers``: attach, logs, stats, wait, export."""

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from shoal.aio.clock import Clock
from shoal.api.attachments import converse, framed
from shoal.api.backends_containers import ContainerBackend
from shoal.api.moments import query_moment, rfc3339_nano
from shoal.api.requests import query_bool, query_tail, query_text
from shoal.api.router import stream
from shoal.api.streams import JSON, MULTIPLEXED, RAW, RawConnection, StdStream, hijack, stream_bytes, stream_json
from shoal.api.versions import version_of
from shoal.errors import InvalidArgument, NotFound
from shoal.objects.base import encode
from shoal.objects.results import LogLine, LogQuery, StatsSample
from shoal.wire.docker.containers import WaitAnswer, WaitError
from shoal.wire.docker.stats import stats

_STATS_SECONDS: Final = 1.0
_NUMBERS: Final = {"stdout": StdStream.STDOUT, "stderr": StdStream.STDERR}
NAMES_STREAMS: Final = (1, 42)
"""From this API version on, the content type says whether a stream is multiplexed."""


def routes(backend: ContainerBackend, clock: Clock) -> list[web.RouteDef]:
    """The lasting answers; each ends with its client."""
    one = _Streams(backend, clock)
    return [
        web.get("/containers/{id}/logs", one.logs),
        web.get("/containers/{id}/stats", one.stats),
        web.get("/containers/{id}/export", one.export),
        stream("POST", "/containers/{id}/wait", one.wait),
        stream("POST", "/containers/{id}/attach", one.attach),
    ]


def log_query(request: web.Request) -> LogQuery:
    """Which lines are asked for. Raises InvalidArgument in Docker's words."""
    stdout, stderr = query_bool(request, "stdout"), query_bool(request, "stderr")
    if not stdout and not stderr:
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    return LogQuery(
        stdout=stdout,
        stderr=stderr,
        follow=query_bool(request, "follow"),
        since=query_moment(request, "since"),
        until=query_moment(request, "until") or None,
        tail=query_tail(request),
    )


async def log_pieces(lines: AsyncIterator[LogLine], *, timestamps: bool, tty: bool) -> AsyncIterator[bytes]:
    """Log lines as they are sent; a timestamp only where a line begins."""
    continued: set[str] = set()
    async for line in lines:
        data = line.data
        if timestamps and line.stream not in continued:
            data = rfc3339_nano(line.time).encode() + b" " + data
        if line.data.endswith(b"\n"):
            continued.discard(line.stream)
        else:
            continued.add(line.stream)
        yield framed(_NUMBERS[line.stream], data, tty=tty)


class _Streams:
    def __init__(self, backend: ContainerBackend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock

    async def logs(self, request: web.Request) -> web.StreamResponse:
        query = log_query(request)
        container = self._backend.get(request.match_info["id"])
        tty = container.config.tty
        lines = await self._backend.logs(container.id, query)
        pieces = log_pieces(lines, timestamps=query_bool(request, "timestamps"), tty=tty)
        multiplexed = not tty and version_of(request) >= NAMES_STREAMS
        return await stream_bytes(
            request, pieces, content_type=MULTIPLEXED if multiplexed else RAW, endless=query.follow
        )

    async def attach(self, request: web.Request) -> web.StreamResponse:
        container = self._backend.get(request.match_info["id"])
        tty = container.config.tty
        multiplexed = not tty and version_of(request) >= NAMES_STREAMS
        stdin, stdout, stderr = (query_bool(request, name) for name in ("stdin", "stdout", "stderr"))
        logs = query_bool(request, "logs")
        await request.read()
        if not query_bool(request, "stream"):
            query = LogQuery(stdout=stdout, stderr=stderr, tail=None if logs else 0)
            lines = await self._backend.logs(container.id, query)

            async def recite(connection: RawConnection) -> None:
                async for piece in log_pieces(lines, timestamps=False, tty=tty):
                    await connection.write(piece)

            return await hijack(request, recite, multiplexed=multiplexed)
        # Joined before the header goes out: a client that starts the container next misses nothing.
        attachment = await self._backend.attach(container.id, stdin=stdin, stdout=stdout, stderr=stderr, logs=logs)

        async def talk(connection: RawConnection) -> None:
            await converse(connection, attachment, tty=tty, stdin=stdin)

        try:
            return await hijack(request, talk, multiplexed=multiplexed)
        finally:
            await attachment.aclose()

    async def wait(self, request: web.Request) -> web.StreamResponse:
        # Registered before the header, on which clients wait before they start the container.
        ended = self._backend.waiter(request.match_info["id"], query_text(request, "condition") or "not-running")

        async def answer() -> AsyncIterator[bytes]:
            result = await ended
            error = WaitError(result.error) if result.error else None
            yield encode(WaitAnswer(result.code, error)) + b"\n"

        return await stream_bytes(request, answer(), content_type=JSON, endless=True)

    async def stats(self, request: web.Request) -> web.StreamResponse:
        samples = self._samples(
            request.match_info["id"],
            lasting=query_bool(request, "stream", True),
            one_shot=query_bool(request, "one-shot"),
        )
        return await stream_json(request, samples, at_once=False, endless=query_bool(request, "stream", True))

    async def _samples(self, ref: str, *, lasting: bool, one_shot: bool) -> AsyncIterator[object]:
        """Samples a second apart. A single one is compared to one that is taken for that alone, unless ``one_shot``."""
        container = self._backend.get(ref)
        before: StatsSample | None = None
        sample = await self._backend.stats(container.id)
        if not lasting:
            if sample.usage is not None and not one_shot:
                await self._clock.sleep(_STATS_SECONDS)
                before, sample = sample, await self._backend.stats(container.id)
            yield stats(container, sample, before)
            return
        try:
            while True:
                yield stats(container, sample, before)
                await self._clock.sleep(_STATS_SECONDS)
                before, sample = sample, await self._backend.stats(container.id)
                container = self._backend.get(container.id)
        except NotFound:
            return  # it has been removed, and with it ends what there is to tell

    async def export(self, request: web.Request) -> web.StreamResponse:
        pieces = await self._backend.export(request.match_info["id"])
        return await stream_bytes(request, pieces, content_type="application/octet-stream", at_once=False)
