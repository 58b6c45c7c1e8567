"""Linux capabilities as ``docker run`` speaks of them: a default set, ``--cap-add``, ``--cap-drop``, ``ALL``. Pure."""

from collections.abc import Iterable

from shoal.errors import InvalidArgument

# Numbered by position, as in <linux/capability.h>.
ALL = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
        "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
        "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
        "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON "
        "BPF CHECKPOINT_RESTORE"
    ).split()
)

# Docker's fourteen (Engine reference, "Runtime privilege and Linux capabilities").
DEFAULT = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
        "AUDIT_WRITE"
    ).split()
)


def in_mask(mask: int) -> tuple[str, ...]:
    """The names of a set as ``/proc/<pid>/status`` shows it."""
    return tuple(name for number, name in enumerate(ALL) if mask >> number & 1)


def granted(*, add: Iterable[str], drop: Iterable[str], privileged: bool, host: tuple[str, ...]) -> tuple[str, ...]:
    """The capabilities a container gets, in the kernel's order. Raises InvalidArgument for names that do not exist, or
    are to be added and the ``host`` does not have them to give.

    ``drop`` wins over ``add`` where both have the same name; ALL in either stands for the rest, as in Docker.
    """
    if privileged:
        return host
    adding, dropping = _named(add), _named(drop)
    chosen = set(host) if "ALL" in adding else set() if "ALL" in dropping else set(DEFAULT)
    if missing := sorted(adding - {"ALL"} - set(host)):
        raise InvalidArgument(
            f'invalid capability: "{missing[0]}" is not supported by your kernel or not available here'
        )
    chosen |= adding - {"ALL"}
    chosen -= dropping
    return tuple(name for name in host if name in chosen)


def _named(names: Iterable[str]) -> set[str]:
    return {_normal(name) for name in names}


def _normal(name: str) -> str:
    upper = name.upper()
    if upper == "ALL":
        return upper
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in ALL:
        raise InvalidArgument(f'invalid capability: "{name}"')
    return full
