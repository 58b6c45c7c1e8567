"""From a container's record to the OCI specification that the runtime gets."""

from collections.abc import Sequence
from pathlib import Path

from shoal.container import devices, oci
from shoal.container.ocispec import HOST, PRIVATE, Namespaces, SpecInput
from shoal.container.user import ResolvedUser
from shoal.errors import InvalidArgument
from shoal.objects.container import Container, HostConfig


def cgroup_path(container: Container, parent: str) -> str:
    """Where the container's cgroup is in the hierarchy; ``parent`` is the daemon's, for one that names none."""
    return f"{(container.host_config.cgroup_parent or parent).rstrip('/')}/{container.id}"


def spec_input(
    container: Container,
    *,
    user: ResolvedUser,
    network: str,
    mounts: Sequence[oci.Mount],
    pid_of: dict[str, int],
    cgroup_parent: str,
) -> SpecInput:
    """What the runtime is to make. ``network`` is the path of the sandbox's namespace, or ``host``; ``pid_of`` has the
    pids of containers whose namespaces are shared. Raises InvalidArgument for what cannot be."""
    config, host = container.config, container.host_config
    security = _security(host)
    return SpecInput(
        args=(container.path, *container.args),
        cgroup_path=cgroup_path(container, cgroup_parent),
        env=environment(container, user),
        cwd=config.working_dir or "/",
        user=user.user,
        hostname=config.hostname,
        domainname=config.domainname,
        tty=config.tty,
        console_size=(host.console_size[0], host.console_size[1]) if any(host.console_size) else None,
        readonly_rootfs=host.readonly_rootfs,
        mounts=tuple(mounts),
        shm_size=host.shm_size,
        cap_add=tuple(host.cap_add or ()),
        cap_drop=tuple(host.cap_drop or ()),
        privileged=host.privileged,
        devices=_devices(host),
        device_rules=_device_rules(host),
        masked_paths=None if host.masked_paths is None else tuple(host.masked_paths),
        readonly_paths=None if host.readonly_paths is None else tuple(host.readonly_paths),
        sysctls=host.sysctls or {},
        ulimits=tuple(
            oci.Rlimit(type=f"RLIMIT_{limit.name.upper()}", soft=limit.soft, hard=limit.hard)
            for limit in host.ulimits or ()
        ),
        memory=host.memory,
        memory_reservation=host.memory_reservation,
        memory_swap=host.memory_swap,
        memory_swappiness=host.memory_swappiness if host.memory_swappiness != -1 else None,
        oom_kill_disable=bool(host.oom_kill_disable),
        cpu_shares=host.cpu_shares,
        cpu_period=host.cpu_period,
        cpu_quota=host.cpu_quota,
        nano_cpus=host.nano_cpus,
        cpuset_cpus=host.cpuset_cpus,
        cpuset_mems=host.cpuset_mems,
        pids_limit=host.pids_limit or 0,
        blkio_weight=host.blkio_weight,
        namespaces=Namespaces(
            network=network,
            pid=_namespace(host.pid_mode, "pid", pid_of),
            ipc=_namespace(host.ipc_mode, "ipc", pid_of),
            uts=HOST if host.uts_mode == "host" else PRIVATE,
            cgroup={"host": HOST, "private": PRIVATE}.get(host.cgroupns_mode),
        ),
        oom_score_adj=host.oom_score_adj,
        no_new_privileges="no-new-privileges" in security,
        seccomp="seccomp=unconfined" not in security,
        annotations=host.annotations or {},
    )


def environment(container: Container, user: ResolvedUser) -> tuple[str, ...]:
    """The process's variables: HOSTNAME and HOME as Docker adds them, and what was configured."""
    given = container.config.env or []
    names = {entry.partition("=")[0] for entry in given}
    added = [f"HOSTNAME={container.config.hostname}"] if "HOSTNAME" not in names else []
    if "HOME" not in names:
        added.append(f"HOME={user.home}")
    return (*given, *added)


def _security(host: HostConfig) -> set[str]:
    known = {"no-new-privileges", "seccomp=unconfined"}
    found: set[str] = set()
    for option in host.security_opt or ():
        text = option.replace(":", "=", 1)
        text = "no-new-privileges" if text in ("no-new-privileges=true",) else text
        if text.startswith(("label=", "apparmor=", "systempaths=")) or text == "no-new-privileges=false":
            continue
        if text not in known:
            raise InvalidArgument(
                f"invalid --security-opt 2: {option!r}: only no-new-privileges and seccomp=unconfined"
            )
        found.add(text)
    return found


def _namespace(mode: str, kind: str, pid_of: dict[str, int]) -> str:
    if mode == "host":
        return HOST
    if mode.startswith("container:"):
        return f"/proc/{pid_of[mode.partition(':')[2]]}/ns/{kind}"
    return PRIVATE


def _devices(host: HostConfig) -> tuple[oci.Device, ...]:
    if host.privileged:
        return devices.every()
    found: list[oci.Device] = []
    for device in host.devices or ():
        found += devices.tree(Path(device.path_on_host), device.path_in_container or device.path_on_host)
    return tuple(found)


def _device_rules(host: HostConfig) -> tuple[oci.DeviceRule, ...]:
    rules: list[oci.DeviceRule] = []
    for text in host.device_cgroup_rules or ():
        try:
            kind, numbers, access = text.split()
            major, minor = (None if part == "*" else int(part) for part in numbers.split(":"))
        except ValueError as error:
            raise InvalidArgument(f"invalid device cgroup rule format: '{text}'") from error
        rules.append(oci.DeviceRule(allow=True, type=kind, major=major, minor=minor, access=access))
    return tuple(rules)
