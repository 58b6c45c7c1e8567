"""What is measured, each on one engine: a group of figures is a function, which returns lists of samples by name."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from box import wait_until
from engineapi import Connection, Refused, latencies, requests_per_second
from engines import Engine
from table import Unit

Figures = dict[str, tuple[Unit, list[float]]]

_GRACE_NS = 100_000_000
_PORT = 8080
_MANY = 200
# Between two looks at a service: asked more often, the engines would be busy with the question.
_PAUSE = 0.01


@dataclass(frozen=True)
class Effort:
    """How often each thing is done in a round."""

    runs: int = 4
    networks: int = 10
    requests: int = 200
    load_seconds: float = 1.0


QUICK = Effort(runs=2, networks=4, requests=60, load_seconds=0.4)
THOROUGH = Effort()


def starts(engine: Engine) -> Figures:
    """A restart of the daemon that has no containers, not counting its end."""
    engine.stop()
    return {"daemon start, until /_ping": (Unit.SECONDS, [engine.start()])}


def runs(engine: Engine, effort: Effort) -> Figures:
    """The docker client's run, and a list by either engine's own client."""
    command = [*engine.docker, "run", "--rm", "busybox", "true"]
    return {"docker run --rm busybox true": (Unit.SECONDS, [_wall(engine, command) for _ in range(effort.runs)])}


def networks(engine: Engine, effort: Effort) -> Figures:
    """Overlay networks made and removed."""
    created, removed = [], []
    with _connected(engine) as api:
        for _ in range(effort.networks):
            since = time.perf_counter()
            made = api.post("/networks/create", {"Name": f"net-{uuid4().hex[:8]}", "Driver": "overlay"})
            created.append(time.perf_counter() - since)
            since = time.perf_counter()
            api.delete(f"/networks/{made['Id']}")
            removed.append(time.perf_counter() - since)
    return {"overlay network created": (Unit.SECONDS, created), "overlay network removed": (Unit.SECONDS, removed)}


def service(engine: Engine, effort: Effort, replicas: int, *, look: bool = False) -> Figures:
    """A service on an overlay network with a published port, until all its tasks run, and until they are gone.

    With ``look``, what there is to measure beside running tasks is measured meanwhile.
    """
    name = f"bench-{uuid4().hex[:8]}"
    figures: Figures = {}
    with _connected(engine) as api:
        network = api.post("/networks/create", {"Name": f"{name}-net", "Driver": "overlay"})["Id"]
        since = time.perf_counter()
        made = api.post("/services/create", _spec(name, replicas, network))["ID"]
        wait_until(lambda: _running(api, made) == replicas, seconds=120, pause=_PAUSE)
        figures[f"service of {replicas}, until all run"] = (Unit.SECONDS, [time.perf_counter() - since])
        if look:
            figures |= _beside_tasks(engine, effort, api, name, replicas)
        since = time.perf_counter()
        api.delete(f"/services/{made}")
        label = f"com.docker.swarm.service.name={name}"
        wait_until(lambda: not api.get("/containers/json?all=1", label=label), seconds=120, pause=_PAUSE)
        figures[f"service of {replicas}, until all are gone"] = (Unit.SECONDS, [time.perf_counter() - since])
        _remove_network(api, network)
    return figures


def _remove_network(api: Connection, network: str) -> None:
    """Once its last task has let go of it."""

    def removed() -> bool:
        try:
            api.delete(f"/networks/{network}")
        except Refused:
            return False
        return True

    wait_until(removed, seconds=60, pause=_PAUSE)


def _beside_tasks(engine: Engine, effort: Effort, api: Connection, name: str, replicas: int) -> Figures:
    figures: Figures = {
        f"memory of the daemons, {replicas} tasks": (Unit.BYTES, [float(engine.memory())]),
        f"GET /containers/json, {replicas} containers": (
            Unit.SECONDS,
            latencies(engine.socket, "/containers/json", max(effort.requests // 4, 10)),
        ),
        f"docker ps, {replicas} containers": (
            Unit.SECONDS,
            [_wall(engine, [*engine.docker, "ps"]) for _ in range(effort.runs)],
        ),
        f"own client's ps, {replicas} containers": (
            Unit.SECONDS,
            [_wall(engine, [*engine.client, "ps"]) for _ in range(effort.runs)],
        ),
    }
    container = api.get("/containers/json", label=f"com.docker.swarm.service.name={name}")[0]["Id"]
    pid = api.get(f"/containers/{container}/json")["State"]["Pid"]
    script = Path(__file__).with_name("dnsload.py")
    load = [sys.executable, str(script), name, str(effort.load_seconds)]
    found = json.loads(engine.box.run("nsenter", "--target", str(pid), "--net", "--", *load))
    return figures | {
        "DNS in a task": (Unit.PER_SECOND, [found["queries_per_second"]]),
        "DNS in a task, latency under that load": (Unit.SECONDS, [found["loaded_latency"]]),
        "DNS in a task, latency of one question": (Unit.SECONDS, [found["latency"]]),
    }


def fill(engine: Engine) -> str:
    """Have 200 services, of no tasks each; the id of one."""
    with _connected(engine) as api:
        return str([api.post("/services/create", _spec(f"many-{n}", 0, None))["ID"] for n in range(_MANY)][-1])


def requests(engine: Engine, effort: Effort, service_id: str) -> Figures:
    """What single questions take, once :func:`fill` has been called."""
    count = effort.requests
    targets = {
        "GET /_ping": ("/_ping", count),
        "GET /services/{id}": (f"/services/{service_id}", count),
        f"GET /services, {_MANY} services": ("/services", max(count // 4, 10)),
        "GET /info": ("/info", max(count // 4, 10)),
    }
    figures: Figures = {
        what: (Unit.SECONDS, latencies(engine.socket, target, times)) for what, (target, times) in targets.items()
    }
    rate = requests_per_second(engine.socket, f"/services/{service_id}", connections=8, seconds=effort.load_seconds)
    return figures | {"GET /services/{id} on 8 connections": (Unit.PER_SECOND, [rate])}


def memory(engine: Engine, when: str) -> Figures:
    """What the daemons hold."""
    return {f"memory of the daemons, {when}": (Unit.BYTES, [float(engine.memory())])}


def prepare(engine: Engine, images: list[Path]) -> None:
    """Give it the images and a swarm."""
    for image in images:
        _wall(engine, [*engine.docker, "load", "--quiet", "--input", str(image)])
    with _connected(engine) as api:
        api.post("/swarm/init", {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": engine.box.address})


def version(engine: Engine) -> str:
    """As the engine says it."""
    with _connected(engine) as api:
        return str(api.get("/version")["Version"])


def _spec(name: str, replicas: int, network: str | None) -> dict[str, Any]:
    task: dict[str, Any] = {
        # The first process of a container ignores SIGTERM unless it asks for it, which this one does not.
        "ContainerSpec": {
            "Image": "busybox:latest",
            "Command": ["sleep", "100000"],
            "StopGracePeriod": _GRACE_NS,
        },
        "RestartPolicy": {"Condition": "any"},
    }
    spec: dict[str, Any] = {"Name": name, "TaskTemplate": task, "Mode": {"Replicated": {"Replicas": replicas}}}
    if network is not None:
        task["Networks"] = [{"Target": network}]
        spec["EndpointSpec"] = {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": _PORT}]}
    return spec


def _running(api: Connection, service_id: str) -> int:
    tasks = api.get("/tasks", service=service_id)
    return sum(task["Status"]["State"] == "running" for task in tasks)


def _wall(engine: Engine, command: list[str]) -> float:
    since = time.perf_counter()
    done = subprocess.run(command, env=engine.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[3:])}: {done.stderr.strip()[-300:]}")
    return time.perf_counter() - since


@contextlib.contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    connection = engine.connect()
    try:
        yield connection
    finally:
        connection.close()
