"""Services: what the user wants to run (Engine API, ``ServiceSpec``), and what the swarm made of it."""

from typing import Any

import msgspec

from shoal.objects.base import Object
from shoal.objects.ids import NetworkId, ServiceId
from shoal.objects.meta import Driver, Version
from shoal.objects.network import NetworkAttachmentConfig
from shoal.objects.node import Platform


class HealthConfig(Object, frozen=True):
    """A health check; durations in nanoseconds."""

    test: list[str] | None = None
    interval: int | None = None
    timeout: int | None = None
    retries: int | None = None
    start_period: int | None = None
    start_interval: int | None = None


class BindOptions(Object, frozen=True):
    propagation: str | None = None
    non_recursive: bool | None = None
    create_mountpoint: bool | None = None
    read_only_non_recursive: bool | None = None
    read_only_force_recursive: bool | None = None


class VolumeOptions(Object, frozen=True):
    no_copy: bool | None = None
    labels: dict[str, str] | None = None
    subpath: str | None = None
    driver_config: Driver | None = None


class TmpfsOptions(Object, frozen=True):
    size_bytes: int | None = None
    mode: int | None = None
    options: list[list[str]] | None = None


class Mount(Object, frozen=True):
    """A mount into a container: ``type`` is bind, volume, tmpfs or npipe."""

    type: str | None = None
    source: str | None = None
    target: str | None = None
    read_only: bool | None = None
    consistency: str | None = None
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class DNSConfig(Object, frozen=True):
    nameservers: list[str] | None = None
    search: list[str] | None = None
    options: list[str] | None = None


class FileTarget(Object, frozen=True):
    """Where a secret or config appears in the container."""

    name: str | None = None
    uid: str | None = None
    gid: str | None = None
    mode: int | None = None


class SecretReference(Object, frozen=True):
    file: FileTarget | None = None
    secret_id: str = ""
    secret_name: str = ""


class ConfigReference(Object, frozen=True):
    file: FileTarget | None = None
    runtime: dict[str, Any] | None = None
    config_id: str = ""
    config_name: str = ""


class Ulimit(Object, frozen=True):
    name: str = ""
    soft: int = 0
    hard: int = 0


class ContainerSpec(Object, frozen=True):
    """The container that each task of the service is."""

    image: str | None = None
    labels: dict[str, str] | None = None
    command: list[str] | None = None
    args: list[str] | None = None
    hostname: str | None = None
    env: list[str] | None = None
    dir: str | None = None
    user: str | None = None
    groups: list[str] | None = None
    privileges: dict[str, Any] | None = None
    init: bool | None = None
    stop_signal: str | None = None
    tty: bool | None = msgspec.field(default=None, name="TTY")
    open_stdin: bool | None = None
    read_only: bool | None = None
    mounts: list[Mount] | None = None
    stop_grace_period: int | None = None
    healthcheck: HealthConfig | None = None
    hosts: list[str] | None = None
    dns_config: DNSConfig | None = None
    secrets: list[SecretReference] | None = None
    configs: list[ConfigReference] | None = None
    isolation: str | None = None
    sysctls: dict[str, str] | None = None
    capability_add: list[str] | None = None
    capability_drop: list[str] | None = None
    ulimits: list[Ulimit] | None = None
    oom_score_adj: int | None = msgspec.field(default=None, name="OomScoreAdj")


class Resources(Object, frozen=True):
    """CPUs in billionths, memory in bytes."""

    nano_cpus: int | None = None
    memory_bytes: int | None = None
    pids: int | None = msgspec.field(default=None, name="Pids")
    generic_resources: list[dict[str, Any]] | None = None


class ResourceRequirements(Object, frozen=True):
    limits: Resources | None = None
    reservations: Resources | None = None
    swap_bytes: int | None = None
    memory_swappiness: int | None = None


class RestartPolicy(Object, frozen=True):
    """When a task that ended is replaced; durations in nanoseconds."""

    condition: str | None = None
    delay: int | None = None
    max_attempts: int | None = None
    window: int | None = None


class SpreadOver(Object, frozen=True):
    spread_descriptor: str = ""


class PlacementPreference(Object, frozen=True):
    spread: SpreadOver | None = None


class Placement(Object, frozen=True):
    constraints: list[str] | None = None
    preferences: list[PlacementPreference] | None = None
    max_replicas: int | None = None
    platforms: list[Platform] | None = None


class NetworkAttachmentSpec(Object, frozen=True):
    """A task that stands for a plain container on an attachable network."""

    container_id: str | None = None


class TaskSpec(Object, frozen=True):
    """What one task is to run, and how."""

    container_spec: ContainerSpec | None = None
    network_attachment_spec: NetworkAttachmentSpec | None = None
    plugin_spec: dict[str, Any] | None = None
    resources: ResourceRequirements | None = None
    restart_policy: RestartPolicy | None = None
    placement: Placement | None = None
    networks: list[NetworkAttachmentConfig] | None = None
    log_driver: Driver | None = None
    force_update: int | None = None
    runtime: str | None = None


class ReplicatedService(Object, frozen=True):
    replicas: int | None = None


class GlobalService(Object, frozen=True):
    pass


class ReplicatedJob(Object, frozen=True):
    max_concurrent: int | None = None
    total_completions: int | None = None


class GlobalJob(Object, frozen=True):
    pass


class ServiceMode(Object, frozen=True):
    """Exactly one of these is set."""

    replicated: ReplicatedService | None = None
    global_: GlobalService | None = msgspec.field(default=None, name="Global")
    replicated_job: ReplicatedJob | None = None
    global_job: GlobalJob | None = None


class UpdateConfig(Object, frozen=True):
    """How an update rolls over the tasks; durations in nanoseconds. A ratio that was sent as 0 stays 0, not 0.0."""

    parallelism: int | None = None
    delay: int | None = None
    failure_action: str | None = None
    monitor: int | None = None
    max_failure_ratio: int | float | None = None
    order: str | None = None


class PortConfig(Object, frozen=True):
    """One published port."""

    name: str | None = None
    protocol: str | None = None
    target_port: int | None = None
    published_port: int | None = None
    publish_mode: str | None = None

    @property
    def is_ingress(self) -> bool:
        """Whether the routing mesh answers on it (the default), and not the task's node alone."""
        return self.publish_mode in (None, "", "ingress")


class EndpointSpec(Object, frozen=True):
    mode: str | None = None
    ports: list[PortConfig] | None = None


class ServiceSpec(Object, frozen=True):
    """The user's: nothing but their requests writes to it."""

    name: str = ""
    labels: dict[str, str] | None = None
    task_template: TaskSpec = TaskSpec()
    mode: ServiceMode | None = None
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    networks: list[NetworkAttachmentConfig] | None = None
    endpoint_spec: EndpointSpec | None = None

    @property
    def is_global(self) -> bool:
        """One task a node, rather than a number of replicas."""
        return self.mode is not None and self.mode.global_ is not None

    @property
    def replicas(self) -> int:
        """How many slots a replicated service has; 1 when unsaid."""
        mode = self.mode.replicated if self.mode else None
        return 1 if mode is None or mode.replicas is None else mode.replicas

    @property
    def attachments(self) -> list[NetworkAttachmentConfig]:
        """The networks asked for; those of the task template come before the older, service-wide list."""
        return self.task_template.networks or self.networks or []


class VirtualIP(Object, frozen=True):
    network_id: NetworkId
    addr: str | None = None


class Endpoint(Object, frozen=True):
    """The allocator's answer to an :class:`EndpointSpec`."""

    spec: EndpointSpec = msgspec.field(default_factory=EndpointSpec)
    ports: list[PortConfig] | None = None
    virtual_ips: list[VirtualIP] | None = None


class UpdateStatus(Object, frozen=True):
    """How an update stands: updating, paused, completed, rollback_started, rollback_paused or rollback_completed."""

    state: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    message: str | None = None


class ServiceStatus(Object, frozen=True, omit_defaults=False):
    """Only in lists that ask for it."""

    running_tasks: int = 0
    desired_tasks: int = 0
    completed_tasks: int = 0


class Service(Object, frozen=True):
    id: ServiceId
    version: Version = Version()
    created_at: str = ""
    updated_at: str = ""
    spec: ServiceSpec = ServiceSpec()
    previous_spec: ServiceSpec | None = None
    spec_version: Version | None = None
    endpoint: Endpoint = Endpoint()
    update_status: UpdateStatus | None = None
    service_status: ServiceStatus | None = None
    pending_delete: bool = False

    @property
    def name(self) -> str:
        """The name that users call it by."""
        return self.spec.name
