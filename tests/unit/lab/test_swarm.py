import pytest
from tests.fakes.lab_hosts import FakeHost, FakeSwarm

from shoal.errors import Conflict, Unavailable
from shoal.lab.swarm import form


def silent(host: str, what: str) -> None:
    pass


def hosts(count: int, swarm: FakeSwarm) -> list[FakeHost]:
    return [FakeHost(f"node{number}", f"192.0.2.{number}", swarm) for number in range(1, count + 1)]


def test_the_first_ones_are_managers() -> None:
    swarm = FakeSwarm()
    told: list[tuple[str, str]] = []
    found = hosts(4, swarm)
    form(found, 2, lambda host, what: told.append((host, what)))
    assert swarm.roles == {"node1": "manager", "node2": "manager", "node3": "worker", "node4": "worker"}
    assert sorted(told) == [
        ("node1", "manager, first of the swarm"),
        ("node2", "joined as a manager"),
        ("node3", "joined as a worker"),
        ("node4", "joined as a worker"),
    ]


def test_a_host_that_is_refused_is_named() -> None:
    swarm = FakeSwarm(refusal=Conflict("This node is already part of a swarm"))
    with pytest.raises(Unavailable, match="node2 does not join: This node is already part"):
        form(hosts(2, swarm), 1, silent)
