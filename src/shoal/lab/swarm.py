"""Makes a swarm of a lab's hosts, through their API, as a person with docker would."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Protocol, TypeVar

from shoal.errors import ShoalError, Unavailable
from shoal.lab.parallel import for_all

LISTEN = "0.0.0.0:2377"
_READY_SECONDS = 60.0

Say = Callable[[str, str], None]


class Api(Protocol):
    """What is asked of a host's shoald."""

    def get(self, path: str) -> Any:
        """GET, and the answer's JSON."""

    def post(self, path: str, *, body: Any) -> Any:
        """POST with a JSON body, and the answer's JSON."""

    def close(self) -> None:
        """Close the connection."""


class Member(Protocol):
    """A host as far as a swarm is concerned."""

    name: str
    address: str

    def engine(self) -> Api:
        """A client of its shoald; to be closed."""


M = TypeVar("M", bound=Member)


def form(hosts: Sequence[M], managers: int, say: Say) -> None:
    """Make a swarm: the first hosts are its managers. Raises what the API answers, and Unavailable for a node that does
    not become ready."""
    first = hosts[0]
    with closing(first.engine()) as engine:
        engine.post("/swarm/init", body={"ListenAddr": LISTEN, "AdvertiseAddr": first.address})
        tokens = engine.get("/swarm")["JoinTokens"]
    say(first.name, "manager, first of the swarm")

    def join(host: M, role: str) -> None:
        _join(host, tokens[role.capitalize()], first)
        say(host.name, f"joined as a {role}")

    # One manager after the other: each changes who the others are.
    for host in hosts[1:managers]:
        join(host, "manager")
    for_all(list(hosts[managers:]), lambda host: join(host, "worker"))
    _wait(first, len(hosts))


def _join(host: Member, token: str, first: Member) -> None:
    body = {
        "ListenAddr": LISTEN,
        "AdvertiseAddr": host.address,
        "DataPathAddr": "",
        "RemoteAddrs": [f"{first.address}:2377"],
        "JoinToken": token,
        "Availability": "active",
    }
    try:
        with closing(host.engine()) as engine:
            engine.post("/swarm/join", body=body)
    except ShoalError as error:
        raise Unavailable(f"{host.name} does not join: {error}") from error


def _wait(first: Member, count: int) -> None:
    """Wait until that many nodes are ready."""
    deadline = time.monotonic() + _READY_SECONDS
    with closing(first.engine()) as engine:
        while True:
            states = {node["Description"]["Hostname"]: node["Status"]["State"] for node in engine.get("/nodes")}
            if sum(state == "ready" for state in states.values()) >= count:
                return
            if time.monotonic() > deadline:
                shown = ", ".join(f"{name} is {state}" for name, state in sorted(states.items()))
                raise Unavailable(f"not all {count} nodes are ready after {_READY_SECONDS:g} s: {shown}")
            time.sleep(0.1)
