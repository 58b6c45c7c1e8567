"""Containers as the Engine API's ``/containers`` knows them: what was asked for, and what a node keeps of each.

These parts of the API write keys without SwarmKit's capitals (``NanoCpus``, ``Dns``) and send every field, empty or
not; the structs here do so too.
"""

from typing import Any

import msgspec

from shoal.objects.base import Object
from shoal.objects.ids import ContainerId
from shoal.objects.service import HealthConfig, Mount


class Pascal(Object, frozen=True, rename="pascal", omit_defaults=False):
    """Base of the container's side of the API."""


class LogConfig(Pascal, frozen=True):
    type: str = "json-file"
    config: dict[str, str] = msgspec.field(default_factory=dict)


class PortBinding(Pascal, frozen=True):
    """One place on the host; an empty ``host_port`` means any free one."""

    host_ip: str = ""
    host_port: str = ""


class DeviceMapping(Pascal, frozen=True):
    path_on_host: str = ""
    path_in_container: str = ""
    cgroup_permissions: str = "rwm"


class RestartPolicyConfig(Pascal, frozen=True):
    """``no``, ``always``, ``unless-stopped`` or ``on-failure``; 0 retries are any number."""

    name: str = "no"
    maximum_retry_count: int = 0


class UlimitConfig(Pascal, frozen=True):
    name: str = ""
    hard: int = 0
    soft: int = 0


class HostConfig(Pascal, frozen=True):
    """What of a container depends on the machine (Engine API, ``HostConfig``). Memory in bytes, CPU periods in µs."""

    binds: list[str] | None = None
    container_id_file: str = msgspec.field(default="", name="ContainerIDFile")
    log_config: LogConfig = LogConfig()
    network_mode: str = "default"
    port_bindings: dict[str, list[PortBinding] | None] | None = None
    restart_policy: RestartPolicyConfig = RestartPolicyConfig()
    auto_remove: bool = False
    volume_driver: str = ""
    volumes_from: list[str] | None = None
    console_size: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    annotations: dict[str, str] | None = None
    cap_add: list[str] | None = None
    cap_drop: list[str] | None = None
    cgroupns_mode: str = ""
    dns: list[str] | None = None
    dns_options: list[str] | None = None
    dns_search: list[str] | None = None
    extra_hosts: list[str] | None = None
    group_add: list[str] | None = None
    ipc_mode: str = "private"
    cgroup: str = ""
    links: list[str] | None = None
    oom_score_adj: int = 0
    pid_mode: str = ""
    privileged: bool = False
    publish_all_ports: bool = False
    readonly_rootfs: bool = False
    security_opt: list[str] | None = None
    storage_opt: dict[str, str] | None = None
    tmpfs: dict[str, str] | None = None
    uts_mode: str = msgspec.field(default="", name="UTSMode")
    userns_mode: str = ""
    shm_size: int = 67108864
    sysctls: dict[str, str] | None = None
    runtime: str = "runc"
    isolation: str = ""
    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    cgroup_parent: str = ""
    blkio_weight: int = 0
    blkio_weight_device: list[dict[str, Any]] | None = None
    blkio_device_read_bps: list[dict[str, Any]] | None = None
    blkio_device_write_bps: list[dict[str, Any]] | None = None
    blkio_device_read_iops: list[dict[str, Any]] | None = msgspec.field(default=None, name="BlkioDeviceReadIOps")
    blkio_device_write_iops: list[dict[str, Any]] | None = msgspec.field(default=None, name="BlkioDeviceWriteIOps")
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    devices: list[DeviceMapping] | None = None
    device_cgroup_rules: list[str] | None = None
    device_requests: list[dict[str, Any]] | None = None
    memory_reservation: int = 0
    memory_swap: int = 0
    memory_swappiness: int | None = None
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    ulimits: list[UlimitConfig] | None = None
    mounts: list[Mount] | None = None
    masked_paths: list[str] | None = None
    readonly_paths: list[str] | None = None
    init: bool | None = None


class ContainerConfig(Pascal, frozen=True):
    """What of a container depends on the image and the command (Engine API, ``ContainerConfig``)."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    exposed_ports: dict[str, dict[str, Any]] | None = None
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    env: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: HealthConfig | None = None
    args_escaped: bool | None = None
    image: str = ""
    volumes: dict[str, dict[str, Any]] | None = None
    working_dir: str = ""
    entrypoint: list[str] | None = None
    network_disabled: bool | None = None
    mac_address: str | None = None
    on_build: list[str] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None
    shell: list[str] | None = None


class EndpointIPAMConfig(Object, frozen=True):
    """Addresses that were asked for."""

    ipv4_address: str | None = None
    ipv6_address: str | None = None
    link_local_ips: list[str] | None = None


class EndpointSettings(Object, frozen=True, omit_defaults=False):
    """A container's endpoint on one network: what was asked for, and what came of it."""

    ipam_config: EndpointIPAMConfig | None = None
    links: list[str] | None = None
    aliases: list[str] | None = None
    mac_address: str = ""
    driver_opts: dict[str, str] | None = None
    gw_priority: int = 0
    network_id: str = ""
    endpoint_id: str = ""
    gateway: str = ""
    ip_address: str = msgspec.field(default="", name="IPAddress")
    ip_prefix_len: int = msgspec.field(default=0, name="IPPrefixLen")
    ipv6_gateway: str = ""
    global_ipv6_address: str = msgspec.field(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = msgspec.field(default=0, name="GlobalIPv6PrefixLen")
    dns_names: list[str] | None = None


class NetworkingConfig(Object, frozen=True):
    """By network name or id."""

    endpoints_config: dict[str, EndpointSettings | None] | None = None


class HealthLog(Object, frozen=True, omit_defaults=False):
    start: str = ""
    end: str = ""
    exit_code: int = 0
    output: str = ""


class Health(Object, frozen=True, omit_defaults=False):
    """starting, healthy or unhealthy, and the last few probes."""

    status: str = "starting"
    failing_streak: int = 0
    log: list[HealthLog] = msgspec.field(default_factory=list)


class ContainerState(Object, frozen=True, omit_defaults=False):
    """How a container is (Engine API, ``ContainerState``)."""

    status: str = "created"
    running: bool = False
    paused: bool = False
    restarting: bool = False
    oom_killed: bool = False
    dead: bool = False
    pid: int = msgspec.field(default=0, name="Pid")
    exit_code: int = 0
    error: str = ""
    started_at: str = "0001-01-01T00:00:00Z"
    finished_at: str = "0001-01-01T00:00:00Z"
    health: Health | None = None


class MountPoint(Object, frozen=True):
    """A mount as it was resolved; ``source`` is a path of the host."""

    type: str = ""
    name: str | None = None
    source: str = ""
    destination: str = ""
    driver: str | None = None
    mode: str = ""
    rw: bool = msgspec.field(default=True, name="RW")
    propagation: str = ""


class Endpoint(Object, frozen=True):
    """One interface of a sandbox: ``port`` numbers its other end within an overlay network's namespace."""

    network_id: str
    network_name: str
    endpoint_id: str
    interface: str
    addresses: list[str] = msgspec.field(default_factory=list)
    mac: str = ""
    gateways: list[str] = msgspec.field(default_factory=list)
    port: int = 0
    aliases: list[str] = msgspec.field(default_factory=list)
    asked: EndpointSettings | None = None


class PublishedPort(Object, frozen=True):
    """A port of the host that leads to this container; ``host_ip`` may be empty: every address. One that is only wanted
    may be any from ``host_port`` to ``last_host_port``, where that is not 0."""

    protocol: str
    container_port: int
    host_port: int
    host_ip: str = ""
    last_host_port: int = 0


class Sandbox(Object, frozen=True):
    """A container's network namespace and what is plugged into it; ``netns`` is its name under /run/netns, ``dns_port``
    where its resolver really listens (127.0.0.11:53 is led there, so that port 53 is the container's own)."""

    netns: str
    endpoints: list[Endpoint] = msgspec.field(default_factory=list)
    ports: list[PublishedPort] = msgspec.field(default_factory=list)
    uses_mesh: bool = False
    dns_port: int = 0


class Container(Object, frozen=True):
    """All that a node keeps of a container, from its creation to its removal."""

    id: ContainerId
    name: str
    created: str
    image_id: str
    config: ContainerConfig
    host_config: HostConfig
    path: str
    args: list[str]
    state: ContainerState = ContainerState()
    networks: dict[str, EndpointSettings] = msgspec.field(default_factory=dict)
    sandbox: Sandbox | None = None
    mounts: list[MountPoint] = msgspec.field(default_factory=list)
    snapshot_parent: str = ""
    restart_count: int = 0
    has_been_stopped: bool = False
    log_path: str = ""
    task_id: str | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process lives (a paused one does too)."""
        return self.state.running

    @property
    def short_id(self) -> str:
        """The first twelve digits: its default host name and DNS alias."""
        return self.id[:12]
