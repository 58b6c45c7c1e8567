import pytest

from shoal.engine.create import checked
from shoal.engine.update import updated
from shoal.errors import InvalidArgument
from shoal.objects.container import HostConfig, RestartPolicyConfig
from shoal.objects.update import UpdateConfig

MB = 1 << 20


def test_only_what_is_given_changes() -> None:
    host = HostConfig(memory=64 * MB, cpu_shares=5, restart_policy=RestartPolicyConfig(name="always"))
    assert updated(host, UpdateConfig()) == host
    new = updated(host, UpdateConfig(cpu_shares=7, pids_limit=0, restart_policy=RestartPolicyConfig(name="no")))
    assert (new.memory, new.cpu_shares, new.pids_limit, new.restart_policy.name) == (64 * MB, 7, 0, "no")


@pytest.mark.parametrize(
    ("host", "body"),
    [
        (HostConfig(cpu_quota=5), UpdateConfig(nano_cpus=5)),
        (HostConfig(nano_cpus=5), UpdateConfig(cpu_period=5)),
        (HostConfig(memory=32 * MB, memory_swap=64 * MB), UpdateConfig(memory=128 * MB)),
        (HostConfig(), UpdateConfig(memory=64 * MB, memory_swap=32 * MB)),
        (HostConfig(memory_reservation=64 * MB), UpdateConfig(memory=32 * MB)),
    ],
)
def test_contradictions_are_refused(host: HostConfig, body: UpdateConfig) -> None:
    with pytest.raises(InvalidArgument):
        checked(updated(host, body))
