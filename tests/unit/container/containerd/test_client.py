"""Calls of a containerd that is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from shoal.aio.tasks import spawn
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.pb.version_pb2 import VersionResponse
from shoal.errors import Unavailable
from shoal.wire.rpc import Streaming, Unary

_ASK = Unary("test.Service/Ask", Empty, VersionResponse)
_LIST = Streaming("test.Service/List", Empty, VersionResponse)


@contextlib.asynccontextmanager
async def server(socket: Path, *, dies: bool = False) -> AsyncIterator[list[str]]:
    """Answers both calls, or goes away over the first; what it was asked."""
    asked: list[str] = []
    serving = grpc.aio.server()

    async def ask(request: Empty, context: grpc.aio.ServicerContext[Empty, VersionResponse]) -> VersionResponse:
        asked.append("ask")
        if dies:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "error reading from server: EOF")
        return VersionResponse(version="1")

    async def many(
        request: Empty, context: grpc.aio.ServicerContext[Empty, VersionResponse]
    ) -> AsyncIterator[VersionResponse]:
        asked.append("list")
        for version in "12":
            yield VersionResponse(version=version)

    forms = {
        "request_deserializer": Empty.FromString,
        "response_serializer": VersionResponse.SerializeToString,
    }
    handlers = {
        "Ask": grpc.unary_unary_rpc_method_handler(ask, **forms),
        "List": grpc.unary_stream_rpc_method_handler(many, **forms),
    }
    serving.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", handlers),))
    serving.add_insecure_port(f"unix://{socket}")
    await serving.start()
    try:
        yield asked
    finally:
        await serving.stop(None)


def test_a_call_waits_for_one_that_comes_back(tmp_path: Path) -> None:
    async def run() -> None:
        containerd = Containerd(str(tmp_path / "sock"), away=20)
        asking = spawn(containerd.call(_ASK, Empty()), name="asking")
        listing = spawn(_all(containerd), name="listing")
        await asyncio.sleep(0.1)
        assert not asking.done() and not listing.done()
        async with server(tmp_path / "sock") as asked:
            assert (await asking).version == "1"
            assert await listing == ["1", "2"]
            assert sorted(asked) == ["ask", "list"]
            await containerd.close()

    asyncio.run(run())


def test_one_that_stays_away_is_unavailable(tmp_path: Path) -> None:
    async def run() -> None:
        containerd = Containerd(str(tmp_path / "sock"), away=0.05)
        with pytest.raises(Unavailable):
            await containerd.call(_ASK, Empty())
        with pytest.raises(Unavailable):
            await _all(containerd)
        await containerd.close()

    asyncio.run(run())


def test_a_call_that_may_have_been_heard_is_not_made_twice(tmp_path: Path) -> None:
    async def run() -> None:
        containerd = Containerd(str(tmp_path / "sock"), away=20)
        async with server(tmp_path / "sock", dies=True) as asked:
            with pytest.raises(Unavailable):
                await containerd.call(_ASK, Empty())
            assert asked == ["ask"]
            await containerd.close()

    asyncio.run(run())


async def _all(containerd: Containerd) -> list[str]:
    return [answer.version async for answer in containerd.stream(_LIST, Empty())]
