"""A container's use of the machine as ``GET /containers/{id}/stats`` sends it: lower case keys, times in ns, bytes.

The rates that clients show are differences to the sample before, which each sample carries along.
"""

import msgspec

from shoal.objects.base import ZERO_TIME, timestamp
from shoal.objects.container import Container
from shoal.objects.results import CgroupUsage, InterfaceCounters, StatsSample


class BlkioEntry(msgspec.Struct, frozen=True):
    major: int
    minor: int
    op: str
    value: int


class BlkioStats(msgspec.Struct, frozen=True, kw_only=True):
    """Only the first two are known; the others are of schedulers that are no more."""

    io_service_bytes_recursive: list[BlkioEntry] | None
    io_serviced_recursive: list[BlkioEntry] | None
    io_queue_recursive: list[BlkioEntry] | None = None
    io_service_time_recursive: list[BlkioEntry] | None = None
    io_wait_time_recursive: list[BlkioEntry] | None = None
    io_merged_recursive: list[BlkioEntry] | None = None
    io_time_recursive: list[BlkioEntry] | None = None
    sectors_recursive: list[BlkioEntry] | None = None


class PidsStats(msgspec.Struct, frozen=True, omit_defaults=True):
    current: int = 0
    limit: int = 0


class CpuUsage(msgspec.Struct, frozen=True, kw_only=True):
    total_usage: int = 0
    percpu_usage: list[int] | msgspec.UnsetType = msgspec.UNSET
    usage_in_kernelmode: int = 0
    usage_in_usermode: int = 0


class Throttling(msgspec.Struct, frozen=True):
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0


class CpuStats(msgspec.Struct, frozen=True, kw_only=True):
    cpu_usage: CpuUsage = CpuUsage()
    system_cpu_usage: int | msgspec.UnsetType = msgspec.UNSET
    online_cpus: int | msgspec.UnsetType = msgspec.UNSET
    throttling_data: Throttling = Throttling()


class MemoryStats(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    usage: int = 0
    max_usage: int = 0
    stats: dict[str, int] | None = None
    failcnt: int = 0
    limit: int = 0


class StorageStats(msgspec.Struct, frozen=True):
    """Of Windows; empty."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """One sample, with what it is compared to."""

    read: str
    preread: str
    pids_stats: PidsStats
    blkio_stats: BlkioStats
    num_procs: int = 0
    storage_stats: StorageStats = StorageStats()
    cpu_stats: CpuStats
    precpu_stats: CpuStats
    memory_stats: MemoryStats
    name: str
    id: str
    networks: dict[str, InterfaceCounters] | msgspec.UnsetType = msgspec.UNSET


def stats(container: Container, sample: StatsSample, before: StatsSample | None) -> Stats:
    """``sample`` of ``container``, compared to ``before``; a sample of what does not run is all zeros."""
    usage = sample.usage
    running_before = before if before is not None and before.usage is not None else None
    return Stats(
        read=timestamp(sample.read) if usage else ZERO_TIME,
        preread=timestamp(running_before.read) if usage and running_before else ZERO_TIME,
        pids_stats=PidsStats(usage.pids, usage.pids_limit) if usage else PidsStats(),
        blkio_stats=_blkio(usage) if usage else BlkioStats(io_service_bytes_recursive=None, io_serviced_recursive=None),
        cpu_stats=_cpu(sample),
        precpu_stats=_cpu(running_before),
        memory_stats=_memory(usage, sample.memory_total) if usage else MemoryStats(),
        name=f"/{container.name}",
        id=container.id,
        networks=sample.networks if usage and sample.networks else msgspec.UNSET,
    )


def _cpu(sample: StatsSample | None) -> CpuStats:
    if sample is None or (usage := sample.usage) is None:
        return CpuStats()
    return CpuStats(
        cpu_usage=CpuUsage(
            total_usage=usage.cpu_total,
            percpu_usage=list(usage.per_cpu) or msgspec.UNSET,
            usage_in_kernelmode=usage.cpu_system,
            usage_in_usermode=usage.cpu_user,
        ),
        system_cpu_usage=sample.system_cpu,
        online_cpus=sample.online_cpus,
        throttling_data=Throttling(usage.throttle_periods, usage.throttled_periods, usage.throttled_time),
    )


def _memory(usage: CgroupUsage, total: int) -> MemoryStats:
    limit = min(usage.memory_limit, total) if usage.memory_limit and total else usage.memory_limit or total
    return MemoryStats(
        usage=usage.memory,
        max_usage=usage.memory_max,
        stats=dict(usage.memory_detail) or None,
        failcnt=usage.memory_failures,
        limit=limit,
    )


def _blkio(usage: CgroupUsage) -> BlkioStats:
    size, count = [], []
    for disk in usage.disks:
        size.append(BlkioEntry(disk.major, disk.minor, "read", disk.read_bytes))
        size.append(BlkioEntry(disk.major, disk.minor, "write", disk.write_bytes))
        count.append(BlkioEntry(disk.major, disk.minor, "read", disk.reads))
        count.append(BlkioEntry(disk.major, disk.minor, "write", disk.writes))
    return BlkioStats(io_service_bytes_recursive=size, io_serviced_recursive=count)
