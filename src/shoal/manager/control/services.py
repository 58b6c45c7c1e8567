"""Creating, updating, listing and removing services."""

from collections.abc import Iterable

from msgspec.structs import replace

from shoal.errors import InvalidArgument, NotFound
from shoal.manager.control import service_spec
from shoal.manager.control.refusals import exists, invalid, out_of_sequence, unimplemented
from shoal.manager.control.resolve import resolve
from shoal.objects.ids import ServiceId, swarm_id
from shoal.objects.meta import Version
from shoal.objects.network import NODE_NETWORKS, Network, NetworkAttachmentConfig
from shoal.objects.node import Node
from shoal.objects.randomname import random_name
from shoal.objects.secret import Config, Secret
from shoal.objects.service import ContainerSpec, PortConfig, Service, ServiceSpec, ServiceStatus, UpdateStatus
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task
from shoal.store.store import Store
from shoal.store.tx import Tx, View


class ServiceControl:
    """The API's hand on services."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, *, status: bool = False) -> list[Service]:
        """Every service, with the numbers of its tasks if asked for."""
        view = self._store.view
        found = view.all(Service)
        return [replace(s, service_status=service_status(view, s)) for s in found] if status else found

    def get(self, text: str) -> Service:
        """The service meant by an id, a name or the beginning of an id."""
        return resolve(self._store.view, Service, text)

    async def create(self, spec: ServiceSpec) -> Service:
        """A new service; one without a name is given one. Raises InvalidArgument, NotFound (a network, secret or
        config) or Conflict."""
        if not spec.name:
            spec = replace(spec, name=random_name(self._is_taken))
        service_spec.validate(spec)

        def change(tx: Tx) -> Service:
            resolved = _resolved(tx, spec)
            if tx.by_name(Service, spec.name) is not None:
                raise exists(f"name conflicts with an existing object: service {spec.name} already exists")
            check_ports(tx.all(Service), spec, None)
            service = Service(
                id=ServiceId(swarm_id()), spec=resolved, spec_version=Version(index=self._store.revision + 1)
            )
            tx.create(service)
            return service

        return await self._store.update(change)

    def _is_taken(self, name: str) -> bool:
        return self._store.view.by_name(Service, name) is not None

    async def update(self, text: str, spec: ServiceSpec, version: int, *, rollback: bool = False) -> None:
        """Replace the service's spec, or with ``rollback`` go back to the one before."""
        if not rollback:
            service_spec.validate(spec)

        def change(tx: Tx) -> None:
            service = resolve(tx, Service, text)
            if service.version.index != version:
                raise out_of_sequence()
            wanted = spec
            if rollback:
                if service.previous_spec is None:
                    raise InvalidArgument(
                        "rpc error: code = FailedPrecondition desc = service "
                        f"{service.id} does not have a previous spec"
                    )
                wanted = service.previous_spec
            resolved = _resolved(tx, wanted)
            if resolved.name != service.spec.name:
                raise unimplemented("renaming services is not supported")
            if service_spec.mode_word(resolved) != service_spec.mode_word(service.spec):
                raise unimplemented("service mode change is not allowed")
            check_ports((s for s in tx.all(Service) if s.id != service.id), resolved, service)
            tx.update(
                replace(
                    service,
                    spec=resolved,
                    previous_spec=service.spec if not rollback else None,
                    spec_version=Version(index=self._store.revision + 1),
                    update_status=UpdateStatus(state="rollback_started") if rollback else None,
                )
            )

        await self._store.update(change)

    async def remove(self, text: str) -> Service:
        """Remove a service; its tasks are stopped and go after it."""

        def change(tx: Tx) -> Service:
            service = resolve(tx, Service, text)
            tx.delete(service)
            return service

        return await self._store.update(change)


def service_status(view: View, service: Service) -> ServiceStatus:
    """How many tasks run, and how many should."""
    tasks = view.tasks_of_service(service.id)
    running = sum(t.state == TaskState.RUNNING and t.desired == TaskState.RUNNING for t in tasks)
    completed = sum(t.state == TaskState.COMPLETE for t in tasks)
    desired = service.spec.replicas
    if service.spec.is_global:
        desired = sum(t.desired <= TaskState.RUNNING and not is_terminal(t.state) and _is_up(view, t) for t in tasks)
    return ServiceStatus(running_tasks=running, desired_tasks=desired, completed_tasks=completed)


def _is_up(view: View, task: Task) -> bool:
    node = view.get(Node, task.node_id) if task.node_id else None
    return node is None or node.status.state != "down"


def check_ports(others: Iterable[Service], spec: ServiceSpec, own: Service | None) -> None:
    """Raises InvalidArgument, in Docker's words, for a published port that another service has."""
    wanted = [p for p in (spec.endpoint_spec.ports if spec.endpoint_spec else None) or [] if p.published_port]
    for other in others:
        # What the user asked of the other service, and what it was given beyond that.
        asked = (other.spec.endpoint_spec.ports if other.spec.endpoint_spec else None) or []
        for port in wanted:
            for theirs in [*asked, *(other.endpoint.ports or [])]:
                _check_port(port, theirs, other)


def _check_port(port: PortConfig, theirs: PortConfig, other: Service) -> None:
    same = theirs.published_port == port.published_port
    if not same or (theirs.protocol or "tcp") != (port.protocol or "tcp"):
        return
    # Two services may share a port of the nodes' own: the scheduler keeps them on different nodes.
    if not port.is_ingress and not theirs.is_ingress:
        return
    kind = "an ingress port" if theirs.is_ingress else "a host-published port"
    raise invalid(f"port '{port.published_port}' is already in use by service '{other.name}' ({other.id}) as {kind}")


def _resolved(view: View, spec: ServiceSpec) -> ServiceSpec:
    """The spec with networks by their ids. Raises for what it refers to and is not there."""
    template = spec.task_template
    container = template.container_spec or ContainerSpec()
    for secret in container.secrets or []:
        if view.get(Secret, secret.secret_id) is None:
            raise invalid(f"secret not found: {secret.secret_name}")
    for config in container.configs or []:
        if config.runtime is None and view.get(Config, config.config_id) is None:
            raise invalid(f"config not found: {config.config_name}")
    resolved = replace(
        spec,
        task_template=replace(template, networks=_targets(view, template.networks)),
        networks=_targets(view, spec.networks),
    )
    return resolved


def _targets(view: View, configs: list[NetworkAttachmentConfig] | None) -> list[NetworkAttachmentConfig] | None:
    if configs is None:
        return None
    resolved: list[NetworkAttachmentConfig] = []
    for config in configs:
        if config.target in NODE_NETWORKS:
            resolved.append(config)
            continue
        try:
            network = resolve(view, Network, config.target)
        except NotFound as error:
            raise NotFound(f"network {config.target} not found") from error
        if network.is_ingress:
            raise invalid('Service cannot be explicitly attached to the ingress network "ingress"')
        resolved.append(replace(config, target=network.id))
    return resolved
