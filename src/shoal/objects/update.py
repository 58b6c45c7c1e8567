"""Changing a container's limits while it lives (Engine API, ContainerUpdate)."""

from shoal.objects.container import Pascal, RestartPolicyConfig


class UpdateConfig(Pascal, frozen=True):
    """What shall change; zero, empty and None leave as it is. Memory in bytes, CPU periods in µs."""

    cpu_shares: int = 0
    memory: int = 0
    nano_cpus: int = 0
    blkio_weight: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_realtime_period: int = 0
    cpu_realtime_runtime: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory_reservation: int = 0
    memory_swap: int = 0
    pids_limit: int | None = None
    restart_policy: RestartPolicyConfig | None = None
