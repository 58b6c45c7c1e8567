"""What a service's spec must be like, whatever else there is: pure checks, in SwarmKit's words."""

import re
from collections import Counter

from shoal.errors import InvalidArgument
from shoal.manager.control.names import validate_name
from shoal.manager.control.refusals import invalid
from shoal.objects.base import check_texts
from shoal.objects.constraint import parse
from shoal.objects.service import (
    ContainerSpec,
    EndpointSpec,
    Resources,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)

# The distribution project's grammar of references: an optional domain, a path in lower case, a tag, a digest.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:{_DOMAIN}/)?{_PART}(?:/{_PART})*(?::[\w][\w.-]{{0,127}})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?\Z",
    re.ASCII,
)
# Each task takes room in the store, whether or not a node has room for it.
_MAX_REPLICAS = 100_000
_MIN_CPUS = 1_000_000
_MIN_MEMORY = 4 * 1024 * 1024


def validate(spec: ServiceSpec) -> None:
    """Raises InvalidArgument with the first thing that is wrong."""
    check_texts(spec)
    validate_name(spec.name)
    _task(spec.task_template)
    _mode(spec)
    for config in (spec.update_config, spec.rollback_config):
        if config is not None:
            _update(config)
    if spec.endpoint_spec is not None:
        _endpoint(spec.endpoint_spec)
    if spec.task_template.networks and spec.networks:
        raise InvalidArgument("cannot use both Networks and TaskTemplate.Networks")


def mode_word(spec: ServiceSpec) -> str:
    """replicated, global, replicated-job or global-job."""
    mode = spec.mode
    if mode is None or mode.replicated is not None:
        return "replicated"
    if mode.global_ is not None:
        return "global"
    return "replicated-job" if mode.replicated_job is not None else "global-job"


def _mode(spec: ServiceSpec) -> None:
    mode = spec.mode
    if mode is None:
        return
    chosen = [m for m in (mode.replicated, mode.global_, mode.replicated_job, mode.global_job) if m is not None]
    if len(chosen) > 1:
        raise InvalidArgument("must specify only one service mode")
    if mode.replicated_job is not None or mode.global_job is not None:
        raise invalid("jobs are not supported yet: use a service with --restart-condition none")
    if mode.replicated is not None and (mode.replicated.replicas or 0) < 0:
        raise invalid("Number of replicas must be non-negative")
    if spec.replicas > _MAX_REPLICAS:
        raise invalid(f"Number of replicas must be at most {_MAX_REPLICAS}, and is {spec.replicas}")


def _task(task: TaskSpec) -> None:
    if task.resources is not None:
        for resources in (task.resources.limits, task.resources.reservations):
            if resources is not None:
                _resources(resources)
    if task.restart_policy is not None:
        _restart(task.restart_policy)
    if task.placement is not None:
        try:
            parse(task.placement.constraints or [])
        except InvalidArgument as error:
            raise InvalidArgument(f"rpc error: code = Unknown desc = {error}") from error
    if task.plugin_spec is not None or task.runtime == "plugin":
        raise invalid("plugin services are not supported")
    if task.container_spec is None:
        raise invalid("TaskSpec: missing runtime")
    _container(task.container_spec)


def _container(container: ContainerSpec) -> None:
    if not container.image:
        raise invalid("ContainerSpec: image reference must be provided")
    if not _IMAGE.match(container.image):
        raise invalid(f'ContainerSpec: "{container.image}" is not a valid repository/tag')
    targets = Counter(mount.target for mount in container.mounts or [])
    for target, count in targets.items():
        if count > 1:
            raise invalid(f"ContainerSpec: duplicate mount point: {target}")
    check = container.healthcheck
    if check is not None:
        for name, value in (
            ("Interval", check.interval),
            ("Timeout", check.timeout),
            ("StartPeriod", check.start_period),
        ):
            if value and value < 1_000_000:
                raise invalid(f"ContainerSpec: {name} in HealthConfig cannot be less than 1ms")
        if (check.retries or 0) < 0:
            raise invalid("ContainerSpec: Retries in HealthConfig cannot be negative")


def _resources(resources: Resources) -> None:
    if resources.nano_cpus and resources.nano_cpus < _MIN_CPUS:
        raise invalid(f"invalid cpu value {resources.nano_cpus / 1e9:g}: Must be at least {_MIN_CPUS / 1e9:g}")
    if resources.memory_bytes and resources.memory_bytes < _MIN_MEMORY:
        raise invalid(f"invalid memory value {resources.memory_bytes}: Must be at least 4MiB")


def _restart(policy: RestartPolicy) -> None:
    if policy.condition not in (None, "", "none", "on-failure", "any"):
        raise InvalidArgument(f'invalid RestartCondition: "{policy.condition}"')
    if (policy.delay or 0) < 0:
        raise invalid("TaskSpec: restart-delay cannot be negative")
    if (policy.window or 0) < 0:
        raise invalid("TaskSpec: restart-window cannot be negative")


def _update(config: UpdateConfig) -> None:
    if (config.parallelism or 0) < 0:
        raise invalid("TaskSpec: update-parallelism cannot be negative")
    if (config.delay or 0) < 0:
        raise invalid("TaskSpec: update-delay cannot be negative")
    if (config.monitor or 0) < 0:
        raise invalid("TaskSpec: update-monitor cannot be negative")
    if not 0 <= (config.max_failure_ratio or 0) <= 1:
        raise invalid("TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")
    if config.failure_action not in (None, "", "pause", "continue", "rollback"):
        raise InvalidArgument(f"unrecognized update failure action {config.failure_action}")
    if config.order not in (None, "", "stop-first", "start-first"):
        raise InvalidArgument(f"unrecognized update order {config.order}")


def _endpoint(endpoint: EndpointSpec) -> None:
    if endpoint.mode not in (None, "", "vip", "dnsrr"):
        raise InvalidArgument(f'invalid resolution mode: "{endpoint.mode}"')
    seen: set[tuple[str, int, bool]] = set()
    for port in endpoint.ports or []:
        if (port.protocol or "tcp") not in ("tcp", "udp", "sctp"):
            raise InvalidArgument(f'invalid protocol value "{port.protocol}"')
        if not 1 <= (port.target_port or 0) <= 65535:
            raise invalid(f"EndpointSpec: target port {port.target_port or 0} is not between 1 and 65535")
        if not 0 <= (port.published_port or 0) <= 65535:
            raise invalid(f"EndpointSpec: published port {port.published_port} is not between 1 and 65535")
        if endpoint.mode == "dnsrr" and port.is_ingress:
            raise invalid("EndpointSpec: port published with ingress mode can't be used with dnsrr mode")
        key = (port.protocol or "tcp", port.published_port or 0, port.is_ingress)
        if key[1] and key in seen:
            raise invalid("EndpointSpec: duplicate published ports provided")
        seen.add(key)
