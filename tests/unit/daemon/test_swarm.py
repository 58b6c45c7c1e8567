"""A node founds a swarm and leaves it, on an engine of fakes: whatever happens on the way, nothing of it is left."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from tests.fakes.keeper import FakeKeeper
from tests.fakes.light_engine import LightEngine, eventually, light_engine
from tests.fakes.runtime import FakeRuntime

from shoal.aio.clock import SystemClock
from shoal.daemon.place import OwnEtcd
from shoal.daemon.swarm import Swarm
from shoal.engine.cluster import ClusterNetworks
from shoal.engine.engine import Engine
from shoal.engine.facts import Facts
from shoal.errors import (
    Conflict,
    FailedPrecondition,
    Forbidden,
    InvalidArgument,
    ShoalError,
    Unavailable,
)
from shoal.manager.logs import TaskLog
from shoal.manager.manager import Manager
from shoal.objects.container import ContainerConfig, HostConfig
from shoal.objects.ids import NodeId, TaskId
from shoal.objects.network import NetworkSpec
from shoal.objects.results import LogLine, LogQuery
from shoal.objects.task import Task
from shoal.wire.docker.swarm import SwarmInit, SwarmJoin, TokenRotation
from shoal.wire.logs import Line

FACTS = Facts("me", "x86_64", 2, 1 << 30, "6", "Debian", "12", ())


class FakeStreams:
    """Containers whose log is their id."""

    async def logs(self, ref: str, query: LogQuery) -> AsyncIterator[LogLine]:
        async def lines() -> AsyncIterator[LogLine]:
            yield Line("stdout", 1, ref.encode())

        return lines()


@dataclass
class EngineOfFakes:
    """What a :class:`Swarm` uses of an engine."""

    light: LightEngine

    def __getattr__(self, name: str) -> Any:
        return getattr(self.light, name)

    facts = FACTS
    streams = FakeStreams()
    node_images = health = None

    async def set_cluster(self, cluster: ClusterNetworks) -> None:
        await self.light.networks.set_cluster(cluster)
        await self.light.discovery.set_cluster(cluster.records)


@dataclass
class Node:
    """A shoald's engine and its membership."""

    engine: LightEngine
    swarm: Swarm
    port: int
    address: str = "127.0.0.1"

    def request(self, **changes: Any) -> SwarmInit:
        asked = {"listen_addr": f"127.0.0.1:{self.port}", "advertise_addr": f"127.0.0.1:{self.port}"}
        return SwarmInit(**(asked | changes))

    def nothing_of_a_swarm(self) -> None:
        """Assert that this node is as one that never was in a swarm."""
        assert self.swarm.membership is None and self.swarm.manager is None
        assert not (self.engine.folder / "swarm").exists()
        assert {n.name for n in self.engine.local_networks.all()} == {"bridge", "host", "none"}
        assert self.engine.kernel.node.overlays == {}
        assert self.engine.networks.cluster == ClusterNetworks()
        assert [c for c in self.engine.records.all() if c.task_id] == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((self.address, self.port))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def node(
    folder: Path,
    port: int,
    runtime: FakeRuntime,
    keeper: FakeKeeper,
    address: str = "127.0.0.1",
    store: OwnEtcd | None = None,
) -> AsyncIterator[Node]:
    async with light_engine(folder, runtime=runtime, keeper=keeper) as engine:
        swarm = Swarm(
            folder=folder / "swarm",
            data_root=folder,
            exec_root=folder / "run",
            store=store,
            engine=cast(Engine, EngineOfFakes(engine)),
            clock=SystemClock(),
        )
        engine.lifecycle.attacher = swarm
        await swarm.declare()
        await swarm.start()
        try:
            yield Node(engine, swarm, port, address)
        finally:
            await swarm.stop()


def run(
    folder: Path,
    *works: Callable[[Node], Awaitable[None]],
    between: Callable[[FakeRuntime], object] = lambda runtime: None,
) -> None:
    """One run of shoald after the other."""

    async def main() -> None:
        port, runtime, keeper = free_port(), FakeRuntime(), FakeKeeper()
        for number, work in enumerate(works):
            if number:
                between(runtime)
            async with node(folder, port, runtime, keeper) as made:
                await asyncio.wait_for(work(made), 30)  # type: ignore[arg-type]

    asyncio.run(main())


def test_found_and_leave(tmp_path: Path) -> None:
    async def work(made: Node) -> None:
        for _ in range(2):
            node_id = await made.swarm.init(made.request())
            assert made.swarm.control().nodes.get(node_id).is_ready
            assert made.engine.networks.cluster.ingress_addresses
            with pytest.raises(Unavailable, match="already part of a swarm"):
                await made.swarm.init(made.request())
            with pytest.raises(Unavailable, match="Use `--force` to ignore this message"):
                await made.swarm.leave(force=False)
            await made.swarm.leave(force=True)
            made.nothing_of_a_swarm()
        with pytest.raises(Unavailable, match="This node is not part of a swarm"):
            await made.swarm.leave(force=True)

    run(tmp_path, work)


def test_the_port_is_taken(tmp_path: Path) -> None:
    async def work(made: Node) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", made.port))
            other.listen()
            with pytest.raises(Conflict, match="in use"):
                await made.swarm.init(made.request())
        made.nothing_of_a_swarm()
        await made.swarm.init(made.request())
        await made.swarm.leave(force=True)
        made.nothing_of_a_swarm()

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"listen_addr": "nonsense"}, "listen address must be an IP address"),
        ({"advertise_addr": "0.0.0.0"}, "advertise address must be a non-zero IP address"),
        ({"data_path_addr": "0.0.0.0"}, "data path address must be a non-zero IP address"),
        ({"data_path_port": 80}, "Datapath port number is not in valid range"),
        ({"availability": "lazy"}, "invalid Availability"),
        ({"listen_addr": "127.0.0.1:99999"}, "port is no number"),
        ({"default_addr_pool": ["rubbish"]}, "rubbish"),
    ],
)
def test_requests_that_cannot_be(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    async def work(made: Node) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await made.swarm.init(made.request(**changes))
        assert words in str(caught.value)
        made.nothing_of_a_swarm()

    run(tmp_path, work)


def test_an_init_whose_client_goes_away_is_whole(tmp_path: Path) -> None:
    async def work(made: Node) -> None:
        for seconds in (0.0, 0.005, 0.01, 0.02):
            try:
                async with asyncio.timeout(seconds):
                    await made.swarm.init(made.request())
            except TimeoutError:
                pass
            if made.swarm.membership is not None:
                assert made.engine.networks.cluster.ingress_addresses
                await made.swarm.leave(force=True)
            made.nothing_of_a_swarm()

    run(tmp_path, work)


async def _plain_container(made: Node) -> tuple[str, str]:
    """One that is on an attachable network of the swarm; its id and the network's."""
    spec = NetworkSpec(name="over", attachable=True, driver_configuration=None)
    network = await made.swarm.control().networks.create(spec)
    key = await made.engine.run("web", network="bridge")
    await made.engine.attachments.connect(network.id, "over", "web", None)
    return key, network.id


def _attachments(made: Node) -> int:
    return sum(task.service_id is None for task in made.swarm.control().store.view.all(Task))


def test_leaving_with_plain_containers_on_the_swarms_networks(tmp_path: Path) -> None:
    async def work(made: Node) -> None:
        await made.swarm.init(made.request())
        key, _ = await _plain_container(made)
        assert len(made.engine.kernel.node.sandboxes[key].endpoints) == 2
        await made.swarm.leave(force=True)
        made.nothing_of_a_swarm()
        assert made.engine.state("web") == "running"
        assert list(made.engine.records.get("web").networks) == ["bridge"]
        assert len(made.engine.kernel.node.sandboxes[key].endpoints) == 1

    run(tmp_path, work)


def test_attachments_come_and_go(tmp_path: Path) -> None:
    async def work(made: Node) -> None:
        await made.swarm.init(made.request())
        key, network = await _plain_container(made)
        assert _attachments(made) == 1
        await made.engine.attachments.disconnect(network, "over", "web", force=False)
        await eventually(lambda: _attachments(made) == 0)
        await made.engine.attachments.connect(network, "over", "web", None)
        assert _attachments(made) == 1
        made.engine.runtime.end(key)
        await eventually(lambda: _attachments(made) == 0)
        with pytest.raises(Forbidden, match="not manually attachable"):
            closed = await made.swarm.control().networks.create(NetworkSpec(name="closed"))
            await made.engine.lifecycle.start(key)
            await made.engine.attachments.connect(closed.id, "closed", "web", None)
        await made.engine.containers.remove(key, force=True)
        await eventually(lambda: _attachments(made) == 0)
        await made.swarm.leave(force=True)

    run(tmp_path, work)


def test_an_attachment_of_a_container_that_ended_without_shoald(tmp_path: Path) -> None:
    ended: list[str] = []

    async def before(made: Node) -> None:
        await made.swarm.init(made.request())
        key, _ = await _plain_container(made)
        await made.engine.run("other", network="bridge")
        ended.append(key)

    async def after(made: Node) -> None:
        await eventually(lambda: made.engine.state("web") == "exited")
        await eventually(lambda: _attachments(made) == 0)
        await made.swarm.leave(force=True)
        made.nothing_of_a_swarm()

    run(tmp_path, before, after, between=lambda runtime: [runtime.end(key) for key in ended])


def test_the_next_run_is_it_again_even_without_its_port(tmp_path: Path) -> None:
    blocker, runs, ports = socket.socket(), [2, 1], list[int]()

    async def first(made: Node) -> None:
        ports.append(made.port)
        await made.swarm.init(made.request())

    async def second(made: Node) -> None:
        assert made.swarm.control().nodes.list()
        await eventually(lambda: bool(made.engine.networks.cluster.ingress_addresses))

    async def without(made: Node) -> None:
        assert made.swarm.membership is not None
        with pytest.raises(ShoalError):
            made.swarm.control()
        assert made.engine.networks.cluster.ingress_addresses
        blocker.close()
        await made.swarm.leave(force=True)
        made.nothing_of_a_swarm()

    def block(runtime: FakeRuntime) -> None:
        if runs.pop() == 2:
            blocker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            blocker.bind(("127.0.0.1", ports[0]))
            blocker.listen()

    run(tmp_path, first, second, without, between=block)


@asynccontextmanager
async def two(folder: Path) -> AsyncIterator[tuple[Node, Node]]:
    """A manager of a swarm at 127.0.0.1, and a node of none that will be reached at 127.0.0.2."""
    port = free_port()
    async with (
        node(folder / "one", port, FakeRuntime(), FakeKeeper()) as manager,
        node(folder / "two", port, FakeRuntime(), FakeKeeper(), "127.0.0.2") as other,
    ):
        await manager.swarm.init(manager.request())
        yield manager, other
        if other.swarm.membership is not None:
            await other.swarm.leave(force=True)
        await manager.swarm.leave(force=True)


def joining(manager: Node, **changes: Any) -> SwarmJoin:
    asked = {
        "listen_addr": f"127.0.0.2:{manager.port}",
        "advertise_addr": "127.0.0.2",
        "remote_addrs": [f"127.0.0.1:{manager.port}"],
        "join_token": manager.swarm.control().cluster.get().join_tokens.worker,
    }
    return SwarmJoin(**(asked | changes))


def with_two(folder: Path, work: Callable[[Node, Node], Awaitable[None]]) -> None:
    async def main() -> None:
        async with two(folder) as (manager, other):
            await asyncio.wait_for(work(manager, other), 30)  # type: ignore[arg-type]

    asyncio.run(main())


def test_a_worker_joins_and_leaves(tmp_path: Path) -> None:
    async def work(manager: Node, other: Node) -> None:
        nodes = manager.swarm.control().nodes
        for _ in range(2):
            await other.swarm.join(joining(manager))
            member = other.swarm.membership
            assert member is not None and not member.is_manager and other.swarm.manager is None
            node_id = member.node_id
            joined = nodes.get(node_id)
            assert (joined.is_ready, joined.spec.role, joined.status.addr) == (True, "worker", "127.0.0.2")
            assert other.engine.networks.cluster.ingress_addresses
            info = other.swarm.info()
            assert (info.local_node_state, info.control_available) == ("active", False)
            assert [m.addr for m in info.remote_managers or []] == [f"127.0.0.1:{manager.port}"]
            with pytest.raises(Unavailable, match="Worker nodes can't be used to view or modify cluster state"):
                other.swarm.control()
            with pytest.raises(Unavailable, match="already part of a swarm"):
                await other.swarm.join(joining(manager))
            await other.swarm.leave(force=False)
            other.nothing_of_a_swarm()
            await eventually(lambda key=node_id: nodes.get(key).status.state == "down")  # type: ignore[misc]
            await nodes.remove(node_id, force=False)
        assert len(nodes.list()) == 1

    with_two(tmp_path, work)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"join_token": "SWMTKN-1-mangled"}, InvalidArgument, "invalid join token"),
        ({"join_token": "SWMTKN-1-" + "1" * 50 + "-" + "0" * 25}, Forbidden, "remote CA does not match fingerprint"),
        ({"remote_addrs": ["127.0.0.3:1"]}, Unavailable, "127.0.0.3:1: connection refused"),
        ({"remote_addrs": []}, InvalidArgument, "at least 1 RemoteAddr"),
        ({"availability": "lazy"}, InvalidArgument, 'invalid Availability: "lazy"'),
        ({"advertise_addr": "127.0.0.1"}, Conflict, "give each machine an address of its own"),
        ({"join_token": "manager"}, FailedPrecondition, "cannot be a manager: etcd is not installed"),
    ],
)
def test_joins_that_cannot_be(
    tmp_path: Path, changes: dict[str, Any], kind: type[ShoalError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    async def work(manager: Node, other: Node) -> None:
        if changes.get("join_token") == "manager":
            tokens = manager.swarm.control().cluster.get().join_tokens
            changes.update(join_token=tokens.manager)
        with pytest.raises(kind) as caught:
            await other.swarm.join(joining(manager, **changes))
        assert words in str(caught.value)
        assert other.swarm.membership is None and not (other.engine.folder / "swarm").exists()
        assert len(manager.swarm.control().nodes.list()) == 1

    with_two(tmp_path, work)


def test_a_token_that_was_rotated_lets_nobody_in(tmp_path: Path) -> None:
    async def work(manager: Node, other: Node) -> None:
        asked = joining(manager)
        cluster = manager.swarm.control().cluster.get()
        await manager.swarm.update(cluster.spec, cluster.version.index, TokenRotation(worker_token=True))
        with pytest.raises(InvalidArgument, match="A valid join token is necessary to join this cluster"):
            await other.swarm.join(asked)
        await other.swarm.join(joining(manager))

    with_two(tmp_path, work)


def test_a_clock_that_is_wrong_is_said(tmp_path: Path) -> None:
    class Wrong(SystemClock):
        def now(self) -> datetime:
            return super().now() - timedelta(days=400)

    async def work(manager: Node, other: Node) -> None:
        other.swarm._clock = Wrong()
        with pytest.raises(Forbidden, match="the clocks differ too much"):
            await other.swarm.join(joining(manager))

    with_two(tmp_path, work)


def test_a_node_that_is_removed_stops_what_it_ran(tmp_path: Path) -> None:
    async def work(manager: Node, other: Node) -> None:
        await other.swarm.join(joining(manager))
        assert other.swarm.membership is not None
        node_id = other.swarm.membership.node_id
        with pytest.raises(FailedPrecondition, match="is not down and can't be removed"):
            await manager.swarm.control().nodes.remove(node_id, force=False)
        await manager.swarm.control().nodes.remove(node_id, force=True)
        await eventually(lambda: other.swarm.info().local_node_state == "error")
        assert "removed" in other.swarm.info().error
        await eventually(lambda: not other.engine.networks.cluster.networks)
        await other.swarm.leave(force=False)
        other.nothing_of_a_swarm()

    with_two(tmp_path, work)


async def _log(manager: Manager, node_id: str, task_id: str) -> list[bytes]:
    task = Task(id=TaskId(task_id), node_id=NodeId(node_id))
    log = TaskLog(task, LogQuery(), manager)
    return [line.line.data async for batch in log.batches() for line in batch]


def test_a_manager_reads_the_logs_of_a_nodes_own_tasks_and_of_nothing_else(tmp_path: Path) -> None:
    async def work(manager: Node, other: Node) -> None:
        await other.swarm.join(joining(manager))
        assert manager.swarm.membership is not None and other.swarm.membership is not None
        here, there = manager.swarm.membership.node_id, other.swarm.membership.node_id
        made = {}
        for at, task_id in ((manager, "t1"), (other, "t2")):
            config = ContainerConfig(image="box")
            found = await at.engine.containers.create_for_task(
                task_id, task_id, config, HostConfig(network_mode="none"), {}, on_mesh=False
            )
            made[task_id] = found.id.encode()
        plain = await other.engine.create("plain")
        control = manager.swarm.control()
        assert await _log(control, here, "t1") == [made["t1"]]
        assert await _log(control, there, "t2") == [made["t2"]]
        for foreign in ("t1", "", plain, "nothing"):
            assert await _log(control, there, foreign) == []
        await other.swarm.leave(force=False)
        with pytest.raises(Unavailable, match=f"node {there} is not available"):
            await _log(control, there, "t2")

    with_two(tmp_path, work)


def test_a_worker_cannot_be_promoted_without_etcd_and_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    async def work(manager: Node, other: Node) -> None:
        await other.swarm.join(joining(manager))
        assert other.swarm.membership is not None
        nodes = manager.swarm.control().nodes
        worker = nodes.get(other.swarm.membership.node_id)
        with pytest.raises(FailedPrecondition, match="etcd is not installed"):
            await nodes.update(worker.id, replace(worker.spec, role="manager"), worker.version.index)
        assert nodes.get(worker.id).spec.role == "worker"

    with_two(tmp_path, work)


def test_what_plain_containers_had_of_a_network_goes_with_their_node(tmp_path: Path) -> None:
    async def work(manager: Node, other: Node) -> None:
        for leaves in (True, False):
            await other.swarm.join(joining(manager))
            spec = NetworkSpec(name=f"over{leaves}", attachable=True, driver_configuration=None)
            network = await manager.swarm.control().networks.create(spec)
            await eventually(lambda name=spec.name: other.swarm.attachable(name) is not None)  # type: ignore[misc]
            key = await other.engine.run(f"web{leaves}", network="bridge")
            await other.engine.attachments.connect(network.id, spec.name, key, None)
            assert _attachments(manager) == 1
            assert other.swarm.membership is not None
            node_id = other.swarm.membership.node_id
            if leaves:
                await other.swarm.leave(force=False)
                await eventually(lambda: _attachments(manager) == 0)
            await manager.swarm.control().nodes.remove(node_id, force=True)
            assert _attachments(manager) == 0
            await manager.swarm.control().networks.remove(network.id)
        await eventually(lambda: other.swarm.info().local_node_state == "error")

    with_two(tmp_path, work)
