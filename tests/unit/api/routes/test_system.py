"""Ping, version, info, events, disk usage, credentials."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientSession
from tests.fakes.api import daemon_with_client

from shoal.wire.docker.auth import AuthConfig


async def json(client: ClientSession, path: str) -> Any:
    async with client.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


def test_ping(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            async with client.get("/_ping") as answer:
                assert (answer.status, await answer.text()) == (200, "OK")
                assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
                assert answer.headers["Cache-Control"] == "no-cache, no-store, must-revalidate"
                assert answer.headers["Swarm"] == "inactive"
            async with client.head("/_ping") as answer:
                assert (answer.status, answer.headers["Content-Length"]) == (200, "0")
                assert answer.headers["Api-Version"] == "1.50"

    asyncio.run(scenario())


def test_info_has_the_swarms_part(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            assert (await json(client, "/info"))["Swarm"] == {
                "NodeID": "",
                "NodeAddr": "",
                "LocalNodeState": "inactive",
                "ControlAvailable": False,
                "Error": "",
                "RemoteManagers": None,
            }
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            info = await json(client, "/info")
            assert (info["Swarm"]["Nodes"], info["Swarm"]["Managers"]) == (1, 1)
            assert info["Swarm"]["Cluster"]["SubnetSize"] == 24
            assert "JoinTokens" not in info["Swarm"]["Cluster"]
            assert {"NCPU", "NFd", "CPUShares", "CpuCfsPeriod", "OSType", "IPv4Forwarding", "CDISpecDirs"} <= set(info)
            assert info["SecurityOptions"] == ["name=seccomp,profile=builtin"]
            assert "BridgeNfIptables" not in info
            old = await json(client, "/v1.24/info")
            assert (old["SecurityOptions"], old["BridgeNfIptables"], old["BridgeNfIp6tables"]) == (
                ["seccomp"],
                True,
                True,
            )

    asyncio.run(scenario())


def test_version(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            version = await json(client, "/v1.41/version")
            assert (version["ApiVersion"], version["MinAPIVersion"], version["Os"]) == ("1.50", "1.24", "linux")

    asyncio.run(scenario())


def test_events_of_the_past_then_live_ones_that_pass_the_filters(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            events = daemon.system.events
            events.emit("network", "create", "n" * 64, {"name": "blue", "type": "bridge"})
            events.emit("container", "start", "c" * 64, {"name": "web", "image": "nginx:latest", "a": "b"})
            now = int(daemon.clock.now().timestamp())
            past = await lines(client, since=str(now), until=str(now + 1))
            assert [(e["Type"], e["Action"]) for e in past] == [("network", "create"), ("container", "start")]
            assert past[1]["status"] == "start"
            assert past[1]["from"] == "nginx:latest"
            for wanted, expected in (
                ({"type": ["container"]}, 1),
                ({"event": ["start", "create"]}, 2),
                ({"container": ["web"]}, 1),
                ({"container": ["ccc"]}, 1),
                ({"label": ["a=b"]}, 1),
                ({"label": ["a=c"]}, 0),
                ({"image": ["nginx"]}, 1),
                ({"scope": ["swarm"]}, 0),
            ):
                filters = msgspec.json.encode(wanted).decode()
                assert len(await lines(client, since=str(now), until=str(now + 1), filters=filters)) == expected, wanted
            async with client.get("/events", params={"filters": '{"type":{"volume":true}}'}) as answer:
                events.emit("network", "destroy", "n" * 64, {})
                events.emit("volume", "create", "v", {"driver": "local"})
                assert msgspec.json.decode(await answer.content.readline())["Type"] == "volume"

    asyncio.run(scenario())


async def lines(client: ClientSession, **query: str) -> list[Any]:
    async with client.get("/events", params=query) as answer:
        assert answer.status == 200
        return [msgspec.json.decode(line) for line in (await answer.text()).split("\n") if line.strip()]


def test_events_end_at_a_moment_in_the_past_and_refuse_nonsense(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            assert await lines(client, until="1") == []
            for query in ({"since": "abc"}, {"since": "5", "until": "4"}):
                async with client.get("/events", params=query) as answer:
                    assert answer.status == 400
            assert daemon.system.events.listeners == 0

    asyncio.run(scenario())


def test_a_listener_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            async with client.get("/events") as answer:
                assert answer.status == 200
                assert daemon.system.events.listeners == 1
            for _ in range(100):
                if daemon.system.events.listeners == 0:
                    break
                await asyncio.sleep(0.02)
            assert daemon.system.events.listeners == 0

    asyncio.run(scenario())


def test_disk_usage_of_some_kinds(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            usage = await json(client, "/system/df?type=image&type=volume")
            assert (usage["Images"], usage["Containers"]) == ([], None)
            assert "BuilderSize" not in usage
            assert (await json(client, "/v1.41/system/df"))["BuilderSize"] == 0
            assert daemon.system.asked == [("image", "volume"), ("container", "image", "volume", "build-cache")]
            async with client.get("/system/df?type=x") as answer:
                assert await answer.json() == {"message": "unknown object type: x"}

    asyncio.run(scenario())


def test_credentials(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            async with client.post("/auth", json={"username": "u", "password": "right"}) as answer:
                assert await answer.json() == {"Status": "Login Succeeded", "IdentityToken": ""}
            async with client.post("/auth", json={"username": "u", "password": "wrong"}) as answer:
                assert answer.status == 401
            header = {"X-Registry-Auth": "eyJ1c2VybmFtZSI6InUifQ=="}
            async with client.get("/distribution/localhost:5000/a/b:1/json", headers=header) as answer:
                assert (await answer.json())["Descriptor"]["digest"] == "sha256:1"
            assert daemon.system.asked == [("localhost:5000/a/b:1", AuthConfig(username="u"))]

    asyncio.run(scenario())
