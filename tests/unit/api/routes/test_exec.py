"""Execs, with the client's half-close over a real unix socket."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.api_client import client_of, raw_post, socket_of
from tests.fakes.container_records import AA, container
from tests.fakes.containers_backend import FakeContainers, already_run

from shoal.api.routes.exec import routes
from shoal.api.streams import frame
from shoal.errors import InvalidArgument
from shoal.objects.exec import ExecConfig

CAT = ExecConfig(cmd=["cat"], attach_stdin=True, attach_stdout=True)


def run(scenario: Callable[[Any, FakeContainers], Awaitable[None]]) -> None:
    async def main() -> None:
        backend = FakeContainers([container()])
        async with client_of(routes(backend)) as client:
            await scenario(client, backend)

    asyncio.run(main())


async def talk(path: Path, request: bytes, said: bytes = b"") -> tuple[bytes, bytes]:
    """The head and what follows it, to a client that says something and then only listens."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request)
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.write_eof()
        rest = await reader.read()
    writer.close()
    return head, rest


@pytest.mark.parametrize("tty", [False, True])
def test_start_both_ways_until_the_client_half_closes(tmp_path: Path, tty: bool) -> None:
    async def scenario() -> None:
        config = ExecConfig(cmd=["cat"], attach_stdin=True, attach_stdout=True, tty=tty)
        backend = FakeContainers([container()], execs={"e1": config})
        async with socket_of(tmp_path, routes(backend)) as path:
            body = '{"Detach":false,"Tty":true,"ConsoleSize":[24,80]}'
            head, rest = await talk(path, raw_post("/exec/e1/start", body), b"hello")
        assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
        assert (b"multiplexed" in head) is not tty
        assert rest == (b"hellobye" if tty else frame(1, b"hello") + frame(2, b"bye"))
        assert backend.calls == [("exec_start", "e1", True, False, (24, 80))]
        assert backend.attachment.let_go.is_set()

    asyncio.run(scenario())


def test_what_fails_at_the_start_is_told_as_output(tmp_path: Path) -> None:
    async def scenario() -> None:
        why = 'OCI runtime exec failed: exec failed: unable to start container process: exec: "nope"'
        backend = FakeContainers([container()], execs={"e1": CAT}, start_error=InvalidArgument(why))
        async with socket_of(tmp_path, routes(backend)) as path:
            head, rest = await talk(path, raw_post("/exec/e1/start", "{}"))
            assert head.startswith(b"HTTP/1.1 101 UPGRADED\r\n")
            assert rest == frame(1, f"{why}\r\n".encode())
            backend.start_error = already_run("e1")
            head, rest = await talk(path, raw_post("/exec/e1/start", "{}", headers=""))
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert rest == frame(1, b"Error: Exec command e1 has already run\r\n")

    asyncio.run(scenario())


def test_detached() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        backend.execs["e1"] = CAT
        answer = await client.post("/exec/e1/start", json={"Detach": True})
        assert (answer.status, await answer.read()) == (200, b"")
        assert backend.calls == [("exec_start", "e1", False, True, None)]
        backend.start_error = already_run("e1")
        assert (await client.post("/exec/e1/start", json={"Detach": True})).status == 409

    run(scenario)


def test_create() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        answer = await client.post("/containers/aa/exec", json={"Cmd": ["ls", "/"], "AttachStdout": True, "Env": None})
        assert (answer.status, await answer.json()) == (201, {"Id": "e1"})
        assert backend.execs["e1"] == ExecConfig(cmd=["ls", "/"], attach_stdout=True)
        answer = await client.post("/containers/aa/exec", json={})
        assert (answer.status, await answer.json()) == (400, {"message": "No exec command specified"})
        assert (await client.post("/containers/zz/exec", json={"Cmd": ["ls"]})).status == 404

    run(scenario)


def test_inspect_and_resize() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        backend.execs["e1"] = ExecConfig(cmd=["echo", "hi"], attach_stdout=True)
        got = await (await client.get("/exec/e1/json")).json()
        # As dockerd, which leaves out an empty user.
        assert got["ProcessConfig"] | {"user": ""} == {
            "tty": False,
            "entrypoint": "echo",
            "arguments": ["hi"],
            "privileged": False,
            "user": "",
        }
        assert (got["ID"], got["ExitCode"], got["Running"], got["Pid"]) == ("e1", None, False, 0)
        assert set(got) == {
            "ID", "Running", "ExitCode", "ProcessConfig", "OpenStdin", "OpenStderr", "OpenStdout", "CanRemove",
            "ContainerID", "DetachKeys", "Pid",
        }  # fmt: skip
        assert (await client.post("/exec/e1/resize?h=24&w=80")).status == 200
        assert backend.calls == [("exec_resize", "e1", 24, 80)]
        answer = await client.get("/exec/zz/json")
        assert (answer.status, await answer.json()) == (404, {"message": "No such exec instance: zz"})
        assert (await client.post("/exec/zz/start", json={})).status == 404

    run(scenario)


def test_the_container_is_looked_up_by_any_reference() -> None:
    async def scenario(client: Any, backend: FakeContainers) -> None:
        assert (await client.post(f"/containers/{AA[:12]}/exec", json={"Cmd": ["ls"]})).status == 201

    run(scenario)
