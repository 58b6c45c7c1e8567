"""A manager that says to a node what the test says, over a real connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from aiohttp import WSCloseCode, WSMsgType, web

from shoal.manager.found import FoundingRequest, found
from shoal.pki import contexts, files
from shoal.wire.cluster import (
    ELSEWHERE_CODE,
    FromAgent,
    FromManager,
    Heartbeat,
    HeartbeatTaken,
    Hello,
    Revision,
    Welcome,
    from_agent,
    pack,
)

M = TypeVar("M", bound=FromAgent)


@dataclass
class FakeStream:
    """A stream that a node has opened; it is read while ``reads`` is set, as it is at first."""

    socket: web.WebSocketResponse
    got: list[bytes] = field(default_factory=list)
    code: int | None = None
    reason: str = ""
    reads: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.reads.set()


@dataclass
class FakeManager:
    """The other end of the sessions; ``heard`` is what came in the present one, ``all_heard`` in all of them."""

    certificates: Path
    address: str = ""
    heard: list[FromAgent] = field(default_factory=list)
    all_heard: list[FromAgent] = field(default_factory=list)
    sessions: int = 0
    streams: dict[str, FakeStream] = field(default_factory=dict)
    welcomes: bool = True
    answers: bool = True
    # Where it says that the leader is; None for one that leads itself.
    elsewhere: str | None = None
    revision: Revision = Revision()
    on_message: Callable[[FromAgent], FromManager | None] = lambda message: None
    _socket: web.WebSocketResponse | None = None

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sessions += 1
        self.heard, self._socket = [], socket
        if self.elsewhere is not None:
            await socket.close(code=ELSEWHERE_CODE, message=self.elsewhere.encode())
            return socket
        async for message in socket:
            told = from_agent(message.data)
            self.heard.append(told)
            self.all_heard.append(told)
            if isinstance(told, Hello) and self.welcomes:
                await self.say(Welcome(session_id="s", heartbeat_period=20_000_000, revision=self.revision))
            if isinstance(told, Heartbeat) and self.answers:
                await self.say(HeartbeatTaken())
            if (answer := self.on_message(told)) is not None:
                await self.say(answer)
        return socket

    async def take_stream(self, request: web.Request) -> web.WebSocketResponse:
        """A node opens a stream: what it sends while the test reads, and the code and reason that it ends with."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        stream = FakeStream(socket)
        self.streams[request.match_info["id"]] = stream
        while stream.code is None:
            await stream.reads.wait()
            message = await socket.receive()
            if message.type is WSMsgType.BINARY:
                stream.got.append(message.data)
            else:
                stream.code, stream.reason = message.data or 0, str(message.extra or "")
        return socket

    async def say(self, message: FromManager) -> None:
        """Send the node a message."""
        assert self._socket is not None
        await self._socket.send_bytes(pack(message))

    async def say_rubbish(self) -> None:
        """Send what is no message."""
        assert self._socket is not None
        await self._socket.send_bytes(b"\xc1rubbish")

    async def hang_up(self, code: int = WSCloseCode.OK, reason: str = "") -> None:
        """End the session."""
        assert self._socket is not None
        await self._socket.close(code=code, message=reason.encode())

    def of(self, kind: type[M]) -> list[M]:
        """The messages of that kind in the present session."""
        return [message for message in self.heard if isinstance(message, kind)]


@asynccontextmanager
async def fake_manager(folder: Path) -> AsyncIterator[FakeManager]:
    """A manager with a swarm of one node, whose certificates lie in ``folder``; another one of it where there are some
    already."""
    if not (folder / files.KEY_FILE).exists():
        founding = found(FoundingRequest(advertise="127.0.0.1:1"), datetime.now(UTC))
        await asyncio.to_thread(files.save, folder, founding.files)
    manager = FakeManager(folder)
    app = web.Application()
    app.router.add_get("/v1/session", manager.serve)
    app.router.add_get("/v1/stream/{id}", manager.take_stream)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=contexts.swarm_server(folder))
        await site.start()
        host, port = runner.addresses[0][:2]
        manager.address = f"{host}:{port}"
        yield manager
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)
