"""Limits that cannot be are refused before anything is made."""

import pytest
from msgspec.structs import replace

from shoal.engine.limits import check_limits
from shoal.errors import InvalidArgument
from shoal.objects.container import HostConfig, UlimitConfig

MB = 1 << 20


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (HostConfig(memory=MB), "Minimum memory limit allowed is 6MB"),
        (HostConfig(memory=-1), "Minimum memory limit allowed is 6MB"),
        (HostConfig(memory=2**63 - 1), "invalid memory limit"),
        (HostConfig(memory=64 * MB, memory_swap=32 * MB), "memoryswap limit should be larger"),
        (HostConfig(memory_swap=32 * MB), "always set the Memory limit"),
        (HostConfig(memory_swap=-(2**63)), "invalid memoryswap limit"),
        (HostConfig(memory_reservation=1), "Minimum memory reservation allowed is 6MB"),
        (HostConfig(memory=8 * MB, memory_reservation=9 * MB), "less than memory reservation"),
        (HostConfig(memory_swappiness=101), "valid memory swappiness range is 0-100"),
        (HostConfig(nano_cpus=2**62), "range of CPUs is from 0.01 to "),
        (HostConfig(nano_cpus=-1), "range of CPUs is from 0.01 to "),
        (HostConfig(nano_cpus=1, cpu_period=1000), "Nano CPUs and CPU Period cannot both be set"),
        (HostConfig(nano_cpus=1, cpu_quota=1000), "Nano CPUs and CPU Quota cannot both be set"),
        (HostConfig(cpu_shares=-1), "shares: invalid argument"),
        (HostConfig(cpu_shares=1), "cpu-shares are from 2 to 262144"),
        (HostConfig(cpu_period=999), "CPU cfs period can not be less than 1ms"),
        (HostConfig(cpu_quota=999), "CPU cfs quota can not be less than 1ms"),
        (HostConfig(cpuset_cpus="x"), "Invalid value x for cpuset cpus"),
        (HostConfig(cpuset_cpus="0\n"), "Invalid value 0\n for cpuset cpus"),
        (HostConfig(cpuset_cpus="1-0"), "Invalid value 1-0 for cpuset cpus"),
        (HostConfig(cpuset_cpus="9" * 5000), "Invalid value 9"),
        (HostConfig(cpuset_cpus="99999"), "Requested CPUs are not available - requested 99999, available: 0"),
        (HostConfig(cpuset_mems="99999"), "Requested memory nodes are not available"),
        (HostConfig(blkio_weight=9), "Range of blkio weight is from 10 to 1000"),
        (HostConfig(pids_limit=2**31), "PIDs limit"),
        (HostConfig(oom_score_adj=1001), "range for oom score adj"),
        (HostConfig(shm_size=-1), "SHM size can not be less than 0"),
        (HostConfig(console_size=[1]), "invalid console size"),
        (HostConfig(console_size=[-1, 2**40]), "invalid console size"),
        (HostConfig(ulimits=[UlimitConfig("nofile", hard=1, soft=2)]), "ulimit soft limit must be less than"),
    ],
)
def test_what_cannot_be(host: HostConfig, text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        check_limits(host)
    assert text in str(raised.value)


def test_what_can_be() -> None:
    check_limits(HostConfig())
    host = HostConfig(memory=64 * MB, memory_swap=-1, nano_cpus=500_000_000, cpuset_cpus="0", cpuset_mems="0")
    check_limits(replace(host, pids_limit=-1, blkio_weight=10, oom_score_adj=-1000, console_size=[24, 80]))
    check_limits(HostConfig(cpu_shares=2, cpu_period=1000, cpu_quota=-1, memory_swappiness=-1))
    check_limits(HostConfig(ulimits=[UlimitConfig("nofile", hard=-1, soft=-1), UlimitConfig("core")]))
