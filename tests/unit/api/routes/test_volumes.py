"""Requests for volumes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.fakes.api_client import client_of
from tests.fakes.image_records import FakeVolumes

from shoal.api.routes.volumes import routes
from shoal.objects.volume import VolumeCreateOptions


def run(scenario: Callable[[Any, FakeVolumes], Awaitable[None]]) -> None:
    async def main() -> None:
        backend = FakeVolumes()
        async with client_of(routes(backend)) as client:
            await scenario(client, backend)

    asyncio.run(main())


def test_list_inspect_create_remove() -> None:
    async def scenario(client: Any, backend: FakeVolumes) -> None:
        got = await (await client.get('/volumes?filters={"label":["a"],"dangling":["1"]}')).json()
        assert [volume["Name"] for volume in got["Volumes"]] == ["vol"]
        assert (await (await client.get("/volumes/vol")).json())["Driver"] == "local"
        answer = await client.get("/volumes/zz")
        assert (answer.status, await answer.json()) == (404, {"message": "get zz: no such volume"})
        created = await client.post("/volumes/create", json={"Name": "vol", "DriverOpts": {"type": "tmpfs"}})
        assert created.status == 201
        assert (await client.delete("/volumes/vol?force=1")).status == 204
        assert backend.calls == [
            ("list", {"label": ("a",), "dangling": ("1",)}),
            ("create", VolumeCreateOptions(name="vol", driver_opts={"type": "tmpfs"})),
            ("remove", "vol", True),
        ]

    run(scenario)


def test_old_clients_prune_every_unused_volume() -> None:
    async def scenario(client: Any, backend: FakeVolumes) -> None:
        answer = await client.post("/volumes/prune")
        assert await answer.json() == {"VolumesDeleted": ["vol"], "SpaceReclaimed": 3}
        await client.post('/volumes/prune?filters={"all":["true"]}')
        await client.post("/v1.41/volumes/prune")
        assert backend.calls == [("prune", {}), ("prune", {"all": ["true"]}), ("prune", {"all": ["true"]})]

    run(scenario)


def test_what_cannot_be_meant() -> None:
    async def scenario(client: Any, backend: FakeVolumes) -> None:
        assert (await client.get('/volumes?filters={"foo":["x"]}')).status == 400
        assert (await client.get('/volumes?filters={"dangling":["x"]}')).status == 400
        assert (await client.post("/volumes/create")).status == 400
        assert backend.calls == []

    run(scenario)
