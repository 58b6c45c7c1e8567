"""The end of a session's connection, whatever its node does."""

import asyncio
import time
from typing import Any, cast

import pytest
from aiohttp import web

from shoal.manager.dispatcher.server import NodeSocket
from shoal.wire.cluster import HeartbeatTaken


class Transport:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Socket:
    """A WebSocket whose other end does not read; ``cancels``: a writer that waited for it has been cancelled."""

    closed = False

    def __init__(self, *, cancels: bool) -> None:
        self._cancels = cancels

    async def close(self, **options: Any) -> None:
        await self._write()

    async def send_bytes(self, data: bytes) -> None:
        await self._write()

    async def _write(self) -> None:
        if self._cancels:
            raise asyncio.CancelledError
        await asyncio.sleep(3600)


def made(*, cancels: bool) -> tuple[NodeSocket, Transport]:
    transport = Transport()
    socket = cast(web.WebSocketResponse, Socket(cancels=cancels))
    return NodeSocket(socket, cast(asyncio.Transport, transport)), transport


@pytest.mark.parametrize("cancels", [False, True])
def test_who_does_not_read_is_parted_from_soon_and_without_harm(cancels: bool) -> None:
    async def main() -> None:
        socket, transport = made(cancels=cancels)
        began = time.monotonic()
        await socket.close()
        assert transport.aborted and time.monotonic() - began < 5

    asyncio.run(main())


def test_a_send_that_was_cut_off_by_another_is_a_broken_line() -> None:
    async def main() -> None:
        socket, _ = made(cancels=True)
        with pytest.raises(ConnectionResetError):
            await socket.send(HeartbeatTaken())

    asyncio.run(main())


def test_ones_own_cancellation_is_not_swallowed() -> None:
    async def main() -> None:
        for step in ("close", "send"):
            socket, _ = made(cancels=False)
            work = socket.close() if step == "close" else socket.send(HeartbeatTaken())
            task = asyncio.get_running_loop().create_task(work)
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
