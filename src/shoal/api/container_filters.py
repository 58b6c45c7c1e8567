"""Which containers ``GET /containers/json`` lists: its filters, as pure tests of a container."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from shoal.api.filters import Filters
from shoal.api.patterns import is_found
from shoal.errors import InvalidArgument
from shoal.objects.base import parse_time
from shoal.objects.container import Container
from shoal.wire.docker.times import is_zero

ACCEPTED: Final = ("ancestor", "before", "exited", "expose", "health", "id", "isolation", "is-task", "label", "name",
                   "network", "publish", "since", "status", "volume")  # fmt: skip
PRUNE: Final = ("label", "label!", "until")
_STATES: Final = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_HEALTHS: Final = ("none", "starting", "healthy", "unhealthy")
_PORTS: Final = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?(?:/(tcp|udp|sctp))?")

Find = Callable[[str], Container]


def select(
    containers: Iterable[Container], filters: Filters, *, all_states: bool, limit: int, find: Find
) -> list[Container]:
    """Those of ``containers`` that pass, newest first, at most ``limit`` where that is over 0.

    ``find`` looks a container up for ``before`` and ``since``. Raises InvalidArgument for a value that can't be.
    """
    _check(filters)
    everything = all_states or limit > 0 or bool(filters.get("status"))
    tests = [_moment_test(filters, find), *_tests(filters)] if filters else []
    ordered = sorted(containers, key=lambda container: parse_time(container.created), reverse=True)
    found = [
        container
        for container in ordered
        if (everything or _is_up(container)) and all(test(container) for test in tests)
    ]
    return found[:limit] if limit > 0 else found


def _is_up(container: Container) -> bool:
    """Whether it is listed without being asked for: it runs, or is about to by its restart policy."""
    return container.is_running or container.state.restarting


def _check(filters: Filters) -> None:
    for value in filters.get("status"):
        if value not in _STATES:
            raise InvalidArgument(f"invalid filter 'status={value}'")
    for value in filters.get("health"):
        if value not in _HEALTHS:
            raise InvalidArgument(f"unrecognized filter value for health: {value}")
    for value in filters.get("exited"):
        if not value.removeprefix("-").isdecimal():
            raise InvalidArgument(f'strconv.Atoi: parsing "{value}": invalid syntax')


def _tests(filters: Filters) -> list[Callable[[Container], bool]]:
    is_task = filters.boolean("is-task") if filters.get("is-task") else None
    publish, expose = _ports(filters, "publish"), _ports(filters, "expose")
    return [
        lambda c: _matches(filters.get("id"), c.id),
        lambda c: _matches(filters.get("name"), c.name, f"/{c.name}"),
        lambda c: filters.allows_labels(c.config.labels),
        lambda c: filters.allows("status", c.state.status),
        lambda c: filters.allows("health", c.state.health.status if c.state.health else "none"),
        lambda c: _has_exited(c, filters.get("exited")),
        lambda c: is_task is None or is_task == (c.task_id is not None),
        lambda c: _descends(c, filters.get("ancestor")),
        lambda c: _is_on(c, filters.get("network")),
        lambda c: _has_volume(c, filters.get("volume")),
        lambda c: not publish or not publish.isdisjoint(_published(c)),
        lambda c: not expose or not expose.isdisjoint(_exposed(c)),
    ]


def _moment_test(filters: Filters, find: Find) -> Callable[[Container], bool]:
    before = [parse_time(find(ref).created) for ref in filters.get("before")]
    since = [parse_time(find(ref).created) for ref in filters.get("since")]

    def test(container: Container) -> bool:
        created = parse_time(container.created)
        return all(created < moment for moment in before) and all(created > moment for moment in since)

    return test if before or since else lambda _container: True


def _matches(wanted: Sequence[str], *texts: str) -> bool:
    """Docker takes ids and names for regular expressions, found anywhere; one that is none matches only itself."""
    return not wanted or any(is_found(pattern, text) for pattern in wanted for text in texts)


def _has_exited(container: Container, codes: Sequence[str]) -> bool:
    if not codes:
        return True
    ended = not container.is_running and not is_zero(container.state.started_at)
    return ended and str(container.state.exit_code) in codes


def _descends(container: Container, images: Sequence[str]) -> bool:
    """By the image's name as it was given, or by the start of its id; without a tag, ``latest`` is meant."""
    if not images:
        return True
    image_id = container.image_id.removeprefix("sha256:")
    name = _whole_name(container.config.image)
    return any(_whole_name(text) == name or image_id.startswith(text.removeprefix("sha256:")) for text in images)


def _whole_name(text: str) -> str:
    text = text.removeprefix("docker.io/").removeprefix("library/")
    return text if "@" in text or ":" in text.rpartition("/")[2] else f"{text}:latest"


def _is_on(container: Container, networks: Sequence[str]) -> bool:
    if not networks:
        return True
    return any(
        wanted == name or (bool(wanted) and settings.network_id.startswith(wanted))
        for name, settings in container.networks.items()
        for wanted in networks
    )


def _has_volume(container: Container, volumes: Sequence[str]) -> bool:
    return not volumes or any(
        wanted in (mount.name, mount.source, mount.destination) for mount in container.mounts for wanted in volumes
    )


def _published(container: Container) -> set[tuple[int, str]]:
    ports = container.sandbox.ports if container.sandbox is not None and container.is_running else []
    return {(port.host_port, port.protocol) for port in ports}


def _exposed(container: Container) -> set[tuple[int, str]]:
    return {port for text in container.config.exposed_ports or {} for port in _parse_ports(text)}


def _ports(filters: Filters, key: str) -> set[tuple[int, str]]:
    """What a filter for ports means: ``80``, ``80/udp``, ``8000-8010/tcp``."""
    return {port for text in filters.get(key) for port in _parse_ports(text, key)}


def _parse_ports(text: str, key: str = "expose") -> list[tuple[int, str]]:
    match = _PORTS.fullmatch(text)
    if match is None:
        raise InvalidArgument(f"error while looking up for {key} {text}: invalid port specification")
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 < first <= last <= 65535:
        raise InvalidArgument(f"error while looking up for {key} {text}: port is out of range")
    return [(port, match[3] or "tcp") for port in range(first, last + 1)]
