"""Published ports over random histories: never two owners of one, and everything comes back."""

import socket
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shoal.engine.ports import HostPorts
from shoal.errors import Conflict
from shoal.objects.container import PublishedPort

_IPS = st.sampled_from(["", "127.0.0.1", "127.0.0.2"])
# Below the machine's own dynamic range, so that no other test's connection has one of them.
_NUMBERS = st.sampled_from([0, 0, 21801, 21802, 21803])


def a_port(number: int, *, ip: str = "", protocol: str = "udp") -> PublishedPort:
    return PublishedPort(protocol=protocol, container_port=80, host_port=number, host_ip=ip)


class Ports(RuleBasedStateMachine):
    """What is held, as told by the answers, against what is handed out next."""

    def __init__(self) -> None:
        super().__init__()
        self.ports = HostPorts()
        self.held: dict[str, list[PublishedPort]] = {}
        self.number = 0

    @rule(wanted=st.lists(st.builds(a_port, _NUMBERS, ip=_IPS), max_size=3))
    def take(self, wanted: list[PublishedPort]) -> None:
        self.number += 1
        owner = f"c{self.number}"
        try:
            got = self.ports.take(owner, wanted)
        except Conflict:
            named = [port for port in wanted if port.host_port]
            assert any(_clash(p, q) for p in named for q in self.everything()) or any(
                _clash(p, q) for n, p in enumerate(named) for q in named[:n]
            )
        else:
            assert [(p.container_port, p.host_ip) for p in got] == [(p.container_port, p.host_ip) for p in wanted]
            assert all(p.host_port for p in got)
            self.held[owner] = got

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(sorted(self.held)))
        self.ports.release(owner)
        for port in self.held.pop(owner):
            self.ports.take("again", [port])
            self.ports.release("again")

    def everything(self) -> Iterator[PublishedPort]:
        for ports in self.held.values():
            yield from ports

    @invariant()
    def nothing_twice(self) -> None:
        ports = list(self.everything())
        assert not any(_clash(p, q) for n, p in enumerate(ports) for q in ports[:n])


def _clash(one: PublishedPort, other: PublishedPort) -> bool:
    same_place = one.host_ip == other.host_ip or "" in (one.host_ip, other.host_ip)
    return (one.protocol, one.host_port) == (other.protocol, other.host_port) and same_place


TestPorts = Ports.TestCase
TestPorts.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)


def test_docker_words() -> None:
    ports = HostPorts()
    ports.take("a", [a_port(21811)])
    with pytest.raises(Conflict, match="Bind for 0.0.0.0:21811 failed: port is already allocated"):
        ports.take("b", [a_port(21812), a_port(21811)])
    ports.take("b", [a_port(21812)])


def test_a_range_gives_its_first_free_port() -> None:
    ports = HostPorts()
    wanted = PublishedPort(protocol="udp", container_port=80, host_port=21831, last_host_port=21833)
    ports.take("a", [a_port(21832)])
    got = [ports.take(owner, [wanted])[0] for owner in ("b", "c")]
    assert got == [a_port(21831), a_port(21833)]
    with pytest.raises(Conflict, match="all ports are allocated"):
        ports.take("d", [wanted])
    ports.release("b")
    assert ports.take("d", [wanted]) == [a_port(21831)]


def test_a_range_passes_over_what_another_process_has() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        first = PublishedPort(
            protocol="tcp", container_port=80, host_port=number, host_ip="127.0.0.1", last_host_port=number + 40
        )
        assert HostPorts().take("a", [first])[0].host_port > number


def test_another_process_has_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(Conflict, match="address already in use"):
            HostPorts().take("a", [a_port(number, protocol="tcp", ip="127.0.0.1")])


def test_the_swarm_has_it() -> None:
    ports = HostPorts()
    ports.of_mesh = {("tcp", 21821)}
    with pytest.raises(Conflict):
        ports.take("a", [a_port(21821, protocol="tcp")])
    ports.take("a", [a_port(21821, protocol="udp")])
