"""``/info``, ``/version``, ``/system/df`` and ``/distribution``: the engine and its machine."""

from collections.abc import Sequence

import msgspec

from shoal.objects.base import Object
from shoal.wire.docker.swarm import SwarmInfo


class Answer(Object, frozen=True, omit_defaults=False):
    """An answer whose every key is there."""


class Plugins(Answer, frozen=True):
    volume: list[str] = msgspec.field(default_factory=lambda: ["local"])
    network: list[str] = msgspec.field(default_factory=lambda: ["bridge", "host", "null", "overlay"])
    authorization: list[str] | None = None
    log: list[str] = msgspec.field(default_factory=lambda: ["json-file"])


class IndexConfig(Answer, frozen=True):
    name: str
    mirrors: list[str] = msgspec.field(default_factory=list)
    secure: bool = True
    official: bool = False


class RegistryConfig(Answer, frozen=True):
    insecure_registry_cidrs: list[str] = msgspec.field(
        default_factory=lambda: ["::1/128", "127.0.0.0/8"], name="InsecureRegistryCIDRs"
    )
    index_configs: dict[str, IndexConfig] = msgspec.field(default_factory=dict)
    mirrors: list[str] = msgspec.field(default_factory=list)


class Runtime(msgspec.Struct, frozen=True):
    path: str


class Commit(Object, frozen=True, omit_defaults=False):
    """Which build of a program it is."""

    id: str = ""


class AddressPool(Answer, frozen=True):
    base: str
    size: int


class ContainerdNamespaces(Answer, frozen=True):
    containers: str = ""
    plugins: str = ""


class ContainerdInfo(Answer, frozen=True):
    address: str = ""
    namespaces: ContainerdNamespaces = ContainerdNamespaces()


class FirewallInfo(Answer, frozen=True):
    driver: str = "nftables"


class Info(Object, frozen=True, omit_defaults=False):
    """``/info``. ``swarm`` is filled in by the API from the swarm's backend; ``labels`` are the daemon's, ``k=v``."""

    id: str
    containers: int = 0
    containers_running: int = 0
    containers_paused: int = 0
    containers_stopped: int = 0
    images: int = 0
    driver: str = "overlayfs"
    driver_status: list[tuple[str, str]] = msgspec.field(default_factory=list)
    docker_root_dir: str = ""
    plugins: Plugins = msgspec.field(default_factory=Plugins)
    memory_limit: bool = True
    swap_limit: bool = True
    kernel_memory_tcp: bool = msgspec.field(default=False, name="KernelMemoryTCP")
    cpu_cfs_period: bool = msgspec.field(default=True, name="CpuCfsPeriod")
    cpu_cfs_quota: bool = msgspec.field(default=True, name="CpuCfsQuota")
    cpu_shares: bool = msgspec.field(default=True, name="CPUShares")
    cpu_set: bool = msgspec.field(default=True, name="CPUSet")
    pids_limit: bool = True
    oom_kill_disable: bool = msgspec.field(default=False, name="OomKillDisable")
    ipv4_forwarding: bool = True
    bridge_nf_iptables: bool | msgspec.UnsetType = msgspec.UNSET
    bridge_nf_ip6tables: bool | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="BridgeNfIp6tables")
    debug: bool = False
    nfd: int = 0
    ngoroutines: int = msgspec.field(default=0, name="NGoroutines")
    system_time: str = ""
    logging_driver: str = "json-file"
    cgroup_driver: str = "cgroupfs"
    cgroup_version: str = "2"
    nevents_listener: int = msgspec.field(default=0, name="NEventsListener")
    kernel_version: str = ""
    operating_system: str = ""
    os_version: str = ""
    os_type: str = "linux"
    architecture: str = ""
    ncpu: int = msgspec.field(default=0, name="NCPU")
    mem_total: int = 0
    index_server_address: str = "https://index.docker.io/v1/"
    registry_config: RegistryConfig = msgspec.field(default_factory=RegistryConfig)
    generic_resources: None = None
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    name: str = ""
    labels: list[str] = msgspec.field(default_factory=list)
    experimental_build: bool = False
    server_version: str = ""
    runtimes: dict[str, Runtime] = msgspec.field(default_factory=dict)
    default_runtime: str = "runc"
    swarm: SwarmInfo = SwarmInfo()
    live_restore_enabled: bool = True
    isolation: str = ""
    init_binary: str = ""
    containerd_commit: Commit = Commit()
    runc_commit: Commit = Commit()
    init_commit: Commit = Commit()
    security_options: list[str] = msgspec.field(default_factory=list)
    default_address_pools: list[AddressPool] = msgspec.field(default_factory=list)
    firewall_backend: FirewallInfo | None = FirewallInfo()
    cdi_spec_dirs: list[str] = msgspec.field(default_factory=list, name="CDISpecDirs")
    containerd: ContainerdInfo | None = None
    warnings: list[str] | None = None


class ComponentVersion(Answer, frozen=True):
    name: str
    version: str
    details: dict[str, str] = msgspec.field(default_factory=dict)


class PlatformName(Answer, frozen=True):
    name: str = ""


class Version(Answer, frozen=True):
    """``/version``; ``components`` are the engine itself, containerd, runc and what else it stands on."""

    platform: PlatformName = PlatformName()
    components: list[ComponentVersion] = msgspec.field(default_factory=list)
    version: str = ""
    api_version: str = ""
    min_api_version: str = msgspec.field(default="", name="MinAPIVersion")
    git_commit: str = ""
    go_version: str = ""
    os: str = msgspec.field(default="linux", name="Os")
    arch: str = ""
    kernel_version: str = ""
    build_time: str | msgspec.UnsetType = msgspec.UNSET


class DiskUsage(Answer, frozen=True):
    """``/system/df``; None for a kind that was not asked for. The items are those of the kinds' own lists."""

    layers_size: int = 0
    images: Sequence[msgspec.Struct] | None = None
    containers: Sequence[msgspec.Struct] | None = None
    volumes: Sequence[msgspec.Struct] | None = None
    build_cache: Sequence[msgspec.Struct] | None = None
    builder_size: int | msgspec.UnsetType = msgspec.UNSET


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    media_type: str
    digest: str
    size: int


class OCIPlatform(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class DistributionInspect(Answer, frozen=True):
    """What a registry has under a name, without pulling it."""

    descriptor: Descriptor
    platforms: list[OCIPlatform] = msgspec.field(default_factory=list)
