"""Published ports of the routing mesh: each taken once in the whole cluster. Pure."""

from collections.abc import Iterable

from msgspec.structs import replace

from shoal.errors import FailedPrecondition
from shoal.objects.service import PortConfig, Service

DYNAMIC = range(30000, 32768)


def protocol(port: PortConfig) -> str:
    """tcp, udp or sctp; tcp where unsaid."""
    return (port.protocol or "tcp").lower()


def taken_by(services: Iterable[Service]) -> set[tuple[str, int]]:
    """What the mesh already answers on."""
    return {
        (protocol(port), port.published_port)
        for service in services
        for port in service.endpoint.ports or []
        if port.is_ingress and port.published_port
    }


def allocate(wanted: list[PortConfig], had: list[PortConfig], taken: set[tuple[str, int]]) -> list[PortConfig]:
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
        number = next((n for n in same if (kind, n) not in taken | ours), None)
        if number is None:
            number = next((n for n in DYNAMIC if (kind, n) not in taken | ours), None)
        if number is None:
            raise FailedPrecondition("no available port in the dynamic range 30000-32767")
        ours.add((kind, number))
        ports.append(replace(port, published_port=number))
    return ports
