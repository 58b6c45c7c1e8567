"""Services and tasks, over the real controls."""

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from tests.fakes.api import FakeDaemon, daemon_with_client

from shoal.objects.ids import NodeId, TaskId
from shoal.objects.service import Service
from shoal.objects.task import Task
from shoal.store.tx import Tx

SPEC: dict[str, Any] = {
    "Name": "web",
    "Labels": {"x": "y"},
    "TaskTemplate": {"ContainerSpec": {"Image": "nginx"}},
}


async def create(client: ClientSession, spec: dict[str, Any], version: str = "v1.50") -> str:
    async with client.post(f"/{version}/services/create", json=spec) as answer:
        created = await answer.json()
        assert answer.status == 201, created
        assert created["Warnings"] is None
        return str(created["ID"])


async def listed(client: ClientSession, path: str, filters: str = "") -> list[Any]:
    async with client.get(path, params={"filters": filters} if filters else {}) as answer:
        assert answer.status == 200, await answer.text()
        found: list[Any] = await answer.json()
        return found


def test_a_service_comes_back_as_dockerd_gives_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            await create(client, SPEC)
            async with client.get("/services/web") as answer:
                service = await answer.json()
            assert service["Spec"] == {
                "Name": "web",
                "Labels": {"x": "y"},
                "TaskTemplate": {
                    "ContainerSpec": {"Image": "nginx", "Isolation": "default"},
                    "ForceUpdate": 0,
                    "Runtime": "container",
                },
                "Mode": {"Replicated": {"Replicas": 1}},
            }
            assert "SpecVersion" not in service
            async with client.get("/services/web?insertDefaults=true") as answer:
                spec = (await answer.json())["Spec"]
            assert spec["TaskTemplate"]["RestartPolicy"] == {"Condition": "any", "Delay": 5000000000, "MaxAttempts": 0}
            assert spec["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] == 10000000000
            rolling = {
                "Parallelism": 1,
                "FailureAction": "pause",
                "Monitor": 5000000000,
                "MaxFailureRatio": 0.0,
                "Order": "stop-first",
            }
            assert (spec["UpdateConfig"], spec["RollbackConfig"]) == (rolling, rolling)

    asyncio.run(scenario())


def test_lists_and_their_filters(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            first = await create(client, SPEC)
            await create(client, {**SPEC, "Name": "everywhere", "mode": {"global": {}}, "Labels": None})
            for filters, names in (
                ("", {"web", "everywhere"}),
                ('{"mode":["global"]}', {"everywhere"}),
                ('{"mode":["replicated"]}', {"web"}),
                ('{"name":["we"]}', {"web"}),
                (f'{{"id":["{first[:8]}"]}}', {"web"}),
                ('{"label":["x="]}', {"web"}),
                ('{"label":["x=z"]}', set()),
            ):
                assert {s["Spec"]["Name"] for s in await listed(client, "/services", filters)} == names, filters
            assert "ServiceStatus" not in (await listed(client, "/services"))[0]
            counted = await listed(client, "/services?status=true")
            assert all(set(s["ServiceStatus"]) == {"RunningTasks", "DesiredTasks", "CompletedTasks"} for s in counted)
            async with client.get("/services", params={"filters": '{"foo":["a"]}'}) as answer:
                assert (answer.status, await answer.json()) == (400, {"message": "invalid filter 'foo'"})

    asyncio.run(scenario())


def test_update_and_removal(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            await create(client, SPEC)
            async with client.get("/services/web") as answer:
                service = await answer.json()
            update = f"/services/web/update?version={service['Version']['Index']}"
            changed = {**service["Spec"], "Labels": {"x": "z"}}
            async with client.post(update, json=changed) as answer:
                assert (answer.status, await answer.text()) == (200, '{"Warnings":null}')
            async with client.post(update, json=changed) as answer:
                assert answer.status == 400
                assert "update out of sequence" in (await answer.json())["message"]
            async with client.get("/services/web") as answer:
                service = await answer.json()
            assert service["PreviousSpec"]["Labels"] == {"x": "y"}
            update = f"/services/web/update?version={service['Version']['Index']}"
            async with client.post(f"{update}&rollback=foo", json=changed) as answer:
                assert answer.status == 400
            async with client.post(f"{update}&rollback=previous", json=changed) as answer:
                assert answer.status == 200
            async with client.get("/services/web") as answer:
                assert (await answer.json())["Spec"]["Labels"] == {"x": "y"}
            async with client.delete("/services/web") as answer:
                assert (answer.status, await answer.text()) == (200, "")
            async with client.get("/services/web") as answer:
                assert (answer.status, await answer.json()) == (404, {"message": "service web not found"})

    asyncio.run(scenario())


def test_what_old_clients_did_not_know_is_ignored(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            template = {"ContainerSpec": {"Image": "a", "Sysctls": {"a": "b"}, "CapabilityAdd": ["ALL"]}}
            for version, kept in (("v1.39", set()), ("v1.40", {"Sysctls"}), ("v1.41", {"Sysctls", "CapabilityAdd"})):
                name = version.replace(".", "-")
                await create(client, {"Name": name, "TaskTemplate": template}, version)
                async with client.get(f"/services/{name}") as answer:
                    container = (await answer.json())["Spec"]["TaskTemplate"]["ContainerSpec"]
                assert set(container) - {"Image", "Isolation"} == kept

    asyncio.run(scenario())


async def with_tasks(daemon: FakeDaemon) -> None:
    """Two tasks of the service web: one that runs, one of an older spec that is to stop."""
    store = daemon.swarm.store
    assert store is not None

    def change(tx: Tx) -> None:
        service = tx.by_name(Service, "web")
        assert service is not None
        common: dict[str, Any] = {
            "service_id": service.id,
            "service_name": "web",
            "slot": 1,
            "node_id": NodeId(daemon.swarm.node_id),
        }
        spec = service.spec.task_template
        tx.create(Task(id=TaskId("t1"), spec=spec, spec_version=service.spec_version, restarts=["x"], **common))
        tx.create(Task(id=TaskId("t2"), desired_state="shutdown", **common))

    await store.update(change)


def test_tasks(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            await create(client, SPEC)
            await with_tasks(daemon)
            async with client.get("/tasks/t1") as answer:
                task = await answer.json()
            assert (task["DesiredState"], task["Status"]["State"]) == ("running", "new")
            assert task["Status"]["PortStatus"] == {}
            assert not {"ServiceName", "Restarts", "SpecVersion", "Endpoint"} & set(task)
            for filters, ids in (
                ("", {"t1", "t2"}),
                ('{"service":["web"]}', {"t1", "t2"}),
                ('{"node":["self"]}', {"t1", "t2"}),
                ('{"desired-state":["running"]}', {"t1"}),
                ('{"desired-state":{"running":true,"shutdown":true}}', {"t1", "t2"}),
                ('{"name":["web.1.t2"]}', {"t2"}),
                ('{"_up-to-date":["true"],"service":{"web":true}}', {"t1"}),
                ('{"id":["t"]}', {"t1", "t2"}),
                ('{"label":["x"]}', set()),
            ):
                assert {t["ID"] for t in await listed(client, "/tasks", filters)} == ids, filters
            # Scaled with the spec as it was shown, defaults and all: the tasks that are there are what is wanted.
            async with client.get("/services/web") as answer:
                shown = await answer.json()
            spec = {**shown["Spec"], "Mode": {"Replicated": {"Replicas": 2}}}
            version = {"version": shown["Version"]["Index"]}
            async with client.post("/services/web/update", json=spec, params=version) as answer:
                assert answer.status == 200, await answer.text()
            assert [t["ID"] for t in await listed(client, "/tasks", '{"_up-to-date":["true"]}')] == ["t1"]
            for filters, status, text in (
                ('{"desired-state":["xx"]}', 400, "Invalid desired-state filter: 'xx'"),
                ('{"service":["nosvc"]}', 404, "service nosvc not found"),
                ('{"node":["nonode"]}', 404, "node nonode not found"),
            ):
                async with client.get("/tasks", params={"filters": filters}) as answer:
                    assert (answer.status, await answer.json()) == (status, {"message": text})

    asyncio.run(scenario())


def test_logs_say_which_task_a_line_is_from(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with daemon_with_client(tmp_path, in_swarm=True) as (daemon, client):
            service = await create(client, SPEC)
            await with_tasks(daemon)
            daemon.swarm.log = [("stdout", "one\n"), ("stderr", "two\n")]
            query = "stdout=1&stderr=1&tail=5&since=1.5"
            async with client.get(f"/services/web/logs?{query}&details=1&timestamps=1") as answer:
                body = await answer.read()
                assert answer.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
            prefix = "com.docker.swarm"
            text = (
                f"1970-01-01T00:00:00.000000000Z {prefix}.node.id={daemon.swarm.node_id},"
                f"{prefix}.service.id={service},{prefix}.task.id=t1 one\n"
            ).encode()
            assert body.startswith(b"\x01\0\0\0" + len(text).to_bytes(4, "big") + text)
            assert daemon.swarm.log_query is not None
            assert (daemon.swarm.log_query.tail, daemon.swarm.log_query.since) == (5, 1_500_000_000)
            async with client.get(f"/tasks/t1/logs?{query}") as answer:
                assert await answer.read() == b"\x01\0\0\0\0\0\0\x04one\n\x02\0\0\0\0\0\0\x04two\n"
            daemon.swarm.log, daemon.swarm.log_error = [("stdout", "one\n")], "node n2 is not available"
            async with client.get(f"/tasks/t1/logs?{query}") as answer:
                told = b"Error grabbing logs: node n2 is not available\n"
                assert await answer.read() == b"\x01\0\0\0\0\0\0\x04one\n\x03\0\0\0\0\0\0" + bytes([len(told)]) + told
            async with client.get("/services/web/logs") as answer:
                text400 = "Bad parameters: you must choose at least one stream"
                assert (answer.status, await answer.json()) == (400, {"message": text400})

    asyncio.run(scenario())
