"""Containers' lives where two things happen at once, where a step fails, and where shoald dies in the middle."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.light_engine import AUTO_REMOVE, LightEngine, eventually, light_engine, policy
from tests.fakes.runtime import FakeRuntime

from shoal.aio.tasks import spawn
from shoal.errors import Conflict, Internal, InvalidArgument, NotFound, NotModified, ShoalError, Unavailable
from shoal.objects.container import HostConfig, PortBinding


def run(folder: Path, work: Callable[[LightEngine], Awaitable[None]], runtime: FakeRuntime | None = None) -> None:
    async def main() -> None:
        async with light_engine(folder, runtime=runtime) as engine:
            await asyncio.wait_for(work(engine), 20)

    asyncio.run(main())


async def bounded(work: Awaitable[None]) -> None:
    await asyncio.wait_for(work, 5)


def test_a_container_runs_and_ends(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.run("web", network="bridge")
        assert engine.state(key) == "running"
        assert key in engine.kernel.node.sandboxes
        assert key in engine.keeper.open_streams
        engine.runtime.end(key, 3)
        assert (await engine.containers.wait(key, "not-running")).code == 3
        await engine.lifecycle.cleared(key)
        assert engine.state(key) == "exited"
        engine.nothing_of(key)
        with pytest.raises(NotModified):
            await engine.lifecycle.stop(key)
        await engine.lifecycle.start(key)
        assert engine.records.get(key).state.finished_at != "0001-01-01T00:00:00Z"
        await engine.lifecycle.stop(key)
        assert engine.runtime.containers[key].signals == [signal.SIGTERM]

    run(tmp_path, work)


def test_force_removes_a_running_one_that_is_to_remove_itself(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        for _ in range(3):
            key = await engine.run(host=AUTO_REMOVE)
            await bounded(engine.containers.remove(key, force=True))
            assert engine.state(key) == "removed"
            assert key not in engine.runtime.containers

    run(tmp_path, work)


def test_removing_while_it_is_cleared_away(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.run(host=AUTO_REMOVE)
        gate = engine.runtime.hold("delete_task")
        engine.runtime.end(key)
        await eventually(lambda: engine.state(key) == "exited")
        removals = [asyncio.ensure_future(engine.containers.remove(key)) for _ in range(2)]  # noqa: TID251 - a test
        await asyncio.sleep(0.01)
        gate.set()
        await bounded(asyncio.gather(*removals))  # type: ignore[arg-type]
        assert engine.state(key) == "removed"
        await eventually(lambda: key not in engine.lifecycle._locks)

    run(tmp_path, work)


def test_restart_keeps_one_that_is_to_remove_itself(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.run(host=AUTO_REMOVE)
        await bounded(engine.lifecycle.restart(key))
        await asyncio.sleep(0.05)
        assert engine.state(key) == "running"
        removed = engine.containers.wait(key, "removed")
        engine.runtime.end(key, 7)
        assert (await asyncio.wait_for(removed, 5)).code == 7

    run(tmp_path, work)


@pytest.mark.parametrize("step", ["create_task", "start"])
def test_a_start_that_fails_leaves_nothing(tmp_path: Path, step: str) -> None:
    async def work(engine: LightEngine) -> None:
        host = HostConfig(port_bindings={"80/tcp": [PortBinding(host_port="0")]})
        key = await engine.create("web", network="bridge", host=host)
        engine.runtime.fails[step] = Internal('exec: "x": executable file not found in $PATH')
        with pytest.raises(InvalidArgument):
            await engine.lifecycle.start(key)
        container = engine.records.get(key)
        assert (container.state.status, container.state.exit_code) == ("created", 127)
        engine.nothing_of(key)
        await engine.lifecycle.start(key)
        assert engine.records.get(key).state.error == ""

    run(tmp_path, work)


def test_a_failed_start_of_one_that_is_to_remove_itself(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.create(host=AUTO_REMOVE)
        await engine.lifecycle.open_stdio(engine.records.get(key))
        removed = engine.containers.wait(key, "removed")
        engine.runtime.fails["start"] = Internal("permission denied")
        with pytest.raises(InvalidArgument):
            await engine.lifecycle.start(key)
        assert (await asyncio.wait_for(removed, 5)).code == 126
        engine.nothing_of(key)

    run(tmp_path, work)


def test_what_comes_to_be_after_another_step_failed_goes_too(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.create("web", network="bridge")
        engine.keeper.fails["open"] = Unavailable("no keeper")
        with pytest.raises(Unavailable):
            await engine.lifecycle.start(key)
        await asyncio.sleep(0.02)
        engine.nothing_of(key)

    run(tmp_path, work)


def test_a_start_goes_on_without_its_client(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.create("web", network="bridge")
        gate = engine.runtime.hold("start")
        starting = spawn(engine.lifecycle.start(key), name="test")
        await engine.runtime.reached["start"].wait()
        starting.cancel()
        await asyncio.sleep(0.01)
        with pytest.raises(Conflict):
            await engine.lifecycle.kill(key, "KILL")
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert engine.state(key) == "running"
        await engine.lifecycle.stop(key)
        await engine.lifecycle.cleared(key)
        engine.nothing_of(key)

    run(tmp_path, work)


def test_an_end_right_at_the_start(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        engine.runtime.ends_at_once = 5
        with engine.events.subscribe() as events:
            for host in (HostConfig(), AUTO_REMOVE):
                key = await engine.create(host=host)
                ended = engine.containers.wait(key, "next-exit")
                await engine.lifecycle.start(key)
                assert (await asyncio.wait_for(ended, 5)).code == 5
            seen = [event.action for event in await events.drain()]
        assert seen.index("start") < seen.index("die")

    run(tmp_path, work)


def test_a_process_that_ignores_the_stop_is_killed(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        engine.runtime.deadly = {signal.SIGKILL}
        key = await engine.run()
        await bounded(engine.lifecycle.stop(key, timeout=0))
        assert engine.runtime.containers[key].signals == [signal.SIGTERM, signal.SIGKILL]

    run(tmp_path, work)


def test_a_stop_goes_on_without_its_client(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        engine.runtime.deadly = {signal.SIGKILL}
        key = await engine.run()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(engine.lifecycle.stop(key, timeout=1), 0.05)
        await eventually(lambda: engine.state(key) == "exited")

    run(tmp_path, work)


def test_an_end_while_a_stop_begins(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        for number in range(20):
            key = await engine.run()
            stopping = spawn(engine.lifecycle.stop(key), name="test")
            for _ in range(number):
                await asyncio.sleep(0)
            if not engine.runtime.containers[key].signals:
                engine.runtime.end(key)
            try:
                await bounded(stopping)
            except NotModified:
                pass
            await bounded(engine.containers.remove(key))

    run(tmp_path, work)


def test_a_kill_gets_through_to_one_that_is_being_stopped(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        engine.runtime.deadly = {signal.SIGKILL}
        key = await engine.run()
        stopping = spawn(engine.lifecycle.stop(key, timeout=1000), name="test")
        await eventually(lambda: bool(engine.runtime.containers[key].signals))
        await bounded(engine.containers.remove(key, force=True))
        await bounded(stopping)

    run(tmp_path, work)


@pytest.mark.parametrize("how", ["kill", "stop", "remove"])
def test_the_shim_goes_away_in_the_middle_of_a_signal(tmp_path: Path, how: str) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.run()
        gate = engine.runtime.hold("kill")
        ending = {
            "kill": lambda: engine.lifecycle.kill(key, "KILL"),
            "stop": lambda: engine.lifecycle.stop(key),
            "remove": lambda: engine.containers.remove(key, force=True),
        }[how]
        task = spawn(ending(), name="end")
        await engine.runtime.reached["kill"].wait()
        engine.runtime.end(key)
        await eventually(lambda: engine.state(key) == "exited")
        await engine.lifecycle.cleared(key)
        engine.runtime.late["kill"] = Internal("ttrpc: closed: unknown")
        gate.set()
        await bounded(task)

    run(tmp_path, work)


def test_stopping_killing_and_removing_a_paused_one(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        for end in ("stop", "kill", "remove"):
            key = await engine.run()
            await engine.lifecycle.pause(key, paused=True)
            with pytest.raises(Conflict):
                await engine.lifecycle.start(key)
            match end:
                case "stop":
                    await bounded(engine.lifecycle.stop(key))
                case "kill":
                    await bounded(engine.lifecycle.kill(key, "KILL"))
                case _:
                    await bounded(engine.containers.remove(key, force=True))
            assert engine.state(key) in ("exited", "removed")

    run(tmp_path, work)


def test_a_process_that_ends_while_it_is_paused_is_not_brought_back(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.run()
        gate = engine.runtime.hold("pause")
        pausing = spawn(engine.lifecycle.pause(key, paused=True), name="test")
        await engine.runtime.reached["pause"].wait()
        engine.runtime.end(key)
        await eventually(lambda: engine.state(key) == "exited")
        gate.set()
        with pytest.raises(ShoalError):
            await pausing
        assert engine.state(key) == "exited"

    run(tmp_path, work)


def test_policies(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.run(host=policy("on-failure", 2))
        for _ in range(3):
            await eventually(lambda: engine.state(key) == "running")
            engine.runtime.end(key, 1)
            await eventually(lambda: engine.state(key) != "running")
        await eventually(lambda: engine.state(key) == "exited")
        assert engine.records.get(key).restart_count == 2
        await engine.lifecycle.start(key)
        assert engine.records.get(key).restart_count == 0
        engine.runtime.end(key, 0)
        await engine.containers.wait(key, "not-running")
        await engine.lifecycle.cleared(key)
        await asyncio.sleep(0.02)
        assert engine.state(key) == "exited"

    run(tmp_path, work)


async def _restarting(engine: LightEngine) -> str:
    key = await engine.run(host=policy("always"))
    engine.runtime.end(key, 1)
    await eventually(lambda: engine.state(key) == "restarting")
    return key


@pytest.mark.parametrize("how", ["stop", "kill", "remove", "start", "restart"])
def test_in_between_two_restarts(tmp_path: Path, how: str) -> None:
    async def work(engine: LightEngine) -> None:
        key = await _restarting(engine)
        match how:
            case "stop":
                await bounded(engine.lifecycle.stop(key))
            case "kill":
                await bounded(engine.lifecycle.kill(key, "KILL"))
            case "remove":
                with pytest.raises(Conflict):
                    await engine.containers.remove(key)
                await bounded(engine.containers.remove(key, force=True))
            case "start":
                await bounded(engine.lifecycle.start(key))
            case _:
                await bounded(engine.lifecycle.restart(key))
        wanted = {"remove": "removed", "start": "running", "restart": "running"}.get(how, "exited")
        assert engine.state(key) == wanted
        await asyncio.sleep(0.25)
        assert engine.state(key) == wanted
        assert len(engine.runtime.alive) == (wanted == "running")

    run(tmp_path, work)


def test_a_stop_right_after_the_end_calls_the_restart_off(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        for number in range(25):
            key = await engine.run(host=policy("always"))
            engine.runtime.end(key, 1)
            for _ in range(number):
                await asyncio.sleep(0)
            await bounded(engine.lifecycle.stop(key))
        await eventually(lambda: {c.state.status for c in engine.records.all()} == {"exited"})
        assert not engine.runtime.alive

    run(tmp_path, work)


def test_a_policy_that_is_taken_away_right_after_the_end_leaves_nothing_waiting(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        for number in range(25):
            key = await engine.run(host=policy("always"))
            engine.runtime.end(key, 1)
            for _ in range(number):
                await asyncio.sleep(0)
            await engine.records.put(replace(engine.records.get(key), host_config=policy("no")))
        await eventually(lambda: "restarting" not in {c.state.status for c in engine.records.all()})

    run(tmp_path, work)


def test_a_new_name_survives_a_restart(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.run("old", host=policy("always"))
        engine.runtime.end(key, 1)
        await engine.containers.rename(key, "new")
        await eventually(lambda: engine.state(key) == "running")
        assert engine.records.get("new").id == key
        await engine.create("old")

    run(tmp_path, work)


def test_an_end_is_noticed_without_the_keeper(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        key = await engine.run(network="bridge")
        engine.keeper.fails["drained"] = Unavailable("no keeper")
        engine.keeper.fails["close"] = Unavailable("no keeper")
        engine.runtime.fails["delete_task"] = Unavailable("no containerd")
        ended = engine.containers.wait(key, "not-running")
        engine.runtime.end(key)
        await asyncio.wait_for(ended, 5)
        await engine.lifecycle.cleared(key)
        assert key not in engine.networks.sandboxes
        await engine.lifecycle.start(key)
        assert engine.state(key) == "running"

    run(tmp_path, work)


def test_a_creation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        with pytest.raises(NotFound, match="No such image: other"):
            await engine.images.inspect("other")
        engine.images.fails.append(Internal("no space"))
        with pytest.raises(Internal):
            await engine.create("web")
        engine.runtime.fails["create"] = Internal("no space")
        with pytest.raises(Internal):
            await engine.create("web", host=HostConfig(binds=["/data"]))
        with pytest.raises(ShoalError):
            await engine.create("web", host=HostConfig(binds=["/data", "no:such:mode"]))
        assert engine.runtime.containers == {}
        assert await engine.volumes.list({}) == []
        await engine.create("web")

    run(tmp_path, work)


def test_a_creation_whose_client_goes_away(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        gate = engine.runtime.hold("create")
        creating = spawn(engine.create("web"), name="test")
        await engine.runtime.reached["create"].wait()
        creating.cancel()
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await creating
        assert list(engine.runtime.containers) == [engine.records.get("web").id]

    run(tmp_path, work)


def test_two_names_at_once(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        results = await asyncio.gather(*(engine.create("web") for _ in range(5)), return_exceptions=True)
        assert sum(isinstance(r, Conflict) for r in results) == 4
        assert len(engine.runtime.containers) == len(engine.records.all()) == 1

    run(tmp_path, work)
