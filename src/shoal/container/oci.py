"""The OCI runtime specification's objects (config.md, config-linux.md, 1.0.2), as far as Shoal uses them.

Sent to runc as JSON, in which what has its default value is left out; ``None`` is "not said".
"""

import msgspec


class _Struct(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    pass


class User(_Struct, frozen=True, kw_only=True):
    """Whom a process runs as; numbers only, names are resolved by :mod:`shoal.container.user`."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()


class Capabilities(_Struct, frozen=True, kw_only=True):
    """The five sets; names with ``CAP_``."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


class Rlimit(_Struct, frozen=True, kw_only=True):
    """``type`` is ``RLIMIT_NOFILE`` and the like."""

    type: str
    hard: int
    soft: int


class ConsoleSize(_Struct, frozen=True, kw_only=True):
    """In characters."""

    height: int
    width: int


class Process(_Struct, frozen=True, kw_only=True):
    """A process in a container: its first one, or an exec's."""

    args: tuple[str, ...]
    cwd: str
    user: User = msgspec.field(default_factory=User)
    env: tuple[str, ...] = ()
    terminal: bool = False
    console_size: ConsoleSize | None = None
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None


class Root(_Struct, frozen=True, kw_only=True):
    """``path`` is relative to the bundle."""

    path: str
    readonly: bool = False


class Mount(_Struct, frozen=True, kw_only=True):
    """A mount in the container; ``options`` as mount(8) has them, and runc's own (``rbind``, ``rprivate``)."""

    destination: str
    type: str
    source: str
    options: tuple[str, ...] = ()


class Namespace(_Struct, frozen=True, kw_only=True):
    """A new namespace, or with ``path`` an existing one."""

    type: str
    path: str = ""


class Device(_Struct, frozen=True, kw_only=True):
    """A device node to make; ``type`` is ``c``, ``b`` or ``p``."""

    path: str
    type: str
    major: int
    minor: int
    file_mode: int = 0o666
    uid: int = 0
    gid: int = 0


class DeviceRule(_Struct, frozen=True, kw_only=True):
    """A rule of the devices cgroup; ``None`` stands for every number."""

    allow: bool
    access: str
    type: str = "a"
    major: int | None = None
    minor: int | None = None


class Memory(_Struct, frozen=True, kw_only=True):
    """Bytes; ``swap`` is memory and swap together; -1 is unlimited."""

    limit: int | None = None
    reservation: int | None = None
    swap: int | None = None
    swappiness: int | None = None
    disable_oom_killer: bool | None = msgspec.field(default=None, name="disableOOMKiller")


class Cpu(_Struct, frozen=True, kw_only=True):
    """``quota`` and ``period`` in microseconds."""

    shares: int | None = None
    quota: int | None = None
    period: int | None = None
    cpus: str = ""
    mems: str = ""


class Pids(_Struct, frozen=True, kw_only=True):
    """-1 is unlimited."""

    limit: int


class BlockIO(_Struct, frozen=True, kw_only=True):
    """10 to 1000."""

    weight: int


class Resources(_Struct, frozen=True, kw_only=True):
    """What the container's cgroup limits."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = msgspec.field(default=None, name="blockIO")


class SeccompArg(_Struct, frozen=True, kw_only=True):
    """A condition on a system call's argument; for ``SCMP_CMP_MASKED_EQ`` ``value`` is the mask."""

    index: int
    value: int
    op: str
    value_two: int = 0


class SeccompRule(_Struct, frozen=True, kw_only=True):
    """What happens to the calls named ``names`` when all ``args`` hold."""

    names: tuple[str, ...]
    action: str
    errno_ret: int | None = None
    args: tuple[SeccompArg, ...] = ()


class Seccomp(_Struct, frozen=True, kw_only=True):
    """A filter of system calls."""

    default_action: str
    architectures: tuple[str, ...] = ()
    syscalls: tuple[SeccompRule, ...] = ()


class Linux(_Struct, frozen=True, kw_only=True):
    """What only Linux has."""

    namespaces: tuple[Namespace, ...]
    cgroups_path: str
    resources: Resources
    devices: tuple[Device, ...] = ()
    sysctl: dict[str, str] = {}
    seccomp: Seccomp | None = None
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    rootfs_propagation: str = ""


class OciSpec(_Struct, frozen=True, kw_only=True):
    """A whole ``config.json``."""

    oci_version: str
    process: Process
    root: Root
    linux: Linux
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    annotations: dict[str, str] = {}
