"""Attach, logs, stats, wait and export; half-closes over a real unix socket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes.api_client import client_of, raw_post, socket_of
from tests.fakes.clock import FakeClock
from tests.fakes.container_records import AA, container
from tests.fakes.containers_backend import EchoAttachment, FakeContainers, Line

from shoal.aio.tasks import spawn
from shoal.api.routes.container_streams import routes
from shoal.api.streams import frame
from shoal.objects.results import ExitResult, LogQuery

TTY = container(id="d" * 64, name="tt", config=replace(container().config, tty=True))
LINES = [Line("stdout", 1795461477764716095, b"hi\n"), Line("stderr", 1795461477765001501, b"err\n")]


def run(scenario: Callable[[Any, FakeContainers, FakeClock], Awaitable[None]]) -> None:
    async def main() -> None:
        backend, clock = FakeContainers([container(), TTY], lines=list(LINES)), FakeClock()
        async with client_of(routes(backend, clock)) as client:
            await scenario(client, backend, clock)

    asyncio.run(main())


async def answered(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(5):
        return await reader.readuntil(b"\r\n\r\n")


def test_attach_both_ways_until_the_client_half_closes(tmp_path: Path) -> None:
    async def scenario() -> None:
        backend = FakeContainers([container()], attachment=EchoAttachment(b"welcome"))
        async with socket_of(tmp_path, routes(backend, FakeClock())) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(raw_post("/containers/aa/attach?stream=1&stdin=1&stdout=1&stderr=1"))
            head = await answered(reader)
            assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
            assert b"multiplexed-stream" in head
            assert await reader.readexactly(15) == frame(1, b"welcome")
            writer.write(b"hello")
            assert await reader.readexactly(13) == frame(1, b"hello")
            writer.write_eof()
            assert await reader.read() == frame(2, b"bye")
            writer.close()
        assert backend.calls == [("attach", AA, True, True, True, False)]
        assert backend.attachment.let_go.is_set()

    asyncio.run(scenario())


def test_attach_to_a_tty_is_raw(tmp_path: Path) -> None:
    async def scenario() -> None:
        backend = FakeContainers([TTY], attachment=EchoAttachment(b"welcome"))
        async with socket_of(tmp_path, routes(backend, FakeClock())) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(raw_post("/containers/tt/attach?stream=1&stdin=1&stdout=1"))
            assert b"raw-stream" in await answered(reader)
            assert await reader.readexactly(7) == b"welcome"
            writer.write_eof()
            assert await reader.read() == b"bye"
            writer.close()

    asyncio.run(scenario())


def test_without_stdin_the_clients_end_ends_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        backend = FakeContainers([container()])
        async with socket_of(tmp_path, routes(backend, FakeClock())) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(raw_post("/v1.41/containers/aa/attach?stream=1&stdout=1"))
            assert b"raw-stream" in await answered(reader)  # the newer type only since 1.42
            writer.write_eof()
            await asyncio.sleep(0.02)
            await backend.attachment.write(b"later")
            assert await reader.readexactly(13) == frame(1, b"later")
            await backend.attachment.close_stdin()
            assert await reader.read() == frame(2, b"bye")
            writer.close()

    asyncio.run(scenario())


def test_a_client_that_goes_away_lets_go_of_the_container(tmp_path: Path) -> None:
    async def scenario() -> None:
        backend = FakeContainers([container()])
        async with socket_of(tmp_path, routes(backend, FakeClock())) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(raw_post("/containers/aa/attach?stream=1&stdin=1&stdout=1"))
            await answered(reader)
            writer.transport.abort()
            # It is noticed with its end of input here, which ends the process; and at the latest with the next output.
            async with asyncio.timeout(5):
                await backend.attachment.let_go.wait()

    asyncio.run(scenario())


def test_attach_to_the_past_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        backend = FakeContainers([container()], lines=list(LINES))
        async with socket_of(tmp_path, routes(backend, FakeClock())) as path:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(raw_post("/containers/aa/attach?logs=1&stdout=1&stderr=1"))
            await answered(reader)
            assert await reader.read() == frame(1, b"hi\n") + frame(2, b"err\n")
            writer.close()

    asyncio.run(scenario())


def test_attach_to_nothing_is_an_ordinary_error() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        answer = await client.post("/containers/zz/attach?stream=1&stdout=1")
        assert (answer.status, await answer.json()) == (404, {"message": "No such container: zz"})

    run(scenario)


def test_logs_in_frames_with_timestamps() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        answer = await client.get("/containers/aa/logs?stdout=1&stderr=1&timestamps=1")
        assert answer.content_type == "application/vnd.docker.multiplexed-stream"
        assert await answer.read() == frame(1, b"2026-11-23T19:17:57.764716095Z hi\n") + frame(
            2, b"2026-11-23T19:17:57.765001501Z err\n"
        )
        old = await client.get("/v1.41/containers/aa/logs?stdout=1")
        assert old.content_type == "application/vnd.docker.raw-stream"

    run(scenario)


def test_logs_of_a_tty_are_raw() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        answer = await client.get("/containers/tt/logs?stdout=1")
        assert answer.content_type == "application/vnd.docker.raw-stream"
        assert await answer.read() == b"hi\nerr\n"

    run(scenario)


def test_a_long_lines_later_pieces_have_no_timestamp() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        stamp = b"2026-11-23T19:17:57.764716095Z "
        backend.lines = [replace_data(LINES[0], data) for data in (b"one ", b"line\n", b"next\n")]
        answer = await client.get("/containers/tt/logs?stdout=1&timestamps=1")
        assert await answer.read() == stamp + b"one line\n" + stamp + b"next\n"

    run(scenario)


def replace_data(line: Line, data: bytes) -> Line:
    return Line(line.stream, line.time, data)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("stdout=1", LogQuery(stderr=False)),
        ("stdout=1&stderr=1&tail=all", LogQuery()),
        ("stdout=1&stderr=1&tail=5&follow=1", LogQuery(tail=5, follow=True)),
        ("stdout=1&stderr=1&tail=x", LogQuery()),
        ("stdout=1&stderr=1&since=5.25&until=7", LogQuery(since=5_250_000_000, until=7_000_000_000)),
        ("stdout=1&stderr=1&until=0", LogQuery()),
    ],
)
def test_which_lines(query: str, wanted: LogQuery) -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        assert (await client.get(f"/containers/aa/logs?{query}")).status == 200
        assert backend.calls == [("logs", AA, wanted)]

    run(scenario)


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ("", 400, "Bad parameters: you must choose at least one stream"),
        ("stdout=1&since=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
    ],
)
def test_which_lines_cannot_be(query: str, status: int, text: str) -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        answer = await client.get(f"/containers/aa/logs?{query}")
        assert (answer.status, (await answer.json())["message"]) == (status, text)

    run(scenario)


def test_wait_sends_its_header_at_once_and_its_body_at_the_end() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        async with client.post("/containers/aa/wait?condition=next-exit") as answer:
            assert answer.status == 200
            assert backend.calls == [("wait", "aa", "next-exit")]
            assert backend.exits is not None
            backend.exits.set_result(ExitResult(3))
            assert await answer.json() == {"StatusCode": 3, "Error": None}

    run(scenario)


def test_wait_tells_why_it_failed() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        async with client.post("/containers/aa/wait") as answer:
            assert backend.calls == [("wait", "aa", "not-running")]
            assert backend.exits is not None
            backend.exits.set_result(ExitResult(125, "lost"))
            assert await answer.json() == {"StatusCode": 125, "Error": {"Message": "lost"}}
        assert (await client.post("/containers/zz/wait")).status == 404

    run(scenario)


def test_one_sample_is_compared_to_one_a_second_before() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        asking = spawn(client.get("/containers/aa/stats?stream=0"), name="ask")
        async with asyncio.timeout(5):
            await backend.first_sample.wait()
        await clock.advance(1)
        got = await (await asking).json()
        assert got["cpu_stats"]["cpu_usage"]["total_usage"] == 2000
        assert got["precpu_stats"]["cpu_usage"]["total_usage"] == 1000
        assert got["preread"].startswith("2026-01-01T00:00:01.")

    run(scenario)


def test_one_shot_is_compared_to_nothing() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        got = await (await client.get("/containers/aa/stats?stream=false&one-shot=1")).json()
        assert got["precpu_stats"]["cpu_usage"]["total_usage"] == 0
        assert backend.sampled == 1

    run(scenario)


def test_samples_come_until_the_container_is_removed() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        async with client.get("/containers/aa/stats") as answer:
            first = json.loads(await answer.content.readline())
            await clock.advance(1)
            second = json.loads(await answer.content.readline())
            assert second["preread"] == first["read"]
            backend.containers.clear()
            await clock.advance(1)
            assert await answer.content.read() == b""

    run(scenario)


def test_a_stopped_container_has_an_empty_sample() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        backend.running = False
        got = await (await client.get("/containers/aa/stats?stream=0")).json()
        assert got["read"] == "0001-01-01T00:00:00Z"
        assert got["memory_stats"] == {}

    run(scenario)


def test_export() -> None:
    async def scenario(client: Any, backend: FakeContainers, clock: FakeClock) -> None:
        answer = await client.get("/containers/aa/export")
        assert await answer.read() == b"onetwo"
        assert (await client.get("/containers/zz/export")).status == 404

    run(scenario)
