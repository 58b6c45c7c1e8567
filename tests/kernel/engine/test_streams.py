"""Attach, logs and resize of real containers."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest
from tests.fakes.engine_rig import Rig, eventually, read_all, rig

from shoal.aio.tasks import spawn
from shoal.errors import Conflict, NotFound, Unimplemented
from shoal.objects.container import ContainerConfig, HostConfig, LogConfig
from shoal.objects.results import LogQuery

T = TypeVar("T")
pytestmark = pytest.mark.root


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


CAT = ContainerConfig(open_stdin=True, stdin_once=True)


async def _logged(node: Rig, key: str, query: LogQuery) -> list[tuple[str, bytes]]:
    return [(line.stream, line.data) async for line in await node.streams.logs(key, query)]


async def _cat() -> None:
    async with rig() as node:
        key = await node.create("cat", config=CAT)
        streams = await node.streams.attach(key, stdin=True, stdout=True, stderr=True, logs=False)
        await node.lifecycle.start(key)
        data = bytes(range(256)) * 4096
        await streams.write(data)
        await streams.close_stdin()
        found = b"".join([piece async for stream, piece in streams if stream == 1])
        await streams.aclose()
        assert found == data
        await eventually(lambda: not node.records.get(key).is_running)
        assert node.records.get(key).state.exit_code == 0
        # The same container once more: its streams are opened anew.
        streams = await node.streams.attach(key, stdin=True, stdout=True, stderr=True, logs=False)
        await node.lifecycle.start(key)
        await streams.write(b"again\n")
        await streams.close_stdin()
        assert await read_all(streams) == "again\n"


def test_input_goes_through_and_its_end_ends_the_process() -> None:
    asyncio.run(_cat())


async def _both() -> None:
    async with rig() as node:
        key = await node.run("sh", "-c", "echo out; echo err >&2; read x; echo got $x; sleep 60", config=CAT)

        async def two_lines() -> bool:
            return len(await _logged(node, key, LogQuery())) == 2

        await eventually(two_lines)
        assert sorted(await _logged(node, key, LogQuery())) == [("stderr", b"err\n"), ("stdout", b"out\n")]
        assert await _logged(node, key, LogQuery(stdout=False)) == [("stderr", b"err\n")]
        streams = await node.streams.attach(key, stdin=True, stdout=True, stderr=False, logs=True)
        follower = await node.streams.logs(key, LogQuery(follow=True, tail=0))
        following = spawn(_next(aiter(follower)), name="follow")
        await asyncio.sleep(0.1)
        await streams.write(b"this\n")
        pieces = aiter(streams)
        assert [await anext(pieces), await anext(pieces)] == [(1, b"out\n"), (1, b"got this\n")]
        assert (await following).data == b"got this\n"
        await node.lifecycle.kill(key, "KILL")
        assert [line async for line in follower] == []  # it ends with the container
        assert [piece async for piece in pieces] == []
        await streams.aclose()
        assert await _logged(node, key, LogQuery(follow=True, tail=1)) == [("stdout", b"got this\n")]


def test_the_past_comes_from_the_log_and_the_rest_live() -> None:
    asyncio.run(_both())


async def _keeper_dies() -> None:
    async with rig() as node:
        key = await node.run("cat", config=CAT)
        streams = await node.streams.attach(key, stdin=True, stdout=True, stderr=True, logs=False)
        pieces = aiter(streams)
        await streams.write(b"one\n")
        assert await anext(pieces) == (1, b"one\n")
        reading = spawn(_next(pieces), name="read")
        await node.keeper.client.shutdown()
        await node.keeper.client.hello()  # its successor
        await asyncio.sleep(0.1)
        await streams.write(b"two\n")
        assert await reading == (1, b"two\n")
        await streams.aclose()


def test_an_attachment_outlives_the_keeper() -> None:
    asyncio.run(_keeper_dies())


async def _terminal() -> None:
    async with rig() as node:
        config = ContainerConfig(tty=True, open_stdin=True)
        key = await node.create("sh", "-c", "echo ready; read x; stty size", config=config)
        with pytest.raises(Conflict, match=f"^Container {key} is not running$"):
            await node.streams.resize(key, 10, 20)
        streams = await node.streams.attach(key, stdin=True, stdout=True, stderr=True, logs=False)
        await node.lifecycle.start(key)
        pieces = aiter(streams)
        assert await anext(pieces) == (1, b"ready\r\n")
        await node.streams.resize(key, 33, 77)
        await streams.write(b"\n")
        rest = b"".join([data async for _, data in pieces])
        await streams.aclose()
        assert rest.split() == [b"33", b"77"]


def test_a_terminal_has_the_size_it_was_told() -> None:
    asyncio.run(_terminal())


async def _refused() -> None:
    async with rig() as node:
        with pytest.raises(NotFound):
            await node.streams.logs("none", LogQuery())
        key = await node.run("sleep", "60", host=HostConfig(log_config=LogConfig(type="none")))
        with pytest.raises(Unimplemented, match="^configured logging driver does not support reading$"):
            await node.streams.logs(key, LogQuery())
        await node.lifecycle.pause(key, paused=True)
        with pytest.raises(Conflict, match="is paused, unpause the container before attach"):
            await node.streams.attach(key, stdin=False, stdout=True, stderr=True, logs=False)
        await node.lifecycle.pause(key, paused=False)


def test_what_has_no_streams_says_so() -> None:
    asyncio.run(_refused())
