"""``docker update``: a container's limits and restart policy, changed while it lives."""

from msgspec.structs import replace

from shoal.container import oci, ocispec, user
from shoal.container.ocispec import SpecHost
from shoal.container.runtime import Runtime
from shoal.engine.create import checked
from shoal.engine.events import Events
from shoal.engine.lifecycle import Lifecycle
from shoal.engine.records import Records
from shoal.engine.spec import spec_input
from shoal.errors import Conflict, InvalidArgument
from shoal.objects.container import Container, HostConfig
from shoal.objects.update import UpdateConfig

_LIMITS = (
    "cpu_shares", "memory", "nano_cpus", "blkio_weight", "cpu_period", "cpu_quota", "cpu_realtime_period",
    "cpu_realtime_runtime", "cpuset_cpus", "cpuset_mems", "memory_reservation", "memory_swap",
)  # fmt: skip


class Updates:
    """``update`` of :class:`shoal.api.backends_containers.ContainerBackend`."""

    def __init__(
        self, *, records: Records, lifecycle: Lifecycle, runtime: Runtime, events: Events, spec_host: SpecHost
    ) -> None:
        self._records = records
        self._lifecycle = lifecycle
        self._runtime = runtime
        self._events = events
        self._spec_host = spec_host

    async def update(self, ref: str, body: UpdateConfig) -> list[str]:
        """Change what ``body`` names; returns warnings. Raises InvalidArgument, Conflict, Internal (the runtime)."""
        key = self._records.get(ref).id
        async with self._lifecycle.lock(key):
            container = self._records.get(key)
            try:
                host = checked(updated(container.host_config, body))
            except InvalidArgument as error:
                raise InvalidArgument(f"Cannot update container {container.id}: {error}") from error
            if body.restart_policy is not None and container.host_config.auto_remove:
                why = "Restart policy cannot be updated because AutoRemove is enabled for the container"
                raise Conflict(f"Cannot update container {container.id}: {why}")
            changed = replace(container, host_config=host)
            if container.is_running and _limits(host) != _limits(container.host_config):
                await self._runtime.update(container.id, self._resources(changed))
            changed = await self._records.put(replace(self._records.get(key), host_config=host))
        self._events.of_container("update", changed)
        return []

    def _resources(self, container: Container) -> oci.Resources:
        shared = {
            mode.partition(":")[2]: 0
            for mode in (container.host_config.pid_mode, container.host_config.ipc_mode)
            if mode.startswith("container:")
        }
        nobody = user.ResolvedUser(oci.User())
        wanted = spec_input(container, user=nobody, network="", mounts=(), pid_of=shared, cgroup_parent="")
        # The device rules are the spec's: they stay as they are.
        return replace(ocispec.resources(wanted, self._spec_host), devices=())


def updated(host: HostConfig, body: UpdateConfig) -> HostConfig:
    """``host`` with what ``body`` gives. Raises InvalidArgument for limits that contradict each other."""
    changes: dict[str, object] = {name: value for name in _LIMITS if (value := getattr(body, name))}
    if body.pids_limit is not None:
        changes["pids_limit"] = body.pids_limit
    if body.restart_policy is not None and body.restart_policy.name:
        changes["restart_policy"] = body.restart_policy
    if (body.nano_cpus and host.cpu_quota) or (body.nano_cpus and host.cpu_period):
        raise InvalidArgument("Conflicting options: Nano CPUs cannot be updated as CPU Quota or Period has been set")
    if (body.cpu_quota or body.cpu_period) and host.nano_cpus:
        raise InvalidArgument("Conflicting options: CPU Quota or Period cannot be updated as NanoCPUs has been set")
    if body.memory and not body.memory_swap and 0 < host.memory_swap < body.memory:
        raise InvalidArgument(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    return replace(host, **changes)


def _limits(host: HostConfig) -> tuple[object, ...]:
    return (*(getattr(host, name) for name in _LIMITS), host.pids_limit)
