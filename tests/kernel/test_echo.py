"""Echoes between two namespaces."""

import time
from collections.abc import Iterator

import pytest
from tests.fakes.machine import ip, own_machine

from shoal.errors import Unavailable
from shoal.kernel import netns
from shoal.kernel.echo import EchoSocket


@pytest.fixture
def machine() -> Iterator[None]:
    with own_machine():
        yield


def heard(echo: EchoSocket, seconds: float = 1.0) -> set[str]:
    end = time.monotonic() + seconds
    found: set[str] = set()
    while not found and time.monotonic() < end:
        found |= set(echo.answers())
        time.sleep(0.005)
    return found


@pytest.mark.usefixtures("machine")
def test_who_is_there_answers_and_who_is_not_does_not() -> None:
    for name in ("one", "two"):
        ip(f"netns add {name}")
    ip("link add eth0 type veth peer name eth0 netns two", "one")
    for name, address in (("one", "10.9.0.1/24"), ("two", "10.9.0.2/24")):
        ip(f"address add {address} dev eth0", name)
        ip("link set eth0 up", name)
    echo, other = EchoSocket.open(netns.BASE / "one"), EchoSocket.open(netns.BASE / "one")
    try:
        for _ in range(3):
            echo.send("10.9.0.2")
            assert heard(echo) == {"10.9.0.2"}
            assert list(other.answers()) == []
        echo.send("10.9.0.3")
        assert heard(echo, 0.05) == set()
        ip("link set eth0 down", "two")
        echo.send("10.9.0.2")
        assert heard(echo, 0.05) == set()
    finally:
        echo.close()
        other.close()


@pytest.mark.usefixtures("machine")
def test_a_namespace_that_is_not_there() -> None:
    with pytest.raises(Unavailable):
        EchoSocket.open(netns.BASE / "none")
