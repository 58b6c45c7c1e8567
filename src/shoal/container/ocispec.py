"""From what a container shall be to the OCI runtime specification that makes runc do it. Pure.

Defaults are Docker's: the fourteen capabilities, the mounts, the masked and read-only paths, the device nodes; a
seccomp filter of our own wording (:mod:`shoal.container.seccomp`). runc makes the standard device nodes and ``/dev/fd``
and the like itself (runtime-spec, config-linux.md, "Default Devices").
"""

from typing import TypeVar

import msgspec

from shoal.container import capabilities, oci, seccomp
from shoal.container.cgroups import CgroupHost
from shoal.container.oci import OciSpec

T = TypeVar("T")

PRIVATE = ""
"""A namespace of the container's own."""
HOST = "host"
"""The host's namespace. Any other text is the path of a namespace."""

DEFAULT_SHM = 64 << 20
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_INIT = "/sbin/docker-init"

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


class Namespaces(msgspec.Struct, frozen=True, kw_only=True):
    """Where the container's namespaces come from; ``cgroup`` None is Docker's default: its own on version 2 only."""

    network: str = PRIVATE
    pid: str = PRIVATE
    ipc: str = PRIVATE
    uts: str = PRIVATE
    cgroup: str | None = None


class SpecInput(msgspec.Struct, frozen=True, kw_only=True):
    """What a container shall be. Everything is resolved: users are numbers, mounts have sources, an init has a path."""

    args: tuple[str, ...]
    cgroup_path: str
    """Absolute in the cgroup hierarchy: ``/shoal/<id>``."""
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: oci.User = oci.User()
    hostname: str = ""
    domainname: str = ""
    tty: bool = False
    console_size: tuple[int, int] | None = None
    """Height, width."""
    readonly_rootfs: bool = False
    mounts: tuple[oci.Mount, ...] = ()
    """Binds, volumes, tmpfs; one at a default mount's place replaces that."""
    shm_size: int = DEFAULT_SHM
    """Bytes."""
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    privileged: bool = False
    devices: tuple[oci.Device, ...] = ()
    device_access: str = "rwm"
    device_rules: tuple[oci.DeviceRule, ...] = ()
    """Rules beside the devices' own (``--device-cgroup-rule``)."""
    masked_paths: tuple[str, ...] | None = None
    """None: the default ones."""
    readonly_paths: tuple[str, ...] | None = None
    sysctls: dict[str, str] = {}
    ulimits: tuple[oci.Rlimit, ...] = ()
    memory: int = 0
    """Bytes; 0 is no limit, here and below."""
    memory_reservation: int = 0
    memory_swap: int = 0
    """Memory and swap together; -1 is unlimited swap."""
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    nano_cpus: int = 0
    """Billionths of a CPU; where given, quota and period follow from it."""
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    pids_limit: int = 0
    blkio_weight: int = 0
    namespaces: Namespaces = Namespaces()
    oom_score_adj: int = 0
    no_new_privileges: bool = False
    seccomp: bool = True
    init_path: str = ""
    """An init on the host, put in as ``/sbin/docker-init`` and run as process 1 (``--init``)."""
    annotations: dict[str, str] = {}


class SpecHost(msgspec.Struct, frozen=True, kw_only=True):
    """What a spec depends on in the host it is for."""

    cgroup: CgroupHost = CgroupHost()
    machine: str = "x86_64"
    """As uname(2) says."""
    capabilities: tuple[str, ...] = capabilities.ALL
    """What there is to give: what we have ourselves."""


def build(wanted: SpecInput, host: SpecHost) -> OciSpec:
    """The specification. Raises InvalidArgument for a capability that does not exist."""
    init = (_INIT, "--") if wanted.init_path else ()
    return OciSpec(
        oci_version="1.0.2",
        process=process(wanted, host, args=(*init, *wanted.args)),
        root=oci.Root(path="rootfs", readonly=wanted.readonly_rootfs),
        hostname="" if wanted.namespaces.uts == HOST else wanted.hostname,
        domainname="",
        mounts=_mounts(wanted),
        linux=_linux(wanted, host),
        annotations=wanted.annotations,
    )


def process(
    wanted: SpecInput,
    host: SpecHost,
    *,
    args: tuple[str, ...],
    user: oci.User | None = None,
    env: tuple[str, ...] | None = None,
    cwd: str | None = None,
    tty: bool | None = None,
    privileged: bool | None = None,
) -> oci.Process:
    """A process of the container: its first, or with the further arguments one that an exec adds to it.

    Capabilities take effect for root alone; other users have them in the bounding set only, as in Docker.
    """
    runs_as = wanted.user if user is None else user
    terminal = wanted.tty if tty is None else tty
    bounding = capabilities.granted(
        add=wanted.cap_add,
        drop=wanted.cap_drop,
        privileged=wanted.privileged or bool(privileged),
        host=host.capabilities,
    )
    effective = bounding if runs_as.uid == 0 else ()
    environment = wanted.env if env is None else env
    if not any(entry.startswith("PATH=") for entry in environment):
        environment = (DEFAULT_PATH, *environment)
    if terminal and not any(entry.startswith("TERM=") for entry in environment):
        environment = (*environment, "TERM=xterm")
    size = oci.ConsoleSize(height=wanted.console_size[0], width=wanted.console_size[1]) if wanted.console_size else None
    return oci.Process(
        args=args,
        cwd=(wanted.cwd if cwd is None else cwd) or "/",
        user=runs_as,
        env=environment,
        terminal=terminal,
        console_size=size if terminal else None,
        capabilities=oci.Capabilities(bounding=bounding, effective=effective, permitted=effective),
        rlimits=wanted.ulimits,
        no_new_privileges=wanted.no_new_privileges,
        oom_score_adj=wanted.oom_score_adj,
    )


def _linux(wanted: SpecInput, host: SpecHost) -> oci.Linux:
    masked = MASKED if wanted.masked_paths is None else wanted.masked_paths
    readonly = READONLY if wanted.readonly_paths is None else wanted.readonly_paths
    granted = capabilities.granted(
        add=wanted.cap_add,
        drop=wanted.cap_drop,
        privileged=wanted.privileged,
        host=host.capabilities,
    )
    filtered = wanted.seccomp and not wanted.privileged
    return oci.Linux(
        namespaces=_namespaces(wanted.namespaces, host),
        cgroups_path=wanted.cgroup_path,
        resources=resources(wanted, host),
        devices=wanted.devices,
        sysctl=_sysctls(wanted),
        seccomp=seccomp.default_filter(granted, host.machine) if filtered else None,
        masked_paths=() if wanted.privileged else masked,
        readonly_paths=() if wanted.privileged else readonly,
        rootfs_propagation=_propagation(wanted.mounts),
    )


def _namespaces(chosen: Namespaces, host: SpecHost) -> tuple[oci.Namespace, ...]:
    cgroup = (HOST if host.cgroup.version == 1 else PRIVATE) if chosen.cgroup is None else chosen.cgroup
    modes = {
        "mount": PRIVATE,
        "network": chosen.network,
        "pid": chosen.pid,
        "ipc": chosen.ipc,
        "uts": chosen.uts,
        "cgroup": cgroup,
    }
    return tuple(oci.Namespace(type=kind, path=mode) for kind, mode in modes.items() if mode != HOST)


def _sysctls(wanted: SpecInput) -> dict[str, str]:
    """Docker's own two first: low ports and ping without a capability, where the network is not the host's."""
    sysctls: dict[str, str] = {}
    if wanted.namespaces.network != HOST:
        sysctls["net.ipv4.ip_unprivileged_port_start"] = "0"
        sysctls["net.ipv4.ping_group_range"] = "0 2147483647"
    if wanted.domainname and wanted.namespaces.uts != HOST:
        # The specification's own domainname came with 1.1, which older runc do not read.
        sysctls["kernel.domainname"] = wanted.domainname
    return sysctls | wanted.sysctls


def resources(wanted: SpecInput, host: SpecHost) -> oci.Resources:
    """The limits alone; what ``Runtime.update`` takes, too (which then leaves the device rules as they are)."""
    quota, period = wanted.cpu_quota, wanted.cpu_period
    if wanted.nano_cpus:
        period = 100_000
        quota = wanted.nano_cpus * period // 1_000_000_000
    return oci.Resources(
        devices=_device_rules(wanted),
        memory=_memory(wanted, host),
        cpu=_unless_empty(
            oci.Cpu(
                shares=wanted.cpu_shares or None,
                quota=quota or None,
                period=period or None,
                cpus=wanted.cpuset_cpus,
                mems=wanted.cpuset_mems,
            ),
            oci.Cpu(),
        ),
        pids=oci.Pids(limit=wanted.pids_limit) if wanted.pids_limit else None,
        block_io=oci.BlockIO(weight=wanted.blkio_weight) if wanted.blkio_weight else None,
    )


def _memory(wanted: SpecInput, host: SpecHost) -> oci.Memory | None:
    swap = wanted.memory_swap
    if wanted.memory and not swap:
        swap = 2 * wanted.memory  # Docker's default: as much swap as memory
    return _unless_empty(
        oci.Memory(
            limit=wanted.memory or None,
            reservation=wanted.memory_reservation or None,
            swap=(swap or None) if host.cgroup.swap else None,
            swappiness=wanted.memory_swappiness if host.cgroup.version == 1 else None,
            disable_oom_killer=True if wanted.oom_kill_disable and host.cgroup.version == 1 else None,
        ),
        oci.Memory(),
    )


def _unless_empty(value: T, empty: T) -> T | None:
    return None if value == empty else value


def _device_rules(wanted: SpecInput) -> tuple[oci.DeviceRule, ...]:
    if wanted.privileged:
        return (oci.DeviceRule(allow=True, access="rwm"),)
    return (
        oci.DeviceRule(allow=False, access="rwm"),
        # Nodes may be made (mknod is among the default capabilities), though not opened.
        oci.DeviceRule(allow=True, access="m", type="c"),
        oci.DeviceRule(allow=True, access="m", type="b"),
        *(
            oci.DeviceRule(allow=True, access="rwm", type="c", major=major, minor=minor)
            for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None))
        ),
        *(
            oci.DeviceRule(allow=True, access=wanted.device_access, type=node.type, major=node.major, minor=node.minor)
            for node in wanted.devices
        ),
        *wanted.device_rules,
    )


def _mounts(wanted: SpecInput) -> tuple[oci.Mount, ...]:
    """The default mounts that nothing of the user's stands in for, then the user's, outer before inner."""
    rw = "rw" if wanted.privileged else "ro"
    default = (
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", rw),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", rw, "nosuid", "noexec", "nodev"),
        *_ipc_mounts(wanted),
    )
    own = list(wanted.mounts)
    if wanted.init_path:
        own.append(_mount(_INIT, "bind", wanted.init_path, "bind", "ro"))
    own.sort(key=lambda mount: mount.destination.rstrip("/").count("/"))
    taken = {mount.destination.rstrip("/") for mount in own}
    return (*(mount for mount in default if mount.destination not in taken), *own)


def _ipc_mounts(wanted: SpecInput) -> tuple[oci.Mount, ...]:
    """Message queues are the IPC namespace's by themselves. Shared memory is a mount: the host's with the host's
    namespace; with another container's, the caller mounts that one's /dev/shm."""
    queues = _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev")
    if wanted.namespaces.ipc == HOST:
        return (queues, _mount("/dev/shm", "bind", "/dev/shm", "rbind", "rw"))
    size = f"size={wanted.shm_size}"
    return (queues, _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", size))


def _mount(destination: str, kind: str, source: str, *options: str) -> oci.Mount:
    return oci.Mount(destination=destination, type=kind, source=source, options=options)


def _propagation(mounts: tuple[oci.Mount, ...]) -> str:
    """A bind that shall see or show later mounts needs the rootfs to let them through."""
    options = {option for mount in mounts for option in mount.options}
    if options & {"shared", "rshared"}:
        return "shared"
    return "slave" if options & {"slave", "rslave"} else ""
