"""Requests for containers over HTTP: what reaches the backend, and what comes back."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes.api_client import client_of
from tests.fakes.clock import FakeClock
from tests.fakes.container_records import AA, EXITED, container
from tests.fakes.containers_backend import FakeContainers

from shoal.api.routes.containers import routes
from shoal.objects.container import HostConfig, PortBinding
from shoal.objects.exec import ExecConfig
from shoal.objects.update import UpdateConfig


def run(scenario: Callable[[Any, FakeContainers], Awaitable[None]]) -> None:
    async def main() -> None:
        backend = FakeContainers([container(), container(id="b" * 64, name="bb", state=EXITED)])
        async with client_of(routes(backend, FakeClock())) as client:
            await scenario(client, backend)

    asyncio.run(main())


def test_list_shows_the_running_ones_unless_all_are_asked_for() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        async def names(query: str) -> list[str]:
            answer = await client.get(f"/v1.41/containers/json?{query}")
            assert answer.status == 200
            return [entry["Names"][0] for entry in await answer.json()]

        assert await names("") == ["/aa"]
        assert sorted(await names("all=1")) == ["/aa", "/bb"]
        assert len(await names("limit=1")) == 1
        assert await names('filters={"status":["exited"]}') == ["/bb"]
        assert await names('filters={"name":{"^/aa$":true}}') == ["/aa"]

    run(scenario)


def test_inspect_tells_the_execs_that_have_not_ended() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        async def execs() -> object:
            return (await (await client.get("/containers/aa/json")).json())["ExecIDs"]

        assert await execs() is None
        backend.execs["e" * 64] = ExecConfig()
        assert await execs() == ["e" * 64]

    run(scenario)


def test_list_with_sizes() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        (entry,) = await (await client.get("/containers/json?size=1")).json()
        assert (entry["SizeRw"], entry["SizeRootFs"]) == (7, 1000)
        (entry,) = await (await client.get("/containers/json")).json()
        assert "SizeRw" not in entry

    run(scenario)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ('filters={"foo":["x"]}', "invalid filter 'foo'"),
        ("limit=x", 'strconv.Atoi: parsing "x": invalid syntax'),
        ('filters={"status":["x"]}', "invalid filter 'status=x'"),
        ('filters={"is-task":["zz"]}', "invalid filter 'is-task=[zz]'"),
    ],
)
def test_list_refuses(query: str, text: str) -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        answer = await client.get(f"/containers/json?{query}")
        assert (answer.status, (await answer.json())["message"]) == (400, text)

    run(scenario)


def test_create_takes_the_three_parts_of_its_body_apart() -> None:
    body = {
        "Image": "bb",
        "cmd": "true",
        "Entrypoint": ["sh", "-c"],
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "AutoRemove": True},
        "NetworkingConfig": {"EndpointsConfig": {"un": {"Aliases": ["x"]}}},
    }

    async def scenario(client: Any, backend: FakeContainers) -> None:
        answer = await client.post("/containers/create?name=x&platform=linux/amd64", json=body)
        assert answer.status == 201
        assert await answer.json() == {"Id": "c" * 64, "Warnings": ["careful"]}
        ((_, name, config, host, networking, platform),) = backend.calls
        assert (name, platform) == ("x", "linux/amd64")
        assert (config.image, config.cmd, config.entrypoint) == ("bb", ["true"], ["sh", "-c"])
        assert host == HostConfig(port_bindings={"80/tcp": [PortBinding(host_port="8080")]}, auto_remove=True)
        assert networking.endpoints_config["un"].aliases == ["x"]

    run(scenario)


def test_create_of_nothing() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        assert (await client.post("/containers/create", json={})).status == 400
        answer = await client.post("/containers/create", json={"Image": 5})
        assert answer.status == 400
        assert "Image" in (await answer.json())["message"]
        assert backend.calls == []

    run(scenario)


def test_inspect_by_name_and_by_the_start_of_the_id() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        for ref in ("aa", AA[:12]):
            got = await (await client.get(f"/containers/{ref}/json")).json()
            assert (got["Id"], got["Name"]) == (AA, "/aa")
            assert "SizeRw" not in got
        assert (await (await client.get("/containers/aa/json?size=1")).json())["SizeRootFs"] == 1000
        answer = await client.get("/containers/zz/json")
        assert (answer.status, await answer.json()) == (404, {"message": "No such container: zz"})

    run(scenario)


@pytest.mark.parametrize(
    ("path", "status", "call"),
    [
        ("bb/start", 204, ("start", "bb")),
        ("aa/start", 304, ("start", "aa")),
        ("aa/stop", 204, ("stop", "aa", None, None)),
        ("aa/stop?t=0&signal=HUP", 204, ("stop", "aa", 0, "HUP")),
        ("aa/stop?t=-1", 204, ("stop", "aa", -1, None)),
        ("aa/restart?t=5", 204, ("restart", "aa", 5, None)),
        ("aa/kill", 204, ("kill", "aa", "KILL")),
        ("aa/kill?signal=TERM", 204, ("kill", "aa", "TERM")),
        ("aa/pause", 204, ("pause", "aa")),
        ("aa/unpause", 204, ("unpause", "aa")),
        ("aa/rename?name=new", 204, ("rename", "aa", "new")),
        ("aa/resize?h=24&w=80", 200, ("resize", "aa", 24, 80)),
    ],
)
def test_changes_of_state(path: str, status: int, call: tuple[Any, ...]) -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        answer = await client.post(f"/containers/{path}")
        assert answer.status == status
        assert await answer.read() == b""
        assert backend.calls == [call]

    run(scenario)


def test_what_cannot_be_meant() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        assert (await client.post("/containers/bb/start", json={"Binds": ["/a:/b"]})).status == 400
        assert (await client.post("/containers/aa/resize?w=80")).status == 400
        assert (await client.post("/containers/aa/stop?t=x")).status == 400
        assert (await client.delete("/containers/aa?link=1")).status == 409
        assert backend.calls == []

    run(scenario)


def test_remove() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        assert (await client.delete("/containers/aa?force=1&v=true")).status == 204
        assert (await client.delete("/containers/aa")).status == 204
        assert backend.calls == [("remove", "aa", True, True), ("remove", "aa", False, False)]

    run(scenario)


def test_top_update_changes_prune() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        top = await (await client.get("/containers/aa/top?ps_args=aux")).json()
        assert top == {"Titles": ["PID", "CMD"], "Processes": [["1", "sleep"]]}
        update = await client.post("/containers/aa/update", json={"CpuShares": 512, "PidsLimit": None})
        assert await update.json() == {"Warnings": ["no swap"]}
        assert await (await client.get("/containers/aa/changes")).json() == [{"Path": "/t", "Kind": 1}]
        pruned = await client.post("/containers/prune", params={"filters": json.dumps({"label": ["a=b"]})})
        assert await pruned.json() == {"ContainersDeleted": ["c" * 64], "SpaceReclaimed": 12}
        assert backend.calls == [
            ("top", "aa", "aux"),
            ("update", "aa", replace(UpdateConfig(), cpu_shares=512)),
            ("prune", {"label": ("a=b",)}),
        ]

    run(scenario)
