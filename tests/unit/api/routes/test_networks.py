"""Networks: lists and their filters, and what is handed to the backend."""

import asyncio
from pathlib import Path

from tests.fakes.api import a_network, daemon_with_client

from shoal.objects.container import EndpointSettings
from shoal.wire.docker.networks import NetworkContainer, NetworkCreate


def test_a_network_has_all_of_its_keys(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client), client.get("/networks/bridge") as answer:
            assert list(await answer.json()) == [
                "Name", "Id", "Created", "Scope", "Driver", "EnableIPv4", "EnableIPv6", "IPAM", "Internal",
                "Attachable", "Ingress", "ConfigFrom", "ConfigOnly", "Containers", "Options", "Labels",
            ]  # fmt: skip

    asyncio.run(scenario())


def test_filters(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            blue = a_network("blue", driver="overlay", scope="swarm", labels={"a": "b"})
            daemon.networks.networks += [blue, a_network("green")]
            daemon.networks.used = {blue.id: {"c": NetworkContainer()}}
            for filters, names in (
                ("", {"bridge", "none", "host", "blue", "green"}),
                ('{"driver":["overlay","null"]}', {"blue", "none"}),
                ('{"scope":["swarm"]}', {"blue"}),
                ('{"name":["e"]}', {"bridge", "none", "blue", "green"}),
                ('{"name":["^blue$"]}', {"blue"}),
                ('{"id":["greengreen"]}', {"green"}),
                ('{"label":["a=b"]}', {"blue"}),
                ('{"type":["custom"]}', {"blue", "green"}),
                ('{"type":["builtin"]}', {"bridge", "none", "host"}),
                ('{"type":["builtin","custom"]}', {"bridge", "none", "host", "blue", "green"}),
                ('{"dangling":["true"]}', {"green"}),
                ('{"dangling":["0"]}', {"bridge", "none", "host", "blue"}),
            ):
                async with client.get("/networks", params={"filters": filters}) as answer:
                    assert {n["Name"] for n in await answer.json()} == names, filters
            for filters in ('{"foo":["a"]}', '{"dangling":["a"]}', '{"type":["a"]}', "xx"):
                async with client.get("/networks", params={"filters": filters}) as answer:
                    assert answer.status == 400
                    assert (await answer.json())["message"].startswith("invalid filter")

    asyncio.run(scenario())


def test_changes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            asked = daemon.networks.asked
            async with client.post("/networks/create", json={"name": "blue", "EnableIPv6": True}) as answer:
                assert (answer.status, await answer.json()) == (201, {"Id": "blue" * 8, "Warning": ""})
            assert asked.pop() == NetworkCreate(name="blue", enable_ipv6=True)
            body = {"Container": "c", "EndpointConfig": {"Aliases": ["x"]}}
            async with client.post("/networks/blue/connect", json=body) as answer:
                assert (answer.status, await answer.text()) == (200, "")
            assert asked.pop() == ("blue", "c", EndpointSettings(aliases=["x"]))
            async with client.post("/networks/blue/disconnect", json={"Container": "c", "Force": True}) as answer:
                assert answer.status == 200
            assert asked.pop() == ("blue", "c", True)
            async with client.post("/networks/prune", params={"filters": '{"label!":["a"]}'}) as answer:
                assert await answer.json() == {"NetworksDeleted": None}
            assert asked.pop() == {"label!": ("a",)}
            async with client.delete("/networks/blue") as answer:
                assert answer.status == 204
            async with client.delete("/networks/blue") as answer:
                assert (answer.status, await answer.json()) == (404, {"message": "network blue not found"})
            async with client.get("/networks/bridge?scope=swarm") as answer:
                assert answer.status == 404

    asyncio.run(scenario())
