"""Published ports of this node: who has which, and which one is free when none was named."""

import socket
from collections.abc import Collection, Iterable, Iterator

from msgspec.structs import replace

from shoal.errors import Conflict
from shoal.objects.container import PublishedPort

_DYNAMIC = range(32768, 61000)
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class HostPorts:
    """Ports of the host by protocol and number; an empty address stands for all of them."""

    def __init__(self) -> None:
        self._taken: dict[tuple[str, int], dict[str, str]] = {}
        self._next = _DYNAMIC.start
        self.of_mesh: Collection[tuple[str, int]] = ()
        """Protocol and number of the swarm's ports, which every node has on all of its addresses."""

    def take(self, owner: str, wanted: Iterable[PublishedPort]) -> list[PublishedPort]:
        """Reserve ports for ``owner``, choosing a number where it is 0 or a range; all of them or none.

        :raises Conflict: one, or all of a range, is taken, by us or by another process, in Docker's words.
        """
        got: list[PublishedPort] = []
        try:
            got.extend(self._take(owner, port) for port in wanted)
        except Conflict:
            self.release(owner)
            raise
        return got

    def mark(self, owner: str, ports: Iterable[PublishedPort]) -> None:
        """Note ports that are in use already, without a look at the machine."""
        for port in ports:
            self._taken.setdefault((port.protocol, port.host_port), {})[port.host_ip] = owner

    def release(self, owner: str) -> None:
        """Give back all that ``owner`` has."""
        for key, holders in list(self._taken.items()):
            for address in [address for address, holder in holders.items() if holder == owner]:
                del holders[address]
            if not holders:
                del self._taken[key]

    def _take(self, owner: str, port: PublishedPort) -> PublishedPort:
        if port.last_host_port:
            return self._take_first(owner, port, range(port.host_port, port.last_host_port + 1))
        if port.host_port:
            if not self._is_free(port):
                raise Conflict(
                    f"Bind for {port.host_ip or '0.0.0.0'}:{port.host_port} failed: port is already allocated"
                )
            _check_bind(port)
            self.mark(owner, [port])
            return port
        return self._take_first(owner, port, self._dynamic())

    def _dynamic(self) -> Iterator[int]:
        """Every number of the dynamic range once, from where the last search ended."""
        for _ in _DYNAMIC:
            number = self._next
            self._next = number + 1 if number + 1 in _DYNAMIC else _DYNAMIC.start
            yield number

    def _take_first(self, owner: str, port: PublishedPort, numbers: Iterable[int]) -> PublishedPort:
        for number in numbers:
            chosen = replace(port, host_port=number, last_host_port=0)
            if self._is_free(chosen) and _can_bind(chosen):
                self.mark(owner, [chosen])
                return chosen
        raise Conflict("all ports are allocated")

    def _is_free(self, port: PublishedPort) -> bool:
        if (port.protocol, port.host_port) in self.of_mesh:
            return False
        holders = self._taken.get((port.protocol, port.host_port), {})
        return port.host_ip not in holders and "" not in holders and not (port.host_ip == "" and holders)


def _bind(port: PublishedPort) -> None:
    """Whether anybody else has the port shows when one tries; what is translated needs no socket afterwards."""
    kind = _KINDS.get(port.protocol)
    if kind is None:
        return
    family = socket.AF_INET6 if ":" in port.host_ip else socket.AF_INET
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1 if kind == socket.SOCK_STREAM else 0)
        probe.bind((port.host_ip, port.host_port))
        if kind == socket.SOCK_STREAM:
            probe.listen(1)


def _can_bind(port: PublishedPort) -> bool:
    try:
        _bind(port)
    except OSError:
        return False
    return True


def _check_bind(port: PublishedPort) -> None:
    try:
        _bind(port)
    except OSError as error:
        where = f"{port.host_ip or '0.0.0.0'}:{port.host_port}"
        raise Conflict(
            f"failed to bind host port for {where}/{port.protocol}: {(error.strerror or str(error)).lower()}"
        ) from error
