"""Headers, versions, errors, and handlers whose client has gone."""

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from tests.fakes.api import client_of

from shoal.api.requests import json_body, json_response
from shoal.api.versions import version_of
from shoal.errors import Conflict, NotModified
from shoal.version import VERSION


async def version(request: web.Request) -> web.Response:
    return json_response(version_of(request))


async def fail(request: web.Request) -> web.Response:
    match request.match_info["how"]:
        case "conflict":
            raise Conflict("name taken")
        case "same":
            raise NotModified
        case "reset":
            raise ConnectionResetError("of somebody else's connection")
        case _:
            raise ZeroDivisionError("secret detail")


async def body(request: web.Request) -> web.Response:
    return json_response(await json_body(request, dict[str, str]))


ROUTES = [web.get("/thing", version), web.get("/fail/{how}", fail), web.post("/body", body)]


async def ask(client: ClientSession, method: str, path: str, **more: Any) -> tuple[int, str]:
    async with client.request(method, path, **more) as answer:
        return answer.status, await answer.text()


def run(tmp_path: Path, *asked: tuple[str, str]) -> list[tuple[int, str]]:
    async def scenario() -> list[tuple[int, str]]:
        async with client_of(ROUTES, tmp_path) as client:
            return [await ask(client, method, path) for method, path in asked]

    return asyncio.run(scenario())


def test_every_answer_has_dockers_headers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with client_of(ROUTES, tmp_path) as client:
            for path in ("/thing", "/fail/conflict", "/nope"):
                async with client.get(path) as answer:
                    assert answer.headers["Api-Version"] == "1.50"
                    assert answer.headers["Ostype"] == "linux"
                    assert answer.headers["Docker-Experimental"] == "false"
                    assert answer.headers["Server"] == f"Shoal/{VERSION} (linux)"
                    assert answer.headers["Content-Type"] == "application/json"

    asyncio.run(scenario())


def test_versions(tmp_path: Path) -> None:
    found = run(
        tmp_path,
        *(("GET", f"{v}/thing") for v in ("", "/v1.24", "/v1.50", "/v1.51", "/v1.99", "/v1.23", "/v1", "/v2.0")),
    )
    assert [status for status, _ in found] == [200, 200, 200, 400, 400, 400, 400, 400]
    assert [text for _, text in found[:3]] == ["[1,50]", "[1,24]", "[1,50]"]
    assert found[4][1] == '{"message":"client version 1.99 is too new. Maximum supported API version is 1.50"}'
    assert found[5][1] == (
        '{"message":"client version 1.23 is too old. Minimum supported API version is 1.24, '
        'please upgrade your client to a newer version"}'
    )


def test_unknown_paths_and_methods_are_pages_not_found(tmp_path: Path) -> None:
    asked = [("GET", "/nope"), ("PUT", "/thing"), ("GET", "/v1.5x/thing"), ("GET", "/v1.99/nope"), ("GET", "/thing/x")]
    assert set(run(tmp_path, *asked)) == {(404, '{"message":"page not found"}')}


def test_errors_have_a_status_and_a_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        found = run(tmp_path, *(("GET", f"/fail/{how}") for how in ("conflict", "same", "reset", "crash")))
    assert found[0] == (409, '{"message":"name taken"}')
    assert found[1] == (304, "")
    assert found[2][0] == 500
    assert found[3][0] == 500
    assert "secret detail" not in found[3][1]
    assert "Traceback" not in found[3][1]
    assert "ZeroDivisionError: secret detail" in caplog.text


def test_bodies_are_checked_as_docker_checks_them(tmp_path: Path) -> None:
    json = "application/json"
    cases: list[tuple[bytes, str | None, int, str]] = [
        (b'{"A":"b"}', json, 200, '{"A":"b"}'),
        (b'{"A":"b"}', "application/json; charset=utf-8", 200, '{"A":"b"}'),
        (b"", json, 400, '{"message":"invalid JSON: got EOF while reading request body"}'),
        (b"{", json, 400, '{"message":"invalid JSON: unexpected EOF"}'),
        (b"x", json, 400, '{"message":"invalid JSON: invalid character \'x\' looking for beginning of value"}'),
        (b"{} x", json, 400, '{"message":"unexpected content after JSON"}'),
        (b"{}", "text/x", 400, '{"message":"unsupported Content-Type header (text/x): must be \'application/json\'"}'),
        (b"{}" + b" " * 1_000_000, json, 413, '{"message":"http: request body too large"}'),
    ]  # fmt: skip

    async def scenario() -> None:
        async with client_of(ROUTES, tmp_path) as client:
            for data, kind, status, text in cases:
                headers = {"Content-Type": kind} if kind else {}
                assert await ask(client, "POST", "/body", data=data, headers=headers) == (status, text)

    asyncio.run(scenario())


def test_a_change_runs_to_its_end_when_its_client_leaves_and_a_question_does_not(tmp_path: Path) -> None:
    started, ended, cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        started.set()
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        ended.set()
        return web.Response()

    async def leave(client: ClientSession, method: str) -> None:
        started.clear()
        asking = asyncio.get_running_loop().create_task(ask(client, method, "/slow"))
        await started.wait()
        asking.cancel()
        await asyncio.wait([asking])

    def within(seconds: float, what: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
        return asyncio.wait_for(what, seconds)

    async def scenario() -> None:
        async with client_of([web.get("/slow", slow), web.post("/slow", slow)], tmp_path) as client:
            await leave(client, "POST")
            await within(5, ended.wait())
            assert not cancelled.is_set()
            await leave(client, "GET")
            await within(5, cancelled.wait())

    asyncio.run(scenario())
