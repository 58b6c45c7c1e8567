"""Founding, inspecting, updating and leaving a swarm; its nodes; what there is none of."""

import asyncio
from pathlib import Path

from tests.fakes.api import NO_MANAGER, SWARM_INIT, daemon_with_client


def test_without_a_swarm_everything_of_it_is_unavailable(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path) as (daemon, client):
            for path in ("/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs", "/services/x", "/nodes/x"):
                async with client.get(path) as answer:
                    assert (answer.status, await answer.json()) == (503, {"message": NO_MANAGER}), path
            async with client.post("/services/create", json={"Name": "x"}) as answer:
                assert answer.status == 503
            async with client.post("/swarm/leave") as answer:
                assert await answer.json() == {"message": "This node is not part of a swarm"}

    asyncio.run(scenario())


def test_init_answers_the_nodes_id_and_inspect_the_swarm(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            async with client.get("/swarm") as answer:
                swarm = await answer.json()
            assert list(swarm) == [
                "ID", "Version", "CreatedAt", "UpdatedAt", "Spec", "TLSInfo", "RootRotationInProgress",
                "DefaultAddrPool", "SubnetSize", "DataPathPort", "JoinTokens",
            ]  # fmt: skip
            assert swarm["JoinTokens"]["Worker"].startswith("SWMTKN-1-")
            assert swarm["Spec"]["Orchestration"] == {"TaskHistoryRetentionLimit": 5}
            version = swarm["Version"]["Index"]
            update = f"/swarm/update?version={version}&rotateWorkerToken=true"
            async with client.post(update, json=swarm["Spec"]) as answer:
                assert (answer.status, await answer.text()) == (200, "")
            async with client.get("/swarm") as answer:
                after = await answer.json()
            assert after["JoinTokens"]["Worker"] != swarm["JoinTokens"]["Worker"]
            assert after["JoinTokens"]["Manager"] == swarm["JoinTokens"]["Manager"]
            async with client.post("/swarm/update?version=3x", json={}) as answer:
                text = "invalid swarm version '3x': strconv.ParseUint: parsing \"3x\": invalid syntax"
                assert (answer.status, await answer.json()) == (400, {"message": text})
            async with client.get("/swarm/unlockkey") as answer:
                assert await answer.text() == '{"UnlockKey":""}'
            async with client.post("/swarm/unlock", json={"UnlockKey": "x"}) as answer:
                assert answer.status == 409
            async with client.post("/swarm/leave") as answer:
                assert answer.status == 503
            async with client.post("/swarm/leave?force=1") as answer:
                assert answer.status == 200

    asyncio.run(scenario())


def test_old_clients_know_no_pools(tmp_path: Path) -> None:
    async def scenario() -> None:
        asked = {**SWARM_INIT, "defaultaddrpool": ["10.1.0.0/16"], "SubnetSize": 26, "DataPathPort": 7777}
        for version, size, port in (("v1.38", 0, 0), ("v1.39", 26, 0), ("v1.40", 26, 7777)):
            async with daemon_with_client(tmp_path) as (daemon, client):
                async with client.post(f"/{version}/swarm/init", json=asked) as answer:
                    assert (await answer.json()) == daemon.swarm.node_id
                request = daemon.swarm.init_request
                assert request is not None
                assert (request.subnet_size, request.data_path_port) == (size, port)
                assert (request.default_addr_pool is None) == (size == 0)

    asyncio.run(scenario())


def test_nodes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            async with client.get("/nodes") as answer:
                (node,) = await answer.json()
            assert node["Spec"] == {"Labels": {}, "Role": "manager", "Availability": "active"}
            for filters, expected in (
                ('{"role":["manager"]}', 1),
                ('{"role":{"worker":true}}', 0),
                ('{"membership":["accepted"]}', 1),
                ('{"membership":["pending"]}', 0),
                (f'{{"id":["{node["ID"][:6]}"]}}', 1),
                ('{"node.label":["a"]}', 0),
                ('{"name":["zz"]}', 0),
            ):
                async with client.get("/nodes", params={"filters": filters}) as answer:
                    assert len(await answer.json()) == expected, filters
            async with client.get("/nodes", params={"filters": '{"role":["boss"]}'}) as answer:
                assert (answer.status, await answer.json()) == (400, {"message": "Invalid role filter: 'boss'"})
            spec = {**node["Spec"], "Labels": {"a": "b"}}
            update = f"/nodes/{node['ID']}/update?version={node['Version']['Index']}"
            async with client.post(update, json=spec) as answer:
                assert answer.status == 200
            async with client.get("/nodes/self") as answer:
                assert (await answer.json())["Spec"]["Labels"] == {"a": "b"}
            async with client.delete("/nodes/self?force=1") as answer:
                assert answer.status == 400

    asyncio.run(scenario())


def test_secrets_and_configs_say_that_there_are_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            for noun in ("secret", "config"):
                async with client.get(f"/{noun}s") as answer:
                    assert await answer.json() == []
                async with client.get(f"/{noun}s/x") as answer:
                    assert (answer.status, await answer.json()) == (404, {"message": f"{noun} x not found"})
                async with client.post(f"/{noun}s/create", json={}) as answer:
                    assert (answer.status, await answer.json()) == (501, {"message": f"{noun}s are not supported yet"})

    asyncio.run(scenario())
