"""Where the lab runs: in the machine's own namespaces, or in a box. Either way with a neighbour, the "other host"."""

import json
import subprocess
from collections.abc import Sequence
from typing import Protocol

from box import ADDRESS, NEIGHBOUR_ADDRESS, Box
from box import NEIGHBOUR as BOX_NEIGHBOUR


class Place(Protocol):
    """A machine as the lab sees it. ``address`` is its own on the wire to the ``neighbour``, which has
    ``neighbour_address``; ``init_flags`` are what ``swarm init`` needs there."""

    address: str
    neighbour: str
    neighbour_address: str
    init_flags: str

    def start(self) -> None:
        """Make what the lab needs of it."""
        ...

    def enter(self, command: Sequence[str], *, netns: str | None = None) -> list[str]:
        """The command line that runs a command there, in one of its network namespaces if ``netns`` is given."""
        ...

    def stop(self) -> None:
        """Remove what was made."""
        ...


class Boxed:
    """Namespaces of the lab's own."""

    address = ADDRESS
    neighbour = BOX_NEIGHBOUR
    neighbour_address = NEIGHBOUR_ADDRESS
    init_flags = ""

    def __init__(self, *, stay: bool) -> None:
        self._box = Box(stay=stay)

    @property
    def pid(self) -> int:
        """The process to give to ``nsenter --target``."""
        return self._box.pid

    def start(self) -> None:
        self._box.start()

    def enter(self, command: Sequence[str], *, netns: str | None = None) -> list[str]:
        return self._box.enter(command, netns=netns)

    def stop(self) -> None:
        self._box.stop()


class Here:
    """The machine's own namespaces; the neighbour is a namespace on a veth pair."""

    neighbour = "shoal-neighbour"
    _link = "shoal-lab0"

    def __init__(self, advertise: str) -> None:
        self.init_flags = f" --advertise-addr {advertise}"
        self.address, self.neighbour_address = _free_pair()

    def start(self) -> None:
        _ip("netns", "add", self.neighbour)
        _ip("link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", self.neighbour)
        _ip("address", "add", f"{self.address}/30", "dev", self._link)
        _ip("link", "set", self._link, "up")
        _ip("-n", self.neighbour, "link", "set", "lo", "up")
        _ip("-n", self.neighbour, "address", "add", f"{self.neighbour_address}/30", "dev", "eth0")
        _ip("-n", self.neighbour, "link", "set", "eth0", "up")
        _ip("-n", self.neighbour, "route", "add", "default", "via", self.address)

    def enter(self, command: Sequence[str], *, netns: str | None = None) -> list[str]:
        return [*(["ip", "netns", "exec", netns] if netns else []), *command]

    def stop(self) -> None:
        subprocess.run(["ip", "link", "delete", self._link], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "delete", self.neighbour], capture_output=True, check=False)


def _free_pair() -> tuple[str, str]:
    """Two addresses that no route of the machine covers but the default one."""
    routes = json.loads(subprocess.run(["ip", "-j", "-4", "route"], capture_output=True, text=True, check=False).stdout)
    taken = [str(route.get("dst", "")) for route in routes]
    third = next(n for n in range(77, 255) if not any(dst.startswith(f"192.168.{n}.") for dst in taken))
    return f"192.168.{third}.1", f"192.168.{third}.2"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], capture_output=True, check=True)
