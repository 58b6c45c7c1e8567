"""The swarm's objects as clients are shown them.

Left out is what only the manager's stations need (a task's endpoint, a node's place on the mesh, the swarm's keys);
filled in is what dockerd fills in of a spec, so that clients that rely on it find it. The stored spec stays the
user's.
"""

from typing import Final

from msgspec.structs import replace

from shoal.objects.cluster import Cluster, ClusterSpec
from shoal.objects.defaults import RESTART_DELAY, STOP_GRACE, UPDATE
from shoal.objects.node import Node
from shoal.objects.service import (
    EndpointSpec,
    Placement,
    ReplicatedService,
    ResourceRequirements,
    RestartPolicy,
    Service,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)
from shoal.objects.task import Task
from shoal.wire.docker.services import ServiceAnswer, TaskAnswer, TaskStatusAnswer
from shoal.wire.docker.swarm import ClusterInfo, Swarm

_SECOND: Final = 1_000_000_000


def cluster_info(cluster: Cluster) -> ClusterInfo:
    """The swarm for ``/info``."""
    return ClusterInfo(
        id=cluster.id,
        version=cluster.version,
        created_at=cluster.created_at,
        updated_at=cluster.updated_at,
        spec=_without_keys(cluster),
        tls_info=cluster.tls_info,
        root_rotation_in_progress=cluster.rotation is not None,
        default_addr_pool=cluster.default_addr_pool,
        subnet_size=cluster.subnet_size,
        data_path_port=cluster.data_path_port,
    )


def swarm_answer(cluster: Cluster) -> Swarm:
    """The swarm for managers' clients."""
    info = cluster_info(cluster)
    return Swarm(**{name: getattr(info, name) for name in info.__struct_fields__}, join_tokens=cluster.join_tokens)


def _without_keys(cluster: Cluster) -> ClusterSpec:
    ca = replace(cluster.spec.ca_config, signing_ca_cert=None, signing_ca_key=None)
    return replace(cluster.spec, ca_config=ca)


def node_answer(node: Node) -> Node:
    """A node for clients; its labels are there even when there are none."""
    return replace(
        node, spec=replace(node.spec, labels=node.spec.labels or {}), attachment=None, underlay_mtu=0, rotation=0
    )


def task_answer(task: Task) -> TaskAnswer:
    """A task for clients."""
    status = task.status
    return TaskAnswer(
        id=task.id,
        version=task.version,
        created_at=task.created_at,
        updated_at=task.updated_at,
        name=task.name,
        labels=task.labels or {},
        spec=replace(task.spec, force_update=task.spec.force_update or 0),
        service_id=task.service_id,
        slot=task.slot,
        node_id=task.node_id,
        status=TaskStatusAnswer(
            timestamp=status.timestamp,
            state=status.state,
            message=status.message,
            err=status.err,
            container_status=status.container_status,
            port_status=status.port_status,
        ),
        desired_state=task.desired_state,
        networks_attachments=task.networks_attachments,
        job_iteration=task.job_iteration,
    )


def service_answer(service: Service, *, insert_defaults: bool = False) -> ServiceAnswer:
    """A service for clients; with ``insert_defaults`` its spec says what applies where the user said nothing."""
    fill = _with_defaults if insert_defaults else _filled
    return ServiceAnswer(
        id=service.id,
        version=service.version,
        created_at=service.created_at,
        updated_at=service.updated_at,
        spec=fill(service.spec),
        previous_spec=_filled(service.previous_spec) if service.previous_spec else None,
        endpoint=service.endpoint,
        update_status=service.update_status,
        service_status=service.service_status,
    )


def _filled(spec: ServiceSpec) -> ServiceSpec:
    """What dockerd fills in whatever the user has sent."""
    template = spec.task_template
    container = template.container_spec
    return replace(
        spec,
        labels=spec.labels or {},
        mode=_with_replicas(spec.mode),
        task_template=replace(
            template,
            container_spec=container and replace(container, isolation=container.isolation or "default"),
            force_update=template.force_update or 0,
            runtime=template.runtime or "container",
        ),
    )


def _with_replicas(mode: ServiceMode | None) -> ServiceMode:
    """A replicated service says how many it wants, even if its user did not: clients take it for no mode otherwise."""
    if mode is None:
        return ServiceMode(replicated=ReplicatedService(replicas=1))
    if mode.replicated is not None and mode.replicated.replicas is None:
        return replace(mode, replicated=ReplicatedService(replicas=1))
    return mode


def _with_defaults(spec: ServiceSpec) -> ServiceSpec:
    spec = _filled(spec)
    return replace(
        spec,
        task_template=_template_defaults(spec.task_template),
        update_config=_update_defaults(spec.update_config),
        rollback_config=_update_defaults(spec.rollback_config),
        endpoint_spec=replace(spec.endpoint_spec or EndpointSpec(), mode=_mode_of(spec)),
    )


def _mode_of(spec: ServiceSpec) -> str:
    return (spec.endpoint_spec.mode if spec.endpoint_spec else None) or "vip"


def _template_defaults(template: TaskSpec) -> TaskSpec:
    container, policy = template.container_spec, template.restart_policy or RestartPolicy()
    if container is not None and container.stop_grace_period is None:
        container = replace(container, stop_grace_period=int(STOP_GRACE.total_seconds()) * _SECOND)
    return replace(
        template,
        container_spec=container,
        resources=template.resources or ResourceRequirements(),
        placement=template.placement or Placement(),
        restart_policy=RestartPolicy(
            condition=policy.condition or "any",
            delay=int(RESTART_DELAY.total_seconds()) * _SECOND if policy.delay is None else policy.delay,
            max_attempts=policy.max_attempts or 0,
            window=policy.window,
        ),
    )


def _update_defaults(config: UpdateConfig | None) -> UpdateConfig:
    config = config or UpdateConfig()
    return UpdateConfig(
        parallelism=UPDATE.parallelism if config.parallelism is None else config.parallelism,
        delay=config.delay,
        failure_action=config.failure_action or UPDATE.failure_action,
        monitor=config.monitor or UPDATE.monitor,
        max_failure_ratio=config.max_failure_ratio or 0,
        order=config.order or UPDATE.order,
    )
