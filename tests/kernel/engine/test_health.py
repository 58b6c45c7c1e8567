"""Health checks of real containers."""

import asyncio

import pytest
from tests.fakes.engine_rig import CLOCK, Rig, eventually, rig

from shoal.aio.tasks import spawn
from shoal.errors import FailedPrecondition
from shoal.objects.container import ContainerConfig, Health
from shoal.objects.service import HealthConfig

pytestmark = pytest.mark.root

MS = 1_000_000


def _config(test: str, **more: int) -> ContainerConfig:
    return ContainerConfig(
        healthcheck=HealthConfig(test=["CMD-SHELL", test], interval=100 * MS, retries=2, timeout=5000 * MS, **more)
    )


def _health(node: Rig, key: str) -> Health:
    health = node.records.get(key).state.health
    assert health is not None
    return health


async def _changes() -> None:
    async with rig() as node:
        key = await node.run("sleep", "60", config=_config("echo looked; cat /tmp/fine"))
        assert _health(node, key).status == "starting"
        waiting = spawn(node.health.unhealthy(key), name="unhealthy")
        await asyncio.wait_for(waiting, 10)
        with pytest.raises(FailedPrecondition, match="^unhealthy container$"):
            await node.health.healthy(key)
        found = _health(node, key)
        assert (found.status, found.failing_streak, found.log[-1].exit_code) == ("unhealthy", 2, 1)
        # Two pipes: which is read first is anybody's guess, each is whole.
        lines = sorted(found.log[-1].output.splitlines())
        assert lines == ["cat: can't open '/tmp/fine': No such file or directory", "looked"]
        await node.exec(key, "touch", "/tmp/fine")
        await eventually(lambda: _health(node, key).status == "healthy")
        await node.health.healthy(key)
        await eventually(lambda: len(_health(node, key).log) == 5)
        changes = [e.action for e in node.events.since(CLOCK.now().replace(year=2000)) if "health" in e.action]
        assert changes == ["health_status: unhealthy", "health_status: healthy"]
        await node.lifecycle.stop(key, timeout=0)
        assert _health(node, key).status == "healthy"  # its last state, as under Docker
        with pytest.raises(FailedPrecondition):
            await node.health.healthy(key)
        assert not node.health._changed, "who asks of one that has ended leaves nothing behind"
        assert node.execs.execs_of(key) == []


def test_a_container_becomes_unhealthy_and_healthy_again() -> None:
    asyncio.run(_changes())


async def _waits() -> None:
    async with rig() as node:
        config = _config("cat /tmp/fine", start_period=60_000 * MS, start_interval=50 * MS)
        key = await node.run("sh", "-c", "sleep 0.5; touch /tmp/fine; sleep 60", config=config)
        await asyncio.wait_for(node.health.healthy(key), 10)
        assert _health(node, key).failing_streak == 0  # failures before the first success did not count
        plain = await node.run("sleep", "60", config=ContainerConfig(healthcheck=HealthConfig(test=["NONE"])))
        await node.health.healthy(plain)
        assert node.records.get(plain).state.health is None
        brief = await node.run("sleep", "0.3", config=_config("false", start_period=60_000 * MS))
        with pytest.raises(FailedPrecondition, match="ended before it was healthy"):
            await asyncio.wait_for(node.health.healthy(brief), 10)


def test_a_start_can_be_waited_for() -> None:
    asyncio.run(_waits())


async def _slow() -> None:
    async with rig() as node:
        check = HealthConfig(test=["CMD", "sleep", "50"], interval=50 * MS, timeout=300 * MS, retries=1)
        key = await node.run("sleep", "60", config=ContainerConfig(healthcheck=check))
        await asyncio.wait_for(node.health.unhealthy(key), 10)
        assert _health(node, key).log[-1].output == "Health check exceeded timeout (300ms)"
        assert _health(node, key).log[-1].exit_code == -1
        await node.health.stop()

        async def alone() -> bool:
            return len(await node.runtime.pids(key)) == 1

        await eventually(alone)  # the probe that took too long was killed


def test_a_probe_that_takes_too_long_has_failed() -> None:
    asyncio.run(_slow())
