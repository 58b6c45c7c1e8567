"""Published ports: as flags write them, as the API has them, as lists show them."""

import socket
from typing import Any, NamedTuple

from shoal.cli.texts import split_csv
from shoal.client.engine import Json
from shoal.errors import InvalidArgument

PROTOCOLS = ("tcp", "udp", "sctp")


class Binding(NamedTuple):
    """One container port and where it is published: ``host_port`` is empty for a port of the daemon's choice."""

    port: int
    protocol: str
    host_ip: str
    host_port: str


def parse_range(text: str) -> tuple[int, int]:
    """``80`` or ``8000-8010``. Raises ValueError."""
    first, separator, last = text.partition("-")
    if not first.isascii() or not first.isdigit() or (separator and not (last.isascii() and last.isdigit())):
        raise ValueError(text)
    start, end = int(first), int(last) if separator else int(first)
    if end > 65535 or start > end:
        raise ValueError(text)
    return start, end


def parse_publish(text: str) -> list[Binding]:
    """``[[IP:][HOST_PORT]:]PORT[/PROTOCOL]``, ports as ranges too. Raises InvalidArgument in Docker's words."""
    spec, _, protocol = text.partition("/")
    protocol = protocol or "tcp"
    left, _, container = spec.rpartition(":")
    host_ip, _, host = left.rpartition(":") if ":" in left else ("", "", left)
    if not container:
        raise InvalidArgument(f"no port specified: {text}<empty>")
    if host_ip:
        _check_ip(host_ip.strip("[]"))
        host_ip = host_ip.strip("[]")
    try:
        first, last = parse_range(container)
    except ValueError as error:
        raise InvalidArgument(f"invalid containerPort: {container}") from error
    if protocol.lower() not in PROTOCOLS:
        raise InvalidArgument(f"invalid proto: {protocol}")
    count = last - first + 1
    host_first = host_last = 0
    if host:
        try:
            host_first, host_last = parse_range(host)
        except ValueError as error:
            raise InvalidArgument(f"invalid hostPort: {host}") from error
        # One container port may be published on any one of a range of host ports: the daemon chooses.
        if host_last - host_first + 1 != count and count != 1:
            raise InvalidArgument(f"invalid ranges specified for container and host Ports: {container} and {host}")
    bindings = []
    for offset in range(count):
        published = host if count == 1 or not host else str(host_first + offset)
        bindings.append(Binding(first + offset, protocol.lower(), host_ip, published))
    return bindings


def parse_expose(text: str) -> list[str]:
    """``PORT[-PORT][/PROTOCOL]`` to the API's keys. Raises InvalidArgument."""
    spec, _, protocol = text.partition("/")
    protocol = (protocol or "tcp").lower()
    if ":" in text:
        raise InvalidArgument(f"invalid port format for --expose: {text}")
    try:
        first, last = parse_range(spec)
    except ValueError as error:
        raise InvalidArgument(f"invalid range format for --expose: {spec}, error: invalid port") from error
    if protocol not in PROTOCOLS:
        raise InvalidArgument(f"invalid range format for --expose: {spec}, error: invalid proto: {protocol}")
    return [f"{port}/{protocol}" for port in range(first, last + 1)]


def parse_service_port(text: str) -> list[Json]:
    """A service's ``--publish``, short or ``target=80,published=8080``. Raises InvalidArgument in Docker's words."""
    if "=" in text:
        return [_long_service_port(text)]
    ports = []
    for binding in parse_publish(text):
        if binding.host_ip:
            raise InvalidArgument("hostip is not supported")
        port: Json = {"Protocol": binding.protocol, "TargetPort": binding.port}
        first, last = parse_range(binding.host_port) if binding.host_port else (0, 0)
        for published in range(first, last + 1):
            ports.append({**port, **({"PublishedPort": published} if published else {}), "PublishMode": "ingress"})
    return ports


def _long_service_port(text: str) -> Json:
    port: Json = {"Protocol": "tcp", "TargetPort": 0, "PublishMode": "ingress"}
    for field in split_csv(text):
        key, separator, value = field.partition("=")
        key = key.lower()
        if not separator or not value:
            raise InvalidArgument(f"invalid field: {field}" if not separator else f"invalid value for {key}: {value}")
        match key:
            case "protocol":
                if value.lower() not in PROTOCOLS:
                    raise InvalidArgument(f"invalid protocol value '{value}'")
                port["Protocol"] = value.lower()
            case "mode":
                if value.lower() not in ("ingress", "host"):
                    raise InvalidArgument(f"invalid publish mode value ({value}): must be either 'ingress' or 'host'")
                port["PublishMode"] = value.lower()
            case "target" | "published":
                port["TargetPort" if key == "target" else "PublishedPort"] = _port_number(key, value)
            case _:
                raise InvalidArgument(f"invalid field key: {key}")
    if not port["TargetPort"]:
        raise InvalidArgument("missing mandatory field 'target'")
    return port


def _port_number(key: str, value: str) -> int:
    try:
        first, last = parse_range(value)
    except ValueError as error:
        what = "value out of range" if value.isdigit() else "invalid syntax"
        raise InvalidArgument(f"invalid {key} port ({value}): value must be an integer: {what}") from error
    if first != last:
        raise InvalidArgument(f"invalid {key} port ({value}): value must be an integer: invalid syntax")
    return first


def _check_ip(text: str) -> None:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except OSError as error:
        raise InvalidArgument(f"invalid IP address: {text}") from error


def join_host_port(host: str, port: object) -> str:
    """``host:port``, IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def show_ports(ports: list[Json]) -> str:
    """The PORTS column: consecutive ports that lead to the same number joined to ranges, other mappings after them."""
    groups: dict[str, list[int]] = {}
    done: list[str] = []
    mapped: list[str] = []

    def show(key: str, first: int, last: int) -> str:
        ip, _, protocol = key.rpartition("/")
        numbers = str(first) if first == last else f"{first}-{last}"
        return f"{join_host_port(ip, numbers)}->{numbers}/{protocol}" if ip else f"{numbers}/{protocol}"

    order = sorted(ports, key=lambda p: (p["PrivatePort"], p.get("IP", ""), p.get("PublicPort", 0), p.get("Type", "")))
    for port in order:
        private, public, ip, kind = (
            port["PrivatePort"],
            port.get("PublicPort", 0),
            port.get("IP", ""),
            port.get("Type", "tcp"),
        )
        if ip and public != private:
            mapped.append(f"{join_host_port(ip, public)}->{private}/{kind}")
            continue
        key = f"{ip}/{kind}"
        span = groups.get(key)
        if span is None:
            groups[key] = [private, private]
        elif private == span[1] + 1:
            span[1] = private
        else:
            done.append(show(key, *span))
            groups[key] = [private, private]
    return ", ".join([*done, *(show(key, *span) for key, span in groups.items()), *mapped])


def show_service_ports(ports: list[Any]) -> str:
    """The PORTS column of ``service ls``: ingress ports, as ``*:8080->80/tcp``, consecutive ones joined to ranges."""
    ordered = sorted(
        (port for port in ports if port.get("PublishMode", "ingress") == "ingress"),
        key=lambda p: (p.get("Protocol", "tcp"), p.get("PublishedPort", 0), p["TargetPort"]),
    )
    spans: list[list[Any]] = []
    for port in ordered:
        protocol, published, target = port.get("Protocol", "tcp"), port.get("PublishedPort", 0), port["TargetPort"]
        last = spans[-1] if spans else None
        if last and last[0] == protocol and last[2] + 1 == published and last[4] + 1 == target:
            last[2], last[4] = published, target
        else:
            spans.append([protocol, published, published, target, target])

    def numbers(first: int, last: int) -> str:
        return str(first) if first == last else f"{first}-{last}"

    return ", ".join(f"*:{numbers(a, b)}->{numbers(c, d)}/{protocol}" for protocol, a, b, c, d in spans)
