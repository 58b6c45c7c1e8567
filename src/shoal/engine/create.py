"""Making a container's record from a request: names, image, networks, ports, mounts. Checks everything before anything
is made."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from shoal.container.image.catalogue import Image
from shoal.engine import merge, mounts
from shoal.engine.files import is_address
from shoal.engine.limits import check_limits
from shoal.engine.signals import parse_signal
from shoal.errors import InvalidArgument, NotFound
from shoal.objects.base import check_texts
from shoal.objects.container import (
    Container,
    ContainerConfig,
    EndpointSettings,
    HostConfig,
    LogConfig,
    MountPoint,
    NetworkingConfig,
    PublishedPort,
    Sandbox,
)
from shoal.objects.ids import ContainerId

# json-file's, all of them; those that only tag its lines are taken and say nothing.
_LOG_OPTIONS = {"max-size", "max-file", "compress", "mode", "max-buffer-size", "labels", "labels-regex", "env",
                "env-regex", "tag"}  # fmt: skip
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?\Z", re.ASCII)
_MOST_DIGITS = 18


@dataclass(frozen=True)
class Creation:
    """A request, with what it names already looked up."""

    name: str
    config: ContainerConfig
    host: HostConfig
    image: Image
    networks: Mapping[str, EndpointSettings]
    mounts: Sequence[MountPoint]
    created: str
    data_folder: Path
    container_id: ContainerId
    task_id: str | None = None
    on_mesh: bool = False


class NetworkNames(Protocol):
    """Finds networks for ``--network``."""

    def find(self, text: str) -> tuple[str, str]:
        """The id and the name of the network that a user means. Raises NotFound."""
        ...


def checked(host: HostConfig) -> HostConfig:
    """The host config as it will be kept. Raises InvalidArgument for combinations that can't be, in Docker's words."""
    policy = host.restart_policy
    if policy.name not in ("", "no", "always", "unless-stopped", "on-failure"):
        known = "use one of 'no', 'always', 'on-failure', or 'unless-stopped'"
        raise InvalidArgument(f"invalid restart policy: unknown policy '{policy.name}'; {known}")
    if policy.maximum_retry_count and policy.name != "on-failure":
        raise InvalidArgument("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if host.auto_remove and policy.name not in ("", "no"):
        raise InvalidArgument("can't create 'AutoRemove' container with restart policy")
    check_limits(host)
    if host.log_config.type not in ("", "json-file", "local", "none"):
        raise InvalidArgument(
            f"logger: no log driver named '{host.log_config.type}' is registered: json-file, local and none are"
        )
    _check_log(host.log_config)
    mode = "bridge" if host.network_mode in ("", "default") else host.network_mode
    return replace(host, network_mode=mode)


def log_size(text: str | None) -> int:
    """A size as in ``max-size=10m``; -1 for none. Raises InvalidArgument."""
    if not text:
        return -1
    units = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
    word = text.lower().removesuffix("b")
    factor = units.get(word[-1:], 1)
    number = word[:-1] if word[-1:] in units else word
    if not number.isdecimal() or len(number) > _MOST_DIGITS:
        raise InvalidArgument(f"invalid size: '{text}'")
    return int(number) * factor


def _check_log(log: LogConfig) -> None:
    for key, value in (log.config or {}).items():
        if key not in _LOG_OPTIONS:
            raise InvalidArgument(f"unknown log opt '{key}' for {log.type or 'json-file'} log driver")
        if key == "max-file" and not (value.isdecimal() and len(value) <= _MOST_DIGITS and int(value)):
            raise InvalidArgument(f"max-file cannot be less than 1: '{value}'")
    log_size(log.config.get("max-size"))


def published(config: ContainerConfig, host: HostConfig) -> list[PublishedPort]:
    """The host's ports that the container wants; 0 is any. Ranges come last, so that none takes a port that is wanted
    by its number. Raises InvalidArgument."""
    ports: list[PublishedPort] = []
    for text, bindings in (host.port_bindings or {}).items():
        number, protocol = parse_port(text)
        for binding in bindings or []:
            first, last = _range(binding.host_port)
            host_ip = "" if binding.host_ip in ("", "0.0.0.0", "::") else binding.host_ip
            if host_ip and not is_address(host_ip):
                raise InvalidArgument(f"invalid IP address: {host_ip}")
            ports.append(
                PublishedPort(
                    protocol=protocol, container_port=number, host_port=first, host_ip=host_ip, last_host_port=last
                )
            )
    if host.publish_all_ports:
        named = {(port.protocol, port.container_port) for port in ports}
        for text in config.exposed_ports or {}:
            number, protocol = parse_port(text)
            if (protocol, number) not in named:
                ports.append(PublishedPort(protocol=protocol, container_port=number, host_port=0))
    return sorted(ports, key=lambda port: bool(port.last_host_port))


def _range(text: str) -> tuple[int, int]:
    """``8080`` as (8080, 0), ``8080-8090`` as (8080, 8090), nothing as (0, 0). Raises InvalidArgument."""
    first, dash, last = text.partition("-")
    numbers = [int(number) for number in (first, last) if number.isdecimal() and len(number) <= 5]
    is_right = len(numbers) == 2 and 0 < numbers[0] <= numbers[1] if dash else bool(numbers) or not text
    if not is_right or max(numbers, default=0) > 65535:
        raise InvalidArgument(f"invalid port specification: {text!r}")
    return (numbers[0] if numbers else 0), (numbers[1] if dash and numbers[1] > numbers[0] else 0)


def parse_port(text: str) -> tuple[int, str]:
    """``80/tcp`` as number and protocol. Raises InvalidArgument in Docker's words."""
    found = _PORT.match(text)
    if found is None or not 0 < int(found[1]) < 65536:
        raise InvalidArgument(f"invalid port specification: {text!r}")
    return int(found[1]), found[3] or "tcp"


def networks_of(host: HostConfig, networking: NetworkingConfig, names: NetworkNames) -> dict[str, EndpointSettings]:
    """What the container is to be plugged into, by name. A network that is not there yet has no id: starting fails, not
    this (clients take "not found" of a creation for a missing image)."""
    mode = host.network_mode
    if mode == "host" or mode.startswith("container:"):
        return {"host": EndpointSettings(network_id=names.find("host")[0])} if mode == "host" else {}
    asked = dict(networking.endpoints_config or {})
    settings = asked.pop(mode, None) or asked.pop("default" if mode == "bridge" else mode, None)
    wanted: dict[str, EndpointSettings | None] = {mode: settings, **asked}
    found: dict[str, EndpointSettings] = {}
    for text, wish in wanted.items():
        network_id, name = _found(names, text)
        wish = wish or EndpointSettings()
        if name == "bridge" and wish.aliases:
            raise InvalidArgument("network-scoped alias is supported only for containers in user defined networks")
        if name == "bridge" and wish.ipam_config is not None and wish.ipam_config.ipv4_address:
            raise InvalidArgument("user specified IP address is supported on user defined networks only")
        found[name] = replace(wish, network_id=network_id)
    return found


def _found(names: NetworkNames, text: str) -> tuple[str, str]:
    try:
        return names.find(text)
    except NotFound:
        return "", text


def record(creation: Creation) -> Container:
    """The container's record. Raises InvalidArgument when the command or the stop signal can't be."""
    check_texts(creation.config, creation.host)
    config = merge.merged(creation.config, creation.image.run_config)
    path, args = merge.command(config)
    if config.stop_signal:
        parse_signal(config.stop_signal)
    if config.working_dir and not config.working_dir.startswith("/"):
        raise InvalidArgument(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    mounts.wanted(config, creation.host)
    key = creation.container_id
    config = replace(config, hostname=config.hostname or key[:12])
    ports = published(config, creation.host)
    return Container(
        id=key,
        name=creation.name,
        created=creation.created,
        image_id=creation.image.id,
        config=config,
        host_config=creation.host,
        path=path,
        args=args,
        networks=dict(creation.networks),
        sandbox=Sandbox(netns="", ports=ports, uses_mesh=creation.on_mesh),
        mounts=list(creation.mounts),
        log_path=str(creation.data_folder / key / f"{key}-json.log"),
        task_id=creation.task_id,
    )
