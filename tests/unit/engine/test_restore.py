"""What a shoald finds that is started after another: after its orderly end, and after SIGKILL at any step."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.fakes.keeper import FakeKeeper
from tests.fakes.light_engine import AUTO_REMOVE, LightEngine, bridge, eventually, light_engine, policy
from tests.fakes.runtime import FakeRuntime

from shoal.aio.tasks import spawn
from shoal.container.runtime import ProcessStatus
from shoal.objects.container import HostConfig, PortBinding
from shoal.wire.keeper import Status

Work = Callable[[LightEngine], Awaitable[None]]


def runs(folder: Path, *works: Work, between: Callable[[FakeRuntime], None] = lambda runtime: None) -> None:
    """One run of shoald after the other, on the same runtime and with the same keeper."""
    runtime, keeper = FakeRuntime(), FakeKeeper()

    async def one(work: Work) -> None:
        async with light_engine(folder, runtime=runtime, keeper=keeper) as engine:
            await asyncio.wait_for(work(engine), 20)

    async def all_of_them() -> None:
        for number, work in enumerate(works):
            if number:
                between(runtime)
            await one(work)

    asyncio.run(all_of_them())


def test_what_runs_is_taken_over(tmp_path: Path) -> None:
    async def before(engine: LightEngine) -> None:
        await engine.local_networks.create(bridge("net"))
        host = HostConfig(port_bindings={"80/tcp": [PortBinding(host_port="")]})
        await engine.run("one", network="net", host=host)
        await engine.run("two", network="bridge")

    async def after(engine: LightEngine) -> None:
        one, two = engine.records.get("one"), engine.records.get("two")
        assert {one.id, two.id} == set(engine.kernel.node.sandboxes) == set(engine.runtime.alive)
        assert one.sandbox is not None
        three = engine.records.get(await engine.run("three", network="net"))
        assert three.sandbox is not None
        assert three.sandbox.endpoints[0].addresses != one.sandbox.endpoints[0].addresses
        network = one.sandbox.endpoints[0].network_id
        for container in (one, three):
            own = {a.partition("/")[0] for a in container.sandbox.endpoints[0].addresses}
            assert engine.keeper.addresses(network, container.name) == own
        engine.runtime.end(one.id, 4)
        assert (await engine.containers.wait(one.id, "next-exit")).code == 4
        await engine.lifecycle.cleared(one.id)
        engine.nothing_of(one.id)
        assert engine.keeper.addresses(network, "one") == set()

    runs(tmp_path, before, after)


def test_what_ended_meanwhile(tmp_path: Path) -> None:
    async def before(engine: LightEngine) -> None:
        await engine.local_networks.create(bridge("net"))
        await engine.run("plain", network="net")
        await engine.run("rm", host=AUTO_REMOVE)
        await engine.run("again", host=policy("always"))
        await engine.run("other", network="net")

    def between(runtime: FakeRuntime) -> None:
        keys = list(runtime.containers)
        for key in keys[:3]:
            runtime.end(key, 9)

    async def after(engine: LightEngine) -> None:
        assert engine.records.get("plain").state.exit_code == 9
        await eventually(lambda: engine.state("rm") == "removed")
        await eventually(lambda: engine.state("again") == "running")
        network = engine.records.get("plain").networks["net"].network_id
        assert engine.keeper.addresses(network, "plain") == set()
        assert engine.keeper.addresses(network, "other")

    runs(tmp_path, before, after, between=between)


def test_a_restart_keeps_its_streams(tmp_path: Path) -> None:
    """What a restart at the start of shoald opens is not what a predecessor has left."""

    class SlowKeeper(FakeKeeper):
        async def hello(self) -> Status:
            with suppress(AssertionError):
                await eventually(lambda: bool(self.open_streams), 0.4)
            return await super().hello()

    async def body() -> None:
        runtime = FakeRuntime()
        async with light_engine(tmp_path, runtime=runtime) as engine:
            key = await engine.run(host=policy("always"))
        runtime.end(key)
        gate = runtime.hold("create_task")
        async with light_engine(tmp_path, runtime=runtime, keeper=SlowKeeper()) as engine:
            try:
                await eventually(lambda: key in engine.keeper.open_streams)
            finally:
                gate.set()
            await eventually(lambda: engine.state(key) == "running")
            assert key in engine.keeper.open_streams

    asyncio.run(body())


def test_policies_at_the_start(tmp_path: Path) -> None:
    async def before(engine: LightEngine) -> None:
        for name in ("always", "unless-stopped", "on-failure"):
            await engine.run(f"{name}-stopped", host=policy(name))
            await engine.lifecycle.stop(f"{name}-stopped")
            await engine.create(f"{name}-created", host=policy(name))
            key = await engine.run(f"{name}-due", host=policy(name))
            engine.runtime.end(key, 1)
            await eventually(lambda: engine.state(key) == "restarting")  # noqa: B023 - awaited at once

    async def after(engine: LightEngine) -> None:
        await asyncio.sleep(0.3)
        running = {c.name for c in engine.records.all() if c.is_running}
        assert running == {"always-stopped", "always-due", "unless-stopped-due", "on-failure-due"}

    runs(tmp_path, before, after)


def test_an_end_while_shoald_ends(tmp_path: Path) -> None:
    async def before(engine: LightEngine) -> None:
        engine.runtime.hold("delete_task")
        engine.runtime.end(await engine.run("rm", host=AUTO_REMOVE))
        engine.runtime.end(await engine.run("again", host=policy("always")))
        await asyncio.sleep(0)
        spawn(_later(engine.runtime.held["delete_task"]), name="gate")

    async def _later(gate: asyncio.Event) -> None:
        await asyncio.sleep(0.05)
        gate.set()

    async def after(engine: LightEngine) -> None:
        await eventually(lambda: engine.state("rm") == "removed")
        await eventually(lambda: engine.state("again") == "running")

    runs(tmp_path, before, after)


@pytest.mark.parametrize("host", [HostConfig(), AUTO_REMOVE, policy("always")], ids=["plain", "rm", "always"])
@pytest.mark.parametrize("step", ["create", "create_task", "start", "delete_task", "remove"])
def test_killed_at_any_step(tmp_path: Path, step: str, host: HostConfig) -> None:
    first, second = tmp_path / "first", tmp_path / "second"

    async def before() -> tuple[FakeRuntime, FakeKeeper]:
        async with light_engine(first) as engine:
            gate = engine.runtime.hold(step)
            life = spawn(_life(engine, host), name="life")
            await asyncio.wait_for(engine.runtime.reached[step].wait(), 5)
            await engine.db.load("nothing", type(engine.records.all()[0]) if engine.records.all() else HostConfig)
            shutil.copytree(first, second)
            found = engine.runtime.copied(), engine.keeper.copied()
            gate.set()
            await life
        return found

    async def after(runtime: FakeRuntime, keeper: FakeKeeper) -> None:
        async with light_engine(second, runtime=runtime, keeper=keeper) as engine:
            await asyncio.sleep(0.3)
            known = {container.id for container in engine.records.all()}
            assert set(runtime.containers) <= known
            assert set(runtime.tasks) == set(runtime.alive) == {c.id for c in engine.records.running()}
            assert set(engine.kernel.node.sandboxes) == set(runtime.alive)
            assert set(keeper.open_streams) == set(keeper.served) | set(runtime.alive)
            for container in engine.records.all():
                if not container.is_running:
                    await engine.lifecycle.start(container.id)
                assert runtime.containers[container.id].task is not None
                await asyncio.wait_for(engine.containers.remove(container.id, force=True), 5)
            assert runtime.containers == {}
            assert keeper.open_streams == keeper.served == {}
            assert list((second / "stdio").glob("*")) == []

    asyncio.run(after(*asyncio.run(before())))


async def _life(engine: LightEngine, host: HostConfig) -> None:
    key = await engine.run("web", network="bridge", host=host)
    task = engine.runtime.containers[key].task
    assert task is not None and task.status is ProcessStatus.RUNNING
    engine.runtime.end(key)
    await engine.containers.wait(key, "next-exit")
    await engine.containers.remove(key, force=True)


def test_containers_of_others_in_the_runtime_are_left_alone(tmp_path: Path) -> None:
    async def before(engine: LightEngine) -> None:
        key = await engine.create("web")
        others = engine.runtime.containers[key]
        engine.runtime.containers["f" * 64] = type(others)(others.spec, {"shoal.root": "/elsewhere"})

    async def after(engine: LightEngine) -> None:
        assert "f" * 64 in engine.runtime.containers

    runs(tmp_path, before, after)
