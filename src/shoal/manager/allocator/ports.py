"""Published ports of the routing mesh: each taken once in the whole cluster. Pure."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from shoal.errors import FailedPrecondition
from shoal.objects.service import PortConfig, Service

DYNAMIC = range(30000, 32768)


def protocol(port: PortConfig) -> str:
    """tcp, udp or sctp; tcp where unsaid."""
    return (port.protocol or "tcp").lower()


class Taken:
    """What the mesh already answers on, and for whom."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._owner: dict[tuple[str, int], str] = {}
        for service in services:
            self.add(service)

    def add(self, service: Service) -> None:
        """Take down the ports that a service has."""
        for port in service.endpoint.ports or []:
            if port.is_ingress and port.published_port:
                self._owner[protocol(port), port.published_port] = service.id

    def by_others(self, service: Service) -> Callable[[tuple[str, int]], bool]:
        """Whether a service other than this one has a port."""
        return lambda key: self._owner.get(key, service.id) != service.id


def allocate(
    wanted: list[PortConfig], had: list[PortConfig], taken: Callable[[tuple[str, int]], bool]
) -> list[PortConfig]:
    """``wanted`` with every published port filled in; those without a number keep the one they ``had``.

    :raises FailedPrecondition: the dynamic range is used up.
    """
    ports: list[PortConfig] = []
    ours: set[tuple[str, int]] = {(protocol(p), p.published_port) for p in wanted if p.published_port}
    for port in wanted:
        kind = protocol(port)
        # A port of the node's own (mode=host) without a number is chosen there, when the task starts.
        if port.published_port or not port.is_ingress:
            ports.append(port)
            continue
        same = (
            p.published_port
            for p in had
            if p.published_port and p.is_ingress and protocol(p) == kind and p.target_port == port.target_port
        )
        number = next((n for n in same if (kind, n) not in ours and not taken((kind, n))), None)
        if number is None:
            number = next((n for n in DYNAMIC if (kind, n) not in ours and not taken((kind, n))), None)
        if number is None:
            raise FailedPrecondition("no available port in the dynamic range 30000-32767")
        ours.add((kind, number))
        ports.append(replace(port, published_port=number))
    return ports
