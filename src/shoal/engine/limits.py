"""What a container's limits may be: checked before anything is made, in the words of dockerd's
``verifyPlatformContainerResources``, so that the kernel or runc need not refuse them at the start."""

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from shoal.errors import InvalidArgument
from shoal.objects.container import HostConfig

_MIN_MEMORY: Final = 6 << 20
_MIN_SHARES, _MAX_SHARES = 2, 262_144
_MAX_PIDS: Final = 1 << 22
"""The kernel's PID_MAX_LIMIT."""
_SPAN: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


def check_limits(host: HostConfig) -> None:
    """Raises InvalidArgument for the first limit that cannot be."""
    _memory(host)
    _cpus(host)
    if host.blkio_weight and not 10 <= host.blkio_weight <= 1000:
        raise InvalidArgument("Range of blkio weight is from 10 to 1000")
    if (host.pids_limit or 0) > _MAX_PIDS:
        raise InvalidArgument(f"PIDs limit {host.pids_limit} is more than the kernel has: {_MAX_PIDS}")
    if not -1000 <= host.oom_score_adj <= 1000:
        raise InvalidArgument(f"Invalid value {host.oom_score_adj}, range for oom score adj is [-1000, 1000]")
    check_console(host.console_size)
    if host.shm_size < 0:
        raise InvalidArgument("SHM size can not be less than 0")
    for limit in host.ulimits or ():
        if limit.hard != -1 and not -1 <= limit.soft <= limit.hard:
            why = "ulimit soft limit must be less than or equal to hard limit"
            raise InvalidArgument(f"{why}: {limit.soft} > {limit.hard}")


def check_console(size: Sequence[int]) -> None:
    """Raises InvalidArgument for what is no height and width of a terminal; an empty one says nothing."""
    if size and not (len(size) == 2 and all(0 <= side <= 0xFFFF for side in size)):
        raise InvalidArgument(f"invalid console size {list(size)}: a height and a width up to 65535 are needed")


def _memory(host: HostConfig) -> None:
    memory, swap, reserved = host.memory, host.memory_swap, host.memory_reservation
    if memory and memory < _MIN_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise InvalidArgument("Minimum memoryswap limit should be larger than memory limit, see usage")
    if swap > 0 and not memory:
        raise InvalidArgument("You should always set the Memory limit when using Memoryswap limit, see usage")
    if swap < -1:
        raise InvalidArgument(f"invalid memoryswap limit {swap}: use -1 for no limit")
    if reserved and reserved < _MIN_MEMORY:
        raise InvalidArgument("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reserved:
        raise InvalidArgument("Minimum memory limit can not be less than memory reservation limit, see usage")
    if memory > (1 << 62):
        raise InvalidArgument(f"invalid memory limit {memory}: it is more than there can be")
    swappiness = host.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise InvalidArgument(f"invalid value: {swappiness}, valid memory swappiness range is 0-100")


def _cpus(host: HostConfig) -> None:
    if host.nano_cpus and host.cpu_period:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Period cannot both be set")
    if host.nano_cpus and host.cpu_quota:
        raise InvalidArgument("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
    count = os.cpu_count() or 1
    if not 0 <= host.nano_cpus <= count * 1_000_000_000:
        only = f"as there are only {count} CPUs available"
        raise InvalidArgument(f"range of CPUs is from 0.01 to {count}.00, {only}")
    if host.cpu_shares < 0:
        raise InvalidArgument("shares: invalid argument")
    if host.cpu_shares and not _MIN_SHARES <= host.cpu_shares <= _MAX_SHARES:
        raise InvalidArgument(f"The allowed cpu-shares are from {_MIN_SHARES} to {_MAX_SHARES}")
    if host.cpu_period and not 1000 <= host.cpu_period <= 1_000_000:
        raise InvalidArgument("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < host.cpu_quota < 1000:
        raise InvalidArgument("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    _cpuset(host.cpuset_cpus, "cpus", "CPUs", "cpu")
    _cpuset(host.cpuset_mems, "mems", "memory nodes", "node")


def _cpuset(wanted: str, word: str, things: str, device: str) -> None:
    if not wanted:
        return
    numbers = _numbers(wanted)
    if numbers is None:
        raise InvalidArgument(f"Invalid value {wanted} for cpuset {word}")
    online = _online(device)
    if not numbers <= (_numbers(online) or set()):
        raise InvalidArgument(f"Requested {things} are not available - requested {wanted}, available: {online}")


def _numbers(text: str) -> set[int] | None:
    """``0-2,7`` as a set; None for what is no such list."""
    found: set[int] = set()
    for part in text.split(","):
        if (span := _SPAN.fullmatch(part)) is None:
            return None
        first, last = int(span[1]), int(span[2] or span[1])
        if first > last:
            return None
        found.update(range(first, last + 1))
    return found


@cache
def _online(device: str) -> str:
    """Which ``cpu`` or ``node`` the machine has, as the kernel writes it; a machine without NUMA has node 0."""
    try:
        return Path(f"/sys/devices/system/{device}/online").read_text().strip()
    except OSError:
        return "0"
