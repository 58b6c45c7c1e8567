"""Files in and out of a container."""

import asyncio
import base64
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.fakes.api_client import client_of
from tests.fakes.container_records import container
from tests.fakes.containers_backend import FakeContainers

from shoal.api.routes.archive import archive_routes

HEADER = "X-Docker-Container-Path-Stat"
STAT = {"name": "sh", "size": 7, "mode": 134218239, "mtime": "2026-11-23T19:15:36Z", "linkTarget": "/bin/busybox"}


def run(scenario: Callable[[Any, FakeContainers], Awaitable[None]]) -> None:
    async def main() -> None:
        backend = FakeContainers([container()])
        async with client_of(archive_routes(backend)) as client:
            await scenario(client, backend)

    asyncio.run(main())


def test_look_and_fetch() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        looked = await client.head("/containers/aa/archive?path=/bin/sh")
        assert json.loads(base64.b64decode(looked.headers[HEADER])) == STAT
        fetched = await client.get("/containers/aa/archive?path=/bin/sh")
        assert json.loads(base64.b64decode(fetched.headers[HEADER])) == STAT
        assert (fetched.content_type, await fetched.read()) == ("application/x-tar", b"tar")
        missing = await client.get("/containers/aa/archive?path=/zz")
        assert (missing.status, await missing.json()) == (
            404,
            {"message": "Could not find the file /zz in container aa"},
        )
        assert (await client.head("/containers/aa/archive?path=/zz")).status == 404
        assert (await client.get("/containers/aa/archive")).status == 400

    run(scenario)


def test_unpack_what_is_longer_than_a_body_may_be_elsewhere() -> None:
    content = b"0123456789abcdef" * (20 << 16)

    async def scenario(client: Any, backend: FakeContainers) -> None:
        answer = await client.put(
            "/containers/aa/archive?path=/etc&noOverwriteDirNonDir=true", data=io.BytesIO(content)
        )
        assert (answer.status, await answer.read()) == (200, b"")
        assert backend.calls == [("put", "aa", "/etc", content, True, False)]

    run(scenario)
