"""Statistics, processes, changed limits and prunes of real containers."""

import asyncio

import pytest
from tests.fakes.engine_rig import CLOCK, IMAGE, busybox_root, eventually, pieces, rig

from shoal.container.reference import parse
from shoal.errors import Conflict, Internal, InvalidArgument
from shoal.objects.container import ContainerConfig, HostConfig, RestartPolicyConfig
from shoal.objects.update import UpdateConfig

pytestmark = pytest.mark.root


async def _use() -> None:
    async with rig() as node:
        key = await node.create("sh", "-c", "while :; do :; done", host=HostConfig(memory=64 << 20, pids_limit=50))
        assert (await node.stats.stats(key)).usage is None
        with pytest.raises(Conflict, match=f"^Container {key} is not running$"):
            await node.stats.top(key, "")
        await node.lifecycle.start(key)
        first = await node.stats.stats(key)
        await asyncio.sleep(0.3)
        second = await node.stats.stats(key)
        assert first.usage and second.usage
        assert second.usage.cpu_total - first.usage.cpu_total > 20_000_000
        assert second.system_cpu > first.system_cpu > 0 and second.online_cpus >= 1
        assert second.usage.memory_limit == 64 << 20 and second.usage.pids_limit == 50
        titles, rows = await node.stats.top(key, "")
        assert titles[0] == "UID" and len(rows) == 1 and rows[0][-1] == "sh -c while :; do :; done"
        titles, rows = await node.stats.top(key, "aux")
        assert titles[-1] == "COMMAND" and [row[1] for row in rows] == [str(node.records.get(key).state.pid)]
        assert (await node.stats.top(key, "-o pid,comm"))[1] == [[rows[0][1], "sh"]]
        with pytest.raises(InvalidArgument, match='^specifying "comm=PID" is not allowed$'):
            await node.stats.top(key, "-o pid,comm -o comm=PID")
        with pytest.raises(Internal, match="^Couldn't find PID field in ps output$"):
            await node.stats.top(key, "-o comm")
        with pytest.raises(Internal, match="^ps: "):
            await node.stats.top(key, "--nonsense")


def test_what_a_container_uses_and_runs() -> None:
    asyncio.run(_use())


async def _limits() -> None:
    async with rig() as node:
        key = await node.run("sleep", "60", host=HostConfig(memory=64 << 20))
        body = UpdateConfig(memory=32 << 20, memory_swap=64 << 20, pids_limit=33, nano_cpus=500_000_000)
        assert await node.updates.update(key, body) == []
        sample = await node.stats.stats(key)
        assert sample.usage and (sample.usage.memory_limit, sample.usage.pids_limit) == (32 << 20, 33)
        host = node.records.get(key).host_config
        assert (host.memory, host.pids_limit, host.nano_cpus) == (32 << 20, 33, 500_000_000)
        with pytest.raises(InvalidArgument, match="Conflicting options: CPU Quota"):
            await node.updates.update(key, UpdateConfig(cpu_quota=1000))
        with pytest.raises(InvalidArgument, match="Minimum memory limit allowed is 6MB"):
            await node.updates.update(key, UpdateConfig(memory=1000))
        policy = RestartPolicyConfig(name="always")
        await node.updates.update(key, UpdateConfig(restart_policy=policy))
        assert node.records.get(key).host_config.restart_policy == policy
        assert await node.exec(key, "echo", "devices are as they were", tty=True) == (0, "devices are as they were\r\n")
        pid = node.records.get(key).state.pid
        await node.exec(key, "kill", "-9", "1")
        await node.runtime.kill(key, 9)
        await eventually(lambda: node.records.get(key).restart_count > 0 and node.records.get(key).is_running)
        assert node.records.get(key).state.pid != pid
        sample = await node.stats.stats(key)
        assert sample.usage and sample.usage.memory_limit == 32 << 20  # of the next start, too
        await node.updates.update(key, UpdateConfig(restart_policy=RestartPolicyConfig()))


def test_limits_change_while_it_runs_and_stay() -> None:
    asyncio.run(_limits())


async def _out_of_memory() -> None:
    async with rig() as node:
        eater = ("sh", "-c", "x=aaaaaaaa; while :; do x=$x$x; done")
        begin = CLOCK.now()
        key = await node.run(*eater, host=HostConfig(memory=16 << 20, memory_swap=16 << 20))
        await eventually(lambda: node.events.since(begin)[-1].action == "die")
        assert [event.action for event in node.events.since(begin)][-2:] == ["oom", "die"]
        state = node.records.get(key).state
        assert (state.oom_killed, state.exit_code) == (True, 137)
        # One that lives on, and is started again: what was before does not count.
        key = await node.run("sleep", "60", host=HostConfig(memory=16 << 20, memory_swap=16 << 20))
        assert (await node.exec(key, *eater))[0] == 137
        await node.lifecycle.stop(key, timeout=0)
        assert node.records.get(key).state.oom_killed
        await node.lifecycle.start(key)
        await node.lifecycle.stop(key, timeout=0)
        assert not node.records.get(key).state.oom_killed


def test_what_the_kernel_kills_for_want_of_memory_is_said_so() -> None:
    asyncio.run(_out_of_memory())


async def _prune() -> None:
    async with rig() as node:
        running = await node.run("sleep", "60", config=ContainerConfig(labels={"a": "b"}))
        ended = await node.run("sh", "-c", "echo 12345 > /tmp/x", config=ContainerConfig(labels={"a": "b"}))
        made = await node.create("true")
        await eventually(lambda: not node.records.get(ended).is_running)
        assert (await node.container_pruner.prune({"until": ["1h"]})).deleted == []
        assert (await node.container_pruner.prune({"label!": ["a"]})).deleted == [made]
        pruned = await node.container_pruner.prune({"label": ["a=b"]})
        assert pruned.deleted == [ended] and pruned.space >= 6
        assert [container.id for container in node.records.all()] == [running]
        with pytest.raises(InvalidArgument, match="^invalid filter 'name'$"):
            await node.container_pruner.prune({"name": ["x"]})

        other = await node.images.import_(pieces(busybox_root() + bytes(10240)), name=parse("other"))
        await node.images.tag("other", parse("third"))
        nameless = await node.images.import_(pieces(busybox_root() + bytes(20480)), name=None)
        assert nameless.id not in (other.id, (await node.images.inspect(IMAGE)).id)
        pruned_images = await node.image_pruner.prune({})
        assert [one.deleted for one in pruned_images.removed if one.deleted][0] == nameless.id
        pruned_images = await node.image_pruner.prune({"dangling": ["false"]})
        untagged = {one.untagged for one in pruned_images.removed if one.untagged}
        assert untagged == {"other:latest", "third:latest"}
        assert [image.tags for image in await node.images.images()] == [[f"{IMAGE}:latest"]]


def test_prunes_leave_what_is_used() -> None:
    asyncio.run(_prune())
