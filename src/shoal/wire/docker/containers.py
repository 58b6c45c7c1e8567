"""A container as the Engine API lists and inspects it, from what the node keeps of it."""

import posixpath
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from shoal.objects.container import Container, ContainerState, Endpoint, EndpointSettings, MountPoint, Pascal
from shoal.wire.docker.times import about, is_zero, since, unix

DRIVER: Final = "overlayfs"
NETNS_ROOT: Final = "/var/run/docker/netns"
# Keys that Docker leaves out of an inspected container while they say nothing.
_OPTIONAL_CONFIG: Final = ("ExposedPorts", "Healthcheck", "ArgsEscaped", "NetworkDisabled", "MacAddress", "StopSignal",
                           "StopTimeout", "Shell")  # fmt: skip
_OPTIONAL_HOST: Final = ("Annotations", "StorageOpt", "Tmpfs", "Sysctls", "Mounts", "Init")
# Of Windows, and still in every answer.
_FOREIGN_HOST: Final[Mapping[str, object]] = {
    "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
}  # fmt: skip
_EVERY_ADDRESS: Final = ("0.0.0.0", "::")


class Port(Pascal, frozen=True, omit_defaults=True):
    """A port of a container, and where it is published, if it is."""

    private_port: int
    type: str
    ip: str = msgspec.field(default="", name="IP")
    public_port: int = 0


class MountEntry(Pascal, frozen=True, kw_only=True):
    """A mount of a container; ``source`` is a path of the host."""

    type: str
    name: str | msgspec.UnsetType = msgspec.UNSET
    source: str
    destination: str
    driver: str | msgspec.UnsetType = msgspec.UNSET
    mode: str
    rw: bool = msgspec.field(name="RW")
    propagation: str


class SummaryHostConfig(Pascal, frozen=True):
    network_mode: str
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class SummaryNetworks(Pascal, frozen=True):
    networks: dict[str, EndpointSettings]


class ContainerSummary(Pascal, frozen=True, kw_only=True):
    """An entry of ``GET /containers/json``."""

    id: str
    names: list[str]
    image: str
    image_id: str = msgspec.field(name="ImageID")
    command: str
    created: int
    ports: list[Port]
    size_rw: int | msgspec.UnsetType = msgspec.UNSET
    size_root_fs: int | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, str]
    state: str
    status: str
    host_config: SummaryHostConfig
    network_settings: SummaryNetworks
    mounts: list[MountEntry]


class GraphDriver(Pascal, frozen=True):
    """Where the layers are; ``data`` is none's business but the driver's."""

    name: str = DRIVER
    data: dict[str, str] | None = None


class NetworkSettings(Pascal, frozen=True, kw_only=True):
    """A container's networks, and again, for old clients, its place on the default bridge."""

    bridge: str = ""
    sandbox_id: str = msgspec.field(default="", name="SandboxID")
    sandbox_key: str = ""
    ports: dict[str, list[dict[str, str]] | None]
    hairpin_mode: bool = False
    link_local_ipv6_address: str = msgspec.field(default="", name="LinkLocalIPv6Address")
    link_local_ipv6_prefix_len: int = msgspec.field(default=0, name="LinkLocalIPv6PrefixLen")
    secondary_ip_addresses: None = msgspec.field(default=None, name="SecondaryIPAddresses")
    secondary_ipv6_addresses: None = msgspec.field(default=None, name="SecondaryIPv6Addresses")
    endpoint_id: str = msgspec.field(default="", name="EndpointID")
    gateway: str = ""
    global_ipv6_address: str = msgspec.field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = msgspec.field(default=0, name="GlobalIPv6PrefixLen")
    ip_address: str = msgspec.field(default="", name="IPAddress")
    ip_prefix_len: int = msgspec.field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = msgspec.field(default="", name="IPv6Gateway")
    mac_address: str = ""
    networks: dict[str, EndpointSettings]


class ContainerInspect(Pascal, frozen=True, kw_only=True):
    """The answer of ``GET /containers/{id}/json``."""

    id: str
    created: str
    path: str
    args: list[str]
    state: dict[str, Any]
    image: str
    resolv_conf_path: str
    hostname_path: str
    hosts_path: str
    log_path: str
    name: str
    restart_count: int
    driver: str = DRIVER
    platform: str = "linux"
    mount_label: str = ""
    process_label: str = ""
    app_armor_profile: str = ""
    exec_ids: list[str] | None = msgspec.field(name="ExecIDs")
    host_config: dict[str, Any]
    graph_driver: GraphDriver = GraphDriver()
    size_rw: int | msgspec.UnsetType = msgspec.UNSET
    size_root_fs: int | msgspec.UnsetType = msgspec.UNSET
    mounts: list[MountEntry]
    config: dict[str, Any]
    network_settings: NetworkSettings


class ContainersPruned(Pascal, frozen=True):
    """The answer of ``POST /containers/prune``; the space in bytes."""

    containers_deleted: list[str]
    space_reclaimed: int


class UpdateAnswer(Pascal, frozen=True):
    warnings: list[str]


class TopAnswer(Pascal, frozen=True):
    titles: list[str]
    processes: list[list[str]]


class WaitError(Pascal, frozen=True):
    message: str


class WaitAnswer(Pascal, frozen=True):
    """The answer of ``POST /containers/{id}/wait``."""

    status_code: int
    error: WaitError | None


def summary(container: Container, *, now: datetime, sizes: tuple[int, int] | None = None) -> ContainerSummary:
    """The container in a list; ``sizes`` are the bytes it wrote and those of all it sees."""
    endpoints = {
        name: replace(settings, aliases=None, dns_names=None) for name, settings in endpoint_settings(container).items()
    }
    host = container.host_config
    return ContainerSummary(
        id=container.id,
        names=[f"/{container.name}"],
        image=container.config.image,
        image_id=container.image_id,
        command=_command(container.path, container.args),
        created=unix(container.created),
        ports=[
            Port(port, protocol, address, public)
            for (port, protocol), places in _port_table(container).items()
            for address, public in places or [("", 0)]
        ],
        size_rw=sizes[0] if sizes else msgspec.UNSET,
        size_root_fs=sizes[1] if sizes else msgspec.UNSET,
        labels=container.config.labels or {},
        state=container.state.status,
        status=status_text(container.state, now),
        host_config=SummaryHostConfig(host.network_mode, host.annotations or msgspec.UNSET),
        network_settings=SummaryNetworks(endpoints),
        mounts=[_mount(mount) for mount in container.mounts],
    )


def inspect(
    container: Container, *, version: tuple[int, int], sizes: tuple[int, int] | None = None, execs: Iterable[str] = ()
) -> ContainerInspect:
    """All about the container, as clients of that API version expect it; ``execs`` are those that have not ended."""
    folder = posixpath.dirname(container.log_path)
    state = msgspec.to_builtins(container.state)
    if container.state.health is None:
        del state["Health"]
    return ContainerInspect(
        id=container.id,
        created=container.created,
        path=container.path,
        args=container.args,
        state=state,
        image=container.image_id,
        resolv_conf_path=f"{folder}/resolv.conf",
        hostname_path=f"{folder}/hostname",
        hosts_path=f"{folder}/hosts",
        log_path=container.log_path,
        name=f"/{container.name}",
        restart_count=container.restart_count,
        exec_ids=list(execs) or None,
        host_config=_without(_FOREIGN_HOST | msgspec.to_builtins(container.host_config), _OPTIONAL_HOST)
        | {"PortBindings": msgspec.to_builtins(container.host_config.port_bindings or {})},
        size_rw=sizes[0] if sizes else msgspec.UNSET,
        size_root_fs=sizes[1] if sizes else msgspec.UNSET,
        mounts=[_mount(mount) for mount in container.mounts],
        config=_without(msgspec.to_builtins(container.config), _OPTIONAL_CONFIG)
        | {"Labels": container.config.labels or {}},
        network_settings=_network_settings(container, version),
    )


def status_text(state: ContainerState, now: datetime) -> str:
    """The state in words: ``Up 3 minutes (healthy)``, ``Exited (0) 2 hours ago``."""
    if state.restarting:
        ago = about(0) if is_zero(state.finished_at) else since(state.finished_at, now)
        return f"Restarting ({state.exit_code}) {ago} ago"
    if state.running:
        up = f"Up {since(state.started_at, now)}"
        if state.paused:
            return f"{up} (Paused)"
        if state.health is None or state.health.status in ("", "none"):
            return up
        return f"{up} (health: starting)" if state.health.status == "starting" else f"{up} ({state.health.status})"
    if state.status == "removing":
        return "Removal In Progress"
    if state.dead:
        return "Dead"
    if is_zero(state.started_at):
        return "Created"
    return "" if is_zero(state.finished_at) else f"Exited ({state.exit_code}) {since(state.finished_at, now)} ago"


def endpoint_settings(container: Container) -> dict[str, EndpointSettings]:
    """The container's networks by name: what was asked for and, while it runs, what came of it.

    Only networks that somebody asked for: the sandbox's place on docker_gwbridge is not shown.
    """
    places: dict[str, Endpoint] = {}
    if container.sandbox is not None and container.is_running:
        places = {endpoint.network_id: endpoint for endpoint in container.sandbox.endpoints}
    return {
        name: _joined(container, name, settings, places.get(settings.network_id))
        for name, settings in container.networks.items()
    }


def _joined(container: Container, name: str, asked: EndpointSettings, endpoint: Endpoint | None) -> EndpointSettings:
    if endpoint is None:
        return asked
    own = name in ("bridge", "host", "none")
    found = replace(
        asked,
        dns_names=None if own else _once(container.name, *(asked.aliases or ()), container.short_id),
        mac_address=endpoint.mac,
        endpoint_id=endpoint.endpoint_id,
    )
    for address, _, length in (text.partition("/") for text in reversed(endpoint.addresses)):
        prefix = int(length or (128 if ":" in address else 32))
        if ":" in address:
            found = replace(found, global_ipv6_address=address, global_ipv6_prefix_len=prefix)
        else:
            found = replace(found, ip_address=address, ip_prefix_len=prefix)
    for gateway in endpoint.gateways:
        gateway = gateway.partition("/")[0]
        found = replace(found, ipv6_gateway=gateway) if ":" in gateway else replace(found, gateway=gateway)
    return found


def _network_settings(container: Container, version: tuple[int, int]) -> NetworkSettings:
    networks = endpoint_settings(container)
    if version < (1, 45):
        # Before there were DNSNames, the short id was among the aliases.
        networks = {
            name: replace(s, aliases=_once(*(s.aliases or ()), container.short_id)) if s.dns_names else s
            for name, s in networks.items()
        }
    default = networks.get("bridge", EndpointSettings())
    sandbox = container.sandbox if container.is_running else None
    return NetworkSettings(
        sandbox_id=container.id if sandbox else "",
        sandbox_key=f"{NETNS_ROOT}/{sandbox.netns}" if sandbox and sandbox.netns else "",
        ports={
            f"{port}/{protocol}": [{"HostIp": address, "HostPort": str(public)} for address, public in places] or None
            for (port, protocol), places in _port_table(container).items()
        },
        endpoint_id=default.endpoint_id,
        gateway=default.gateway,
        global_ipv6_address=default.global_ipv6_address,
        global_ipv6_prefix_len=default.global_ipv6_prefix_len,
        ip_address=default.ip_address,
        ip_prefix_len=default.ip_prefix_len,
        ipv6_gateway=default.ipv6_gateway,
        mac_address=default.mac_address,
        networks=networks,
    )


def _port_table(container: Container) -> dict[tuple[int, str], list[tuple[str, int]]]:
    """Each port of a running container with the places of the host that lead to it, none for one only exposed."""
    if container.sandbox is None or not container.is_running or not container.sandbox.endpoints:
        return {}
    table: dict[tuple[int, str], list[tuple[str, int]]] = {}
    for text in container.config.exposed_ports or {}:
        number, _, protocol = text.partition("/")
        first, _, last = number.partition("-")
        for port in range(int(first), int(last or first) + 1):
            table[port, protocol or "tcp"] = []
    for published in container.sandbox.ports:
        places = table.setdefault((published.container_port, published.protocol), [])
        addresses = (published.host_ip,) if published.host_ip else _EVERY_ADDRESS
        places += [(address, published.host_port) for address in addresses]
    return dict(sorted(table.items()))


def _mount(mount: MountPoint) -> MountEntry:
    return MountEntry(
        type=mount.type,
        name=mount.name or msgspec.UNSET,
        source=mount.source,
        destination=mount.destination,
        driver=mount.driver or msgspec.UNSET,
        mode=mount.mode,
        rw=mount.rw,
        propagation=mount.propagation,
    )


def _command(path: str, args: Iterable[str]) -> str:
    return " ".join([path, *(f"'{arg}'" if " " in arg else arg for arg in args)])


def _once(*names: str) -> list[str]:
    return list(dict.fromkeys(names))


def _without(answer: Mapping[str, Any], optional: Iterable[str]) -> dict[str, Any]:
    """The answer less those of the optional keys that have no value."""
    return {key: value for key, value in answer.items() if key not in optional or value not in (None, "", {}, [])}
