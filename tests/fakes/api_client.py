"""The API served to a test: over HTTP with aiohttp's client, or on a unix socket for what is more than HTTP."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from shoal.api.app import build_app
from shoal.api.server import ApiServer, Listener

UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"


@contextlib.asynccontextmanager
async def client_of(routes: Sequence[web.RouteDef]) -> AsyncIterator[TestClient[Any, Any]]:
    """A client of an application with these routes."""
    async with TestClient(TestServer(build_app(routes))) as client:
        yield client


@contextlib.asynccontextmanager
async def socket_of(folder: Path, routes: Sequence[web.RouteDef]) -> AsyncIterator[Path]:
    """The unix socket of a server of these routes."""
    path = folder / "api.sock"
    server = ApiServer(app=build_app(routes), listeners=[Listener("unix", path=str(path))])
    await server.start()
    try:
        yield path
    finally:
        await server.stop()


def raw_post(path: str, body: str = "", headers: str = UPGRADE) -> bytes:
    """A POST as it is on the wire."""
    kind = "Content-Type: application/json\r\n" if body else ""
    return f"POST {path} HTTP/1.1\r\nHost: d\r\nContent-Length: {len(body)}\r\n{kind}{headers}\r\n{body}".encode()
