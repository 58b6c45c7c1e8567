"""Every field of every body with what does not belong there: refused or taken, never a 500, never a hang.

The swarm's controls, the records, the specs and the volumes are the real ones; below them are fakes.
"""

import asyncio
import json
import logging
import random
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin

import msgspec
import pytest
from aiohttp import ClientSession
from tests.fakes.api import SWARM_INIT, FakeDaemon, client_of
from tests.fakes.light_engine import LightEngine, light_engine

from shoal.api.backends_containers import ContainerBackend
from shoal.api.routes import containers, volumes
from shoal.errors import NotFound, ShoalError
from shoal.objects.cluster import ClusterSpec
from shoal.objects.container import ContainerConfig, HostConfig, NetworkingConfig
from shoal.objects.node import NodeSpec
from shoal.objects.service import ServiceSpec
from shoal.objects.volume import VolumeCreateOptions
from shoal.wire.docker.auth import AuthConfig
from shoal.wire.docker.networks import NetworkConnect, NetworkCreate, NetworkDisconnect
from shoal.wire.docker.swarm import SwarmInit, SwarmJoin, SwarmUnlock

SEED = 7
PER_FIELD = 9
"""How many of the wrong values each field gets."""

WRONG: list[object] = [
    None, True, False, -1, 0, 1, 1.5, 65536, 2**31, 2**63 - 1, 2**63, -(2**63), 10**30, 1e308,
    "", "x", "\0", "a\0b", "../../x", "..", "/", "é\u2028😀", "\ud800", " ", "\n", "A" * 9000, "1" * 5000, "{{.x}}",
    "10.0.0.0/8", "10.0.0.0/99", "::1", "fe80::/10", "1s", "-5", "sha256:" + "0" * 64,
    [], [None], [[]], [{}], [""], ["\0"], [1], ["x", "x"],
    {}, {"a": None}, {"": ""}, {"\0": "\0"}, {"a": 1}, {"a": "b"}, {"80/tcp": [{}]}, {"a": {"b": {"c": []}}},
    {"com.docker.network.driver.mtu": "x", "com.docker.network.driver.overlay.vxlanid_list": "x"},
]  # fmt: skip

Where = tuple[str | int, ...]


def fields(kind: Any, where: Where = ()) -> Iterator[Where]:
    """The places in a body of that type: keys of objects, 0 for an item of a list, ``k`` for a value of a map."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        for option in get_args(kind):
            yield from fields(option, where)
    elif origin in (list, tuple, dict):
        here = (*where, "k" if origin is dict else 0)
        yield here
        yield from fields(get_args(kind)[1 if origin is dict else 0], here)
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            yield (*where, field.encode_name)
            yield from fields(field.type, (*where, field.encode_name))


def with_value(base: object, where: Where, value: object) -> Any:
    """``base`` with ``value`` at a place, and what is missing on the way."""
    if not where:
        return value
    key, *rest = where
    if key == 0:
        return [with_value(None, tuple(rest), value)]
    found = dict(base) if isinstance(base, dict) else {}
    return found | {str(key): with_value(found.get(str(key)), tuple(rest), value)}


CONTAINER = {"Image": "box", "Cmd": ["true"]}
SERVICE = {"Name": "s", "TaskTemplate": {"ContainerSpec": {"Image": "x"}}, "Mode": {"Replicated": {"Replicas": 1}}}
BODIES: dict[str, tuple[type[msgspec.Struct], str, dict[str, Any], Where]] = {
    "container": (ContainerConfig, "/containers/create", CONTAINER, ()),
    "host": (HostConfig, "/containers/create", CONTAINER, ("HostConfig",)),
    "networking": (NetworkingConfig, "/containers/create", CONTAINER, ("NetworkingConfig",)),
    "volume": (VolumeCreateOptions, "/volumes/create", {}, ()),
    "service": (ServiceSpec, "/services/create", SERVICE, ()),
    "update": (ServiceSpec, "/services/nope/update?version=1", SERVICE, ()),
    "node": (NodeSpec, "/nodes/self/update?version={node}", {"Role": "manager", "Availability": "active"}, ()),
    "cluster": (ClusterSpec, "/swarm/update?version={cluster}", {}, ()),
    "init": (SwarmInit, "/swarm/init", {"ListenAddr": "bogus"}, ()),
    "join": (SwarmJoin, "/swarm/join", {}, ()),
    "unlock": (SwarmUnlock, "/swarm/unlock", {}, ()),
    "network": (NetworkCreate, "/networks/create", {"Name": "n"}, ()),
    "connect": (NetworkConnect, "/networks/bridge/connect", {"Container": "c"}, ()),
    "disconnect": (NetworkDisconnect, "/networks/bridge/disconnect", {"Container": "c"}, ()),
    "auth": (AuthConfig, "/auth", {}, ()),
}


async def version(client: ClientSession, path: str) -> int:
    async with client.get(path) as answer:
        return int((await answer.json())["Version"]["Index"])


async def try_it(engine: LightEngine, made: str) -> None:
    """Whether a container that could be made can also be started, or says why not."""
    try:
        await engine.lifecycle.start(made)
    except ShoalError as error:
        assert str(error)
    try:
        await engine.containers.remove(made, force=True, volumes=True)
    except NotFound:
        return  # it was to remove itself


@pytest.mark.parametrize("name", BODIES)
def test_wrong_values_are_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    kind, path, base, below = BODIES[name]
    choose = random.Random(SEED)

    async def scenario() -> None:
        daemon = FakeDaemon()
        async with light_engine(tmp_path) as engine:
            backend = cast(ContainerBackend, engine.containers)
            routes = [*daemon.routes(), *containers.routes(backend), *volumes.routes(engine.volumes)]
            async with client_of(routes, tmp_path) as client:
                await client.post("/swarm/init", json=SWARM_INIT)
                for place in dict.fromkeys(fields(kind)):
                    for value in choose.sample(WRONG, PER_FIELD):
                        await one(daemon, engine, client, (*below, *place), value)
                async with client.get("/_ping") as answer:
                    assert await answer.text() == "OK"

    async def one(daemon: FakeDaemon, engine: LightEngine, client: ClientSession, place: Where, value: object) -> None:
        now = {}
        if "{" in path:
            now = {"node": await version(client, "/nodes/self"), "cluster": await version(client, "/swarm")}
        body = json.dumps(with_value(base, place, value))
        headers = {"Content-Type": "application/json"}
        async with asyncio.timeout(10), client.post(path.format(**now), data=body, headers=headers) as answer:
            said = await answer.text()
        case = f"{place} = {str(value)[:60]!r}: {answer.status} {said[:300]}"
        assert answer.status < 500 or answer.status in (501, 503), case
        if answer.status >= 400:
            assert json.loads(said)["message"], case
        elif path == "/containers/create":
            await try_it(engine, json.loads(said)["Id"])
        elif path == "/services/create":
            await client.delete(f"/services/{json.loads(said)['ID']}")

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"[", b"nul", b"x", b"\0", b"\xef\xbb\xbf{}", b"[]", b'"x"', b"1", b"{} x", b'{"Name":"\xff"}',
        b'{"Name":"\\ud800"}', b'{"Name":"a\0"}', b"[" * 100_000, b'{"Name":' * 100_000, b'{"a":' + b"9" * 100_000,
        b'{"a":1e999}', b'{"a":NaN}', b" " * 100_000,
    ],
    ids=range(19),
)  # fmt: skip
def test_what_is_hardly_json(tmp_path: Path, caplog: pytest.LogCaptureFixture, body: bytes) -> None:
    async def scenario() -> None:
        async with client_of(FakeDaemon().routes(), tmp_path) as client:
            await client.post("/swarm/init", json=SWARM_INIT)
            for path in ("/services/create", "/networks/create", "/auth"):
                async with client.post(path, data=body, headers={"Content-Type": "application/json"}) as answer:
                    assert answer.status in (400, 401), await answer.text()
                    assert (await answer.json())["message"]

    asyncio.run(scenario())
    assert not caplog.records
