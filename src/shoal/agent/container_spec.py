"""From a task to the container that it is: the engine's terms for SwarmKit's. Pure."""

from shoal.objects.container import (
    ContainerConfig,
    EndpointIPAMConfig,
    EndpointSettings,
    HostConfig,
    LogConfig,
    PortBinding,
    UlimitConfig,
)
from shoal.objects.network import NODE_NETWORKS
from shoal.objects.service import ContainerSpec, Mount
from shoal.objects.task import Task
from shoal.objects.template import expand

_LABEL = "com.docker.swarm."


def container_config(task: Task) -> ContainerConfig:
    """What does not depend on the machine. Docker's labels say whose container it is."""
    spec = task.spec.container_spec or ContainerSpec()
    grace = spec.stop_grace_period
    return ContainerConfig(
        image=spec.image or "",
        hostname=expand(spec.hostname or "", task),
        user=spec.user or "",
        env=[expand(entry, task) for entry in spec.env or []] or None,
        entrypoint=spec.command,
        cmd=spec.args,
        working_dir=spec.dir or "",
        tty=bool(spec.tty),
        open_stdin=bool(spec.open_stdin),
        stop_signal=spec.stop_signal,
        stop_timeout=None if grace is None else max(round(grace / 1e9), 0),
        healthcheck=spec.healthcheck,
        exposed_ports={
            f"{port.target_port}/{port.protocol or 'tcp'}": {}
            for port in (task.endpoint.ports if task.endpoint else None) or []
        }
        or None,
        labels={
            **(spec.labels or {}),
            f"{_LABEL}node.id": task.node_id or "",
            f"{_LABEL}service.id": task.service_id or "",
            f"{_LABEL}service.name": task.service_name or "",
            f"{_LABEL}task": "",
            f"{_LABEL}task.id": task.id,
            f"{_LABEL}task.name": task.full_name,
        },
    )


def host_config(task: Task) -> HostConfig:
    """What depends on the machine: limits, mounts, ports of the node's own."""
    spec = task.spec.container_spec or ContainerSpec()
    limits = task.spec.resources.limits if task.spec.resources else None
    reserved = task.spec.resources.reservations if task.spec.resources else None
    dns, driver = spec.dns_config, task.spec.log_driver
    return HostConfig(
        network_mode=_mode(task),
        port_bindings=_host_ports(task),
        mounts=[_expanded(mount, task) for mount in spec.mounts or []] or None,
        readonly_rootfs=bool(spec.read_only),
        dns=dns.nameservers if dns else None,
        dns_search=dns.search if dns else None,
        dns_options=dns.options if dns else None,
        extra_hosts=[_host(entry) for entry in spec.hosts or []] or None,
        group_add=spec.groups,
        init=spec.init,
        sysctls=spec.sysctls,
        cap_add=spec.capability_add,
        cap_drop=spec.capability_drop,
        ulimits=[UlimitConfig(name=u.name, soft=u.soft, hard=u.hard) for u in spec.ulimits or []] or None,
        oom_score_adj=spec.oom_score_adj or 0,
        nano_cpus=(limits.nano_cpus if limits else None) or 0,
        memory=(limits.memory_bytes if limits else None) or 0,
        pids_limit=limits.pids if limits else None,
        memory_reservation=(reserved.memory_bytes if reserved else None) or 0,
        log_config=LogConfig(type=driver.name or "json-file", config=driver.options or {}) if driver else LogConfig(),
    )


def network_settings(task: Task) -> dict[str, EndpointSettings]:
    """The networks by name, in the order of the attachments, with the addresses that the allocator gave."""
    settings: dict[str, EndpointSettings] = {}
    for attachment in task.networks_attachments or []:
        addresses = attachment.addresses or []
        settings[attachment.network.name] = EndpointSettings(
            network_id=attachment.network.id,
            aliases=attachment.aliases,
            ipam_config=EndpointIPAMConfig(
                ipv4_address=next((a for a in addresses if ":" not in a), None),
                ipv6_address=next((a for a in addresses if ":" in a), None),
            ),
        )
    return settings


def _mode(task: Task) -> str:
    """The first of the swarm's networks, else the node's own one that was asked for, else docker's default bridge."""
    attachments = task.networks_attachments or []
    own = next((config.target for config in task.spec.networks or [] if config.target in NODE_NETWORKS), "bridge")
    return attachments[0].network.name if attachments else own


def _host_ports(task: Task) -> dict[str, list[PortBinding] | None] | None:
    bindings: dict[str, list[PortBinding] | None] = {}
    for port in (task.endpoint.ports if task.endpoint else None) or []:
        if not port.is_ingress:
            key = f"{port.target_port}/{port.protocol or 'tcp'}"
            found = bindings.setdefault(key, [])
            assert found is not None
            found.append(PortBinding(host_port=str(port.published_port or "")))
    return bindings or None


def _host(entry: str) -> str:
    """``IP name [alias…]`` as services have it, as ``name:IP``."""
    words = entry.split()
    return f"{words[1]}:{words[0]}" if len(words) > 1 else entry


def _expanded(mount: Mount, task: Task) -> Mount:
    return Mount(
        type=mount.type,
        source=expand(mount.source or "", task) or None,
        target=expand(mount.target or "", task),
        read_only=mount.read_only,
        bind_options=mount.bind_options,
        volume_options=mount.volume_options,
        tmpfs_options=mount.tmpfs_options,
    )
