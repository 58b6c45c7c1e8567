"""Requests for images: names with slashes, and answers that grow."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.fakes.api_client import client_of
from tests.fakes.image_records import ID, FakeImages, image

from shoal.api.routes.images import routes
from shoal.container.image.progress import Progress, line
from shoal.errors import InvalidArgument, NotFound
from shoal.wire.docker.auth import AuthConfig


def run(scenario: Callable[[Any, FakeImages], Awaitable[None]]) -> None:
    async def main() -> None:
        backend = FakeImages([image("bb:latest"), image("reg.example:5000/a/b:q", created=None)])
        async with client_of(routes(backend)) as client:
            await scenario(client, backend)

    asyncio.run(main())


async def told(answer: Any) -> list[Any]:
    assert answer.content_type == "application/json"
    return [json.loads(text) for text in (await answer.text()).splitlines()]


def test_list_and_its_filters() -> None:
    async def scenario(client: Any, backend: FakeImages) -> None:
        async def names(query: str = "") -> list[str]:
            return [
                name for entry in await (await client.get(f"/images/json?{query}")).json() for name in entry["RepoTags"]
            ]

        assert await names() == ["bb:latest", "reg.example:5000/a/b:q"]
        assert await names('filters={"reference":["bb"]}') == ["bb:latest"]
        backend.all.append(image("bb:1", "mine:1"))
        assert await names('filters={"reference":["mine"]}') == ["mine:1"]
        backend.all.pop()
        assert await names('filters={"dangling":["true"]}') == []
        assert await names('filters={"before":["bb"]}') == ["reg.example:5000/a/b:q"]
        assert (await client.get('/images/json?filters={"before":["zz"]}')).status == 404
        assert (await client.get('/images/json?filters={"foo":["x"]}')).status == 400

    run(scenario)


@pytest.mark.parametrize("name", ["bb", ID, "reg.example:5000/a/b:q"])
def test_inspect_and_history(name: str) -> None:
    async def scenario(client: Any, backend: FakeImages) -> None:
        assert (await (await client.get(f"/v1.41/images/{name}/json")).json())["Id"] == ID
        assert (await (await client.get(f"/images/{name}/history")).json())[0]["Id"] == ID

    run(scenario)


def test_pull_tells_how_far_it_is() -> None:
    header = base64.urlsafe_b64encode(b'{"username":"me","password":"x"}').decode()

    async def scenario(client: Any, backend: FakeImages) -> None:
        backend.messages = [line("Pulling from library/nginx", "latest"), line("Status: Downloaded newer image")]
        query = "fromImage=nginx&tag=latest&platform=linux/arm64"
        answer = await client.post(f"/images/create?{query}", headers={"X-Registry-Auth": header})
        assert await told(answer) == [
            {"status": "Pulling from library/nginx", "id": "latest"},
            {"status": "Status: Downloaded newer image"},
        ]
        assert backend.calls == [("pull", "nginx", "latest", "linux/arm64", AuthConfig(username="me", password="x"))]

    run(scenario)


def test_what_fails_before_the_first_message_has_a_status_and_later_a_line() -> None:
    async def scenario(client: Any, backend: FakeImages) -> None:
        backend.failure = NotFound("manifest for nope:x not found: manifest unknown: manifest unknown")
        answer = await client.post("/images/create?fromImage=nope&tag=x")
        assert (answer.status, await answer.json()) == (404, {"message": str(backend.failure)})
        backend.messages = [line("Pulling from nope", "x")]
        answer = await client.post("/images/create?fromImage=nope&tag=x")
        assert answer.status == 200
        assert (await told(answer))[-1] == {
            "error": str(backend.failure),
            "errorDetail": {"message": str(backend.failure)},
        }

    run(scenario)


def test_push() -> None:
    async def scenario(client: Any, backend: FakeImages) -> None:
        backend.messages = [line("latest: digest: sha256:1 size: 2")]
        assert (await client.post("/images/reg.example:5000/a/b/push?tag=q")).status == 200
        assert backend.calls == [("push", "reg.example:5000/a/b", "q", None)]

    run(scenario)


def test_load_quietly_tells_only_what_was_made() -> None:
    async def scenario(client: Any, backend: FakeImages) -> None:
        backend.messages = [line("Loading layer", "1"), Progress(stream="Loaded image: bb:latest\n")]
        made = {"stream": "Loaded image: bb:latest\n"}
        assert await told(await client.post("/images/load?quiet=1", data=b"tar")) == [made]
        assert (await told(await client.post("/images/load?quiet=0", data=b"tar")))[1:] == [made]
        assert backend.calls == [("load", b"tar", "")] * 2
        backend.failure = InvalidArgument("invalid archive")
        assert (await client.post("/images/load?quiet=1", data=b"x")).status == 400

    run(scenario)


def test_import() -> None:
    async def scenario(client: Any, backend: FakeImages) -> None:
        backend.messages = [line(ID)]
        query = "fromSrc=-&repo=bb&tag=1&changes=CMD%20sh&changes=ENV%20A=b&message=made"
        answer = await client.post(f"/images/create?{query}", data=b"x" * 200_000)
        assert await told(answer) == [{"status": ID}]
        assert backend.calls == [("import", b"x" * 200_000, "bb", "1", ["CMD sh", "ENV A=b"], "made", "")]
        assert (await client.post("/images/create?fromSrc=http://x/y")).status == 501
        assert (await client.post("/images/create")).status == 400

    run(scenario)


def test_save_one_or_several() -> None:
    async def scenario(client: Any, backend: FakeImages) -> None:
        answer = await client.get("/images/reg.example:5000/a/b:q/get")
        assert (answer.content_type, await answer.read()) == ("application/x-tar", b"reg.example:5000/a/b:q")
        answer = await client.get("/images/get?names=bb&names=reg.example:5000/a/b:q")
        assert await answer.read() == b"bbreg.example:5000/a/b:q"
        assert (await client.get("/images/get?names=zz")).status == 404
        assert (await client.get("/images/get")).status == 400

    run(scenario)


def test_tag_remove_prune() -> None:
    async def scenario(client: Any, backend: FakeImages) -> None:
        answer = await client.post("/images/bb/tag?repo=a/b&tag=q")
        assert (answer.status, await answer.read()) == (201, b"")
        answer = await client.delete("/images/a/b:q?force=1")
        assert await answer.json() == [{"Untagged": "a/b:q"}, {"Deleted": ID}]
        answer = await client.post("/images/prune", params={"filters": '{"dangling":["false"]}'})
        assert await answer.json() == {"ImagesDeleted": None, "SpaceReclaimed": 0}
        assert backend.calls == [
            ("tag", "bb", "a/b", "q"),
            ("remove", "a/b:q", True),
            ("prune", {"dangling": ("false",)}),
        ]

    run(scenario)


def test_what_there_is_not() -> None:
    async def scenario(client: Any, backend: FakeImages) -> None:
        assert (await client.get("/images/search?term=x")).status == 501
        answer = await client.post("/build?t=x", data=b"tar")
        assert answer.status == 501
        assert "not supported" in (await answer.json())["message"]
        answer = await client.post("/build/prune")
        assert await answer.json() == {"CachesDeleted": None, "SpaceReclaimed": 0}

    run(scenario)
