"""Sessions with fake connections: what agents are sent, and what they may say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes.clock import FakeClock
from tests.fakes.nodes import a_node

from shoal.aio.tasks import cancel, spawn
from shoal.errors import Forbidden, InvalidArgument
from shoal.manager.cluster import the_cluster
from shoal.manager.dispatcher.dispatcher import Dispatcher, Session
from shoal.manager.dispatcher.streams import Streams
from shoal.manager.dispatcher.withdrawals import PATIENCE
from shoal.objects.base import timestamp
from shoal.objects.cluster import Cluster, DispatcherConfig, RootRotation
from shoal.objects.ids import ClusterId, NetworkId, NodeId, TaskId
from shoal.objects.meta import Driver
from shoal.objects.network import Network, NetworkAttachment, NetworkSpec
from shoal.objects.node import ManagerStatus, Node, NodeDescription, NodeStatus, TLSInfo
from shoal.objects.results import LogQuery
from shoal.objects.state import TaskState
from shoal.objects.task import Task, TaskStatus
from shoal.store.backends.memory import MemoryBackend
from shoal.store.store import Store
from shoal.store.tx import Tx
from shoal.wire.cluster import (
    Applied,
    Assignments,
    ClusterResource,
    FromManager,
    Heartbeat,
    Hello,
    ReadLog,
    RelayRead,
    Resource,
    ServiceResource,
    StatusReport,
    StatusTaken,
    StatusUpdate,
    TaskResource,
    Welcome,
)

HELLO = Hello(description=NodeDescription(hostname="box"), addr="192.0.2.7")


class FakeAgent:
    """The far end of a connection: applies what it is sent as an agent does."""

    def __init__(self) -> None:
        self.got: list[FromManager] = []
        self.resources: dict[str, Resource] = {}
        self.version = 0
        self.closed = False
        self.gone = False
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message: FromManager) -> None:
        await self.reads.wait()
        if self.gone or self.closed:
            raise ConnectionResetError("gone")
        self.got.append(message)
        if isinstance(message, Assignments):
            assert message.full == (self.version == 0) and message.version == self.version + 1
            assert message.base == self.version
            self.version = message.version
            for key in message.remove:
                del self.resources[key]
            self.resources.update({r.key: r for r in message.put})

    async def close(self, *, removed: bool = False) -> None:
        self.closed, self.removed = True, removed


class Rig:
    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.dispatcher = Dispatcher(store=store, clock=clock, streams=Streams())

    async def join(self, node_id: str) -> tuple[Session, FakeAgent]:
        agent = FakeAgent()
        session = await self.dispatcher.serve(node_id, agent, HELLO)
        await self.turn()
        return session, agent

    async def pass_by(self, seconds: float) -> None:
        """Let time go by as it does for a manager that runs."""
        for _ in range(round(seconds * 4)):
            await self.clock.advance(0.25)

    async def turn(self) -> None:
        """Long enough for changes that are gathered to go out."""
        await self.clock.advance(0.01)

    async def put(self, *tasks: Task) -> None:
        def change(tx: Tx) -> None:
            for task in tasks:
                tx.create(task) if tx.get(Task, task.id) is None else tx.update(task)

        await self.store.update(change)
        await self.turn()

    def node(self, node_id: str) -> NodeStatus:
        node = self.store.view.get(Node, node_id)
        assert node is not None
        return node.status

    def state(self, task_id: str) -> str:
        task = self.store.view.get(Task, task_id)
        assert task is not None
        return task.status.state

    async def report(self, session: Session, task_id: str, state: str) -> None:
        status = TaskStatus(timestamp=timestamp(self.clock.now()), state=state)
        await self.dispatcher.receive(
            session, StatusReport(number=1, updates=[StatusUpdate(task_id=task_id, status=status)])
        )


@asynccontextmanager
async def a_rig() -> AsyncIterator[Rig]:
    clock = FakeClock()
    store = await Store.open(backend=MemoryBackend(), clock=clock)
    rig = Rig(store, clock)

    def change(tx: Tx) -> None:
        tx.create(Cluster(id=ClusterId("c")))
        for name in ("n1", "n2"):
            tx.create(replace(a_node(name), status=NodeStatus(state="unknown")))

    await store.update(change)
    loops = [spawn(rig.dispatcher.run(), name="run"), spawn(rig.dispatcher.watch_heartbeats(), name="beats")]
    try:
        await rig.turn()
        yield rig
        assert not any(task.done() for task in loops)
    finally:
        await rig.dispatcher.close()
        await cancel(*loops)


def flow(body: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        async with a_rig() as rig:
            await body(rig)

    asyncio.run(asyncio.wait_for(whole(), 30))


def a_task(key: str, node: str, state: str = "assigned") -> Task:
    return Task(id=TaskId(key), node_id=NodeId(node), status=TaskStatus(state=state))


def test_the_whole_first_and_then_the_differences() -> None:
    async def body(rig: Rig) -> None:
        await rig.put(a_task("t1", "n1"))
        _, agent = await rig.join("n1")
        assert [type(m) for m in agent.got] == [Welcome, Assignments]
        assert "task/t1" in agent.resources and (rig.node("n1").state, rig.node("n1").addr) == ("ready", "192.0.2.7")
        await rig.put(a_task("t2", "n1"), a_task("t3", "n2"))
        last = agent.got[-1]
        assert isinstance(last, Assignments) and [r.key for r in last.put] == ["task/t2"] and not last.remove
        await rig.store.update(lambda tx: tx.delete(a_task("t1", "n1")))
        await rig.turn()
        assert {key for key in agent.resources if key.startswith("task/")} == {"task/t2"}
        sent = len(agent.got)
        await rig.put(a_task("t3", "n2", "running"))
        assert len(agent.got) == sent

    flow(body)


def test_a_stranger_gets_no_session() -> None:
    async def body(rig: Rig) -> None:
        with pytest.raises(Forbidden, match="not a member"):
            await rig.join("n9")

    flow(body)


def test_statuses_go_up_only_and_only_for_own_tasks() -> None:
    async def body(rig: Rig) -> None:
        await rig.put(a_task("mine", "n1"), a_task("theirs", "n2"))
        session, agent = await rig.join("n1")
        await rig.report(session, "mine", "running")
        assert rig.state("mine") == "running" and isinstance(agent.got[-1], StatusTaken)
        for lower in ("assigned", "starting", "new"):
            await rig.report(session, "mine", lower)
            assert rig.state("mine") == "running"
        await rig.report(session, "theirs", "failed")
        assert rig.state("theirs") == "assigned"
        await rig.report(session, "unheard-of", "failed")
        await rig.report(session, "mine", "failed")
        await rig.report(session, "mine", "running")
        assert rig.state("mine") == "failed"

    flow(body)


def test_a_silent_agent_is_down_and_may_come_back() -> None:
    async def body(rig: Rig) -> None:
        session, agent = await rig.join("n1")
        for _ in range(8):
            await rig.pass_by(2)
            await rig.dispatcher.receive(session, Heartbeat())
        assert rig.node("n1").state == "ready" and not agent.closed
        await rig.pass_by(4.5)
        assert rig.node("n1").state == "ready"
        await rig.pass_by(1)
        assert rig.node("n1").state == "down" and agent.closed
        assert rig.node("n1").message == "heartbeat failure"
        await rig.join("n1")
        assert rig.node("n1").state == "ready"

    flow(body)


def test_a_second_session_of_a_node_ends_the_first_without_the_node_going_down() -> None:
    async def body(rig: Rig) -> None:
        first, old = await rig.join("n1")
        _, new = await rig.join("n1")
        assert old.closed and not new.closed
        rig.dispatcher.end(first)
        assert rig.node("n1").state == "ready"
        await rig.put(a_task("t", "n1"))
        assert "task/t" in new.resources and "task/t" not in old.resources

    flow(body)


def test_a_line_that_breaks_moves_no_task_until_the_heartbeats_are_missed() -> None:
    async def body(rig: Rig) -> None:
        session, _ = await rig.join("n1")
        rig.dispatcher.end(session)
        await rig.pass_by(14)
        assert rig.node("n1").state == "ready"
        session, _ = await rig.join("n1")
        await rig.pass_by(4)
        assert rig.node("n1").state == "ready"
        rig.dispatcher.end(session)
        await rig.pass_by(17)
        assert rig.node("n1").state == "down"

    flow(body)


def test_a_manager_that_stood_still_holds_nobody_for_dead() -> None:
    async def body(rig: Rig) -> None:
        session, agent = await rig.join("n1")
        await rig.pass_by(4)
        await rig.clock.stall(60)
        assert rig.node("n1").state == "ready" and not agent.closed
        await rig.dispatcher.receive(session, Heartbeat())
        await rig.pass_by(4)
        assert rig.node("n1").state == "ready"

    flow(body)


def test_of_two_sessions_that_begin_at_once_one_lives() -> None:
    async def body(rig: Rig) -> None:
        agents = [FakeAgent(), FakeAgent()]
        await asyncio.gather(*(rig.dispatcher.serve("n1", agent, HELLO) for agent in agents))
        await rig.turn()
        assert sorted(agent.closed for agent in agents) == [False, True]
        await rig.put(a_task("t", "n1"))
        assert ["task/t" in a.resources for a in agents if not a.closed] == [True]
        assert rig.node("n1").state == "ready"

    flow(body)


def test_a_node_that_went_while_it_was_welcomed_does_not_stay_ready() -> None:
    async def body(rig: Rig) -> None:
        await rig.join("n1")
        broken = FakeAgent()
        broken.gone = True
        with pytest.raises(ConnectionError):
            await rig.dispatcher.serve("n1", broken, HELLO)
        await rig.pass_by(30)
        assert rig.node("n1").state == "down"

    flow(body)


def test_a_node_that_died_while_no_manager_ran_is_found_out() -> None:
    async def body(rig: Rig) -> None:
        node = rig.store.view.get(Node, "n2")
        assert node is not None
        await rig.store.update(lambda tx: tx.update(replace(node, status=NodeStatus(state="ready"))))
        await rig.clock.advance(10)
        assert rig.node("n2").state == "ready"
        await rig.clock.advance(20)
        assert rig.node("n2").state == "down"

    flow(body)


def test_at_a_takeover_a_node_whose_machine_is_dead_is_not_waited_for_as_one_whose_shoald_is() -> None:
    async def body(rig: Rig) -> None:
        for name in ("n1", "n2"):
            node = rig.store.view.get(Node, name)
            assert node is not None
            manager = replace(node, manager_status=ManagerStatus(addr=f"{name}:1"), status=NodeStatus(state="ready"))
            await rig.store.update(lambda tx, manager=manager: tx.update(manager))  # type: ignore[misc]
        taking_over = Dispatcher(store=rig.store, clock=rig.clock, streams=Streams(), unreached=lambda: {"n2"})
        watching = spawn(taking_over.watch_heartbeats(), name="beats of the next leader")
        try:
            await rig.pass_by(2.5)
            assert rig.node("n2").state == "ready"
            await rig.pass_by(1.5)
            assert rig.node("n2").state == "down"
            await rig.pass_by(10)
            assert rig.node("n1").state == "ready"
            await rig.pass_by(4)
            assert rig.node("n1").state == "down"
        finally:
            await cancel(watching)

    flow(body)


def test_after_a_takeover_a_task_is_not_stopped_before_all_nodes_have_heard_of_it() -> None:
    """The dispatcher before may have died between telling the others and hearing that they know."""

    async def body(rig: Rig) -> None:
        for name in ("n1", "n2"):
            node = rig.store.view.get(Node, name)
            assert node is not None
            ready = replace(node, status=NodeStatus(state="ready"))
            await rig.store.update(lambda tx, ready=ready: tx.update(ready))  # type: ignore[misc]
        await rig.put(replace(a_task("t1", "n1", "running"), desired_state="shutdown"))

        def wanted(agent: FakeAgent) -> str:
            found = agent.resources["task/t1"]
            assert isinstance(found, TaskResource)
            return found.task.desired_state

        first, mine = await rig.join("n1")
        await rig.dispatcher.receive(first, Applied(version=1))
        await rig.turn()
        assert wanted(mine) == "running"
        second, _ = await rig.join("n2")
        await rig.dispatcher.receive(second, Applied(version=1))
        await rig.turn()
        assert wanted(mine) == "shutdown"

    flow(body)


def test_after_a_takeover_a_node_that_does_not_come_is_not_waited_for_for_ever() -> None:
    async def body(rig: Rig) -> None:
        node = rig.store.view.get(Node, "n2")
        assert node is not None
        await rig.store.update(lambda tx: tx.update(replace(node, status=NodeStatus(state="ready"))))
        await rig.put(replace(a_task("t1", "n1", "running"), desired_state="shutdown"))
        _, mine = await rig.join("n1")
        await rig.pass_by(PATIENCE + 1)
        found = mine.resources["task/t1"]
        assert isinstance(found, TaskResource) and found.task.desired_state == "shutdown"

    flow(body)


def test_a_manager_has_a_node_asked_through_the_leader_and_nobody_else_has() -> None:
    async def body(rig: Rig) -> None:
        manager, _ = await rig.join("n1")
        _, asked = await rig.join("n2")
        wanted = RelayRead(
            node_id="n2", wanted=ReadLog(stream_id="s", task_id="t", query=LogQuery(), manager="192.0.2.1:2377")
        )
        await rig.dispatcher.receive(manager, wanted)
        assert not [m for m in asked.got if isinstance(m, ReadLog)]
        node = rig.store.view.get(Node, "n1")
        assert node is not None
        promoted = replace(node, spec=replace(node.spec, role="manager"))
        await rig.store.update(lambda tx: tx.update(promoted))
        await rig.dispatcher.receive(manager, wanted)
        assert [m for m in asked.got if isinstance(m, ReadLog)] == [wanted.wanted]
        await rig.dispatcher.receive(manager, replace(wanted, node_id="n9"))

    flow(body)


def test_every_node_hears_at_once_of_a_manager_and_of_what_it_is_to_be() -> None:
    async def body(rig: Rig) -> None:
        _, agent = await rig.join("n2")

        def told() -> ClusterResource:
            found = agent.resources["cluster"]
            assert isinstance(found, ClusterResource)
            return found

        assert (told().managers, told().role) == ({}, "worker")
        for name, reachability in (("n1", "unknown"), ("n1", "reachable")):
            node = rig.store.view.get(Node, name)
            assert node is not None
            status = ManagerStatus(addr="192.0.2.1:2377", reachability=reachability)
            known = replace(node, manager_status=status)
            await rig.store.update(lambda tx, known=known: tx.update(known))  # type: ignore[misc]
            await rig.turn()
            assert told().managers == ({"n1": "192.0.2.1:2377"} if reachability == "reachable" else {})
        second = rig.store.view.get(Node, "n2")
        assert second is not None
        promoted = replace(second, spec=replace(second.spec, role="manager"))
        await rig.store.update(lambda tx: tx.update(promoted))
        await rig.turn()
        assert told().role == "manager"

    flow(body)


def test_a_node_that_reads_slowly_holds_up_no_other_and_gets_the_newest() -> None:
    async def body(rig: Rig) -> None:
        _, slow = await rig.join("n1")
        _, quick = await rig.join("n2")
        slow.reads.clear()
        for number in range(5):
            await rig.put(a_task(f"a{number}", "n1"), a_task(f"b{number}", "n2"))
        assert len([key for key in quick.resources if key.startswith("task/")]) == 5
        slow.reads.set()
        await rig.turn()
        assert len([key for key in slow.resources if key.startswith("task/")]) == 5
        assert slow.version <= 3

    flow(body)


def test_a_manager_that_goes_leaves_its_nodes_as_they_are() -> None:
    async def body(rig: Rig) -> None:
        _, agent = await rig.join("n1")
        await rig.dispatcher.close()
        assert agent.closed and rig.node("n1").state == "ready"

    flow(body)


class OnANetwork:
    """A network, and the tasks ``mine`` on n1 and ``theirs`` on n2 that serve on it."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.network = Network(id=NetworkId("net"), spec=NetworkSpec(name="net"), driver_state=Driver())

    def task(self, key: str, node: str, desired: TaskState = TaskState.RUNNING) -> Task:
        attachment = NetworkAttachment(network=self.network, addresses=["10.0.0.5/24"])
        task = a_task(key, node, "running")
        return replace(task, networks_attachments=[attachment], desired_state=desired.word)

    async def begin(self) -> tuple[tuple[Session, FakeAgent], tuple[Session, FakeAgent]]:
        await self.rig.store.update(lambda tx: tx.create(self.network))
        await self.rig.put(self.task("mine", "n1"), self.task("theirs", "n2"))
        first, second = await self.rig.join("n1"), await self.rig.join("n2")
        for session, agent in (first, second):
            await self.rig.dispatcher.receive(session, Applied(version=agent.version))
        return first, second


def wanted_of(agent: FakeAgent, key: str) -> str:
    resource = agent.resources[f"task/{key}"]
    assert isinstance(resource, TaskResource)
    return resource.task.desired.word


def serves(agent: FakeAgent, key: str) -> bool:
    services = [r for r in agent.resources.values() if isinstance(r, ServiceResource)]
    return any(e.serving for service in services for e in service.endpoints if e.task_id == key)


def test_a_task_is_stopped_when_nobody_sends_to_it_any_more() -> None:
    async def body(rig: Rig) -> None:
        bench = OnANetwork(rig)
        (mine, agent), (other, neighbour) = await bench.begin()
        assert serves(neighbour, "mine")
        await rig.put(bench.task("mine", "n1", TaskState.SHUTDOWN))
        assert not serves(neighbour, "mine") and not serves(agent, "mine")
        assert wanted_of(agent, "mine") == "running"
        await rig.dispatcher.receive(mine, Applied(version=agent.version))
        await rig.dispatcher.receive(other, Applied(version=neighbour.version - 1))
        await rig.turn()
        assert wanted_of(agent, "mine") == "running"
        await rig.dispatcher.receive(other, Applied(version=neighbour.version))
        await rig.turn()
        assert wanted_of(agent, "mine") == "shutdown"

    flow(body)


def test_a_node_that_does_not_answer_is_not_waited_for_for_ever() -> None:
    async def body(rig: Rig) -> None:
        bench = OnANetwork(rig)
        (mine, agent), (other, _) = await bench.begin()
        await rig.put(bench.task("mine", "n1", TaskState.SHUTDOWN))
        for _ in range(6):
            assert wanted_of(agent, "mine") == "running"
            await rig.pass_by(PATIENCE / 8)
            await rig.dispatcher.receive(mine, Heartbeat())
            await rig.dispatcher.receive(other, Heartbeat())
        await rig.pass_by(PATIENCE / 2)
        assert wanted_of(agent, "mine") == "shutdown"

    flow(body)


def test_a_node_that_goes_is_waited_for_no_longer() -> None:
    async def body(rig: Rig) -> None:
        bench = OnANetwork(rig)
        (mine, agent), (other, _) = await bench.begin()
        await rig.put(bench.task("mine", "n1", TaskState.SHUTDOWN))
        rig.dispatcher.end(other)
        await rig.dispatcher.receive(mine, Applied(version=agent.version))
        await rig.turn()
        assert wanted_of(agent, "mine") == "shutdown"

    flow(body)


def test_a_shorter_heartbeat_period_counts_for_sessions_that_know_of_it() -> None:
    async def body(rig: Rig) -> None:
        session, _ = await rig.join("n1")

        def change(tx: Tx) -> None:
            (cluster,) = tx.all(Cluster)
            spec = replace(cluster.spec, dispatcher=DispatcherConfig(heartbeat_period=1_000_000_000))
            tx.update(replace(cluster, spec=spec))

        await rig.store.update(change)
        await rig.pass_by(4.5)
        assert rig.node("n1").state == "ready"
        rig.dispatcher.end(session)
        await rig.join("n1")
        await rig.pass_by(1.5)
        assert rig.node("n1").state == "down"

    flow(body)


@pytest.mark.parametrize("addr", ["x", "", "0.0.0.0", "224.0.0.1", "fd00::1"])
def test_a_node_whose_tunnels_can_end_nowhere_gets_no_session(addr: str) -> None:
    async def body(rig: Rig) -> None:
        await rig.join("n2")
        with pytest.raises(InvalidArgument):
            await rig.dispatcher.serve("n1", FakeAgent(), replace(HELLO, addr=addr))
        assert rig.node("n1").state == "unknown"

    flow(body)


def test_an_mtu_that_cannot_be_is_none() -> None:
    async def body(rig: Rig) -> None:
        for told, kept in ((60, 0), (1280, 1280), (10**9, 0)):
            await rig.dispatcher.serve("n1", FakeAgent(), replace(HELLO, mtu=told))
            node = rig.store.view.get(Node, "n1")
            assert node is not None and node.underlay_mtu == kept

    flow(body)


def test_texts_are_kept_as_far_as_anybody_reads_them() -> None:
    async def body(rig: Rig) -> None:
        await rig.put(a_task("mine", "n1"))
        session, _ = await rig.join("n1")
        status = TaskStatus(timestamp=timestamp(rig.clock.now()), state="failed", err="no" * 10_000)
        report = StatusReport(number=1, updates=[StatusUpdate(task_id="mine", status=status)])
        await rig.dispatcher.receive(session, report)
        kept = rig.store.view.get(Task, "mine")
        assert kept is not None and kept.status.err == "no" * 2048

    flow(body)


def test_states_that_there_are_not_change_nothing() -> None:
    async def body(rig: Rig) -> None:
        await rig.put(a_task("mine", "n1"))
        session, _ = await rig.join("n1")
        await rig.report(session, "mine", "sleeping")
        assert rig.state("mine") == "assigned"

    flow(body)


def test_a_task_is_not_stopped_by_what_was_not_noted_yet() -> None:
    async def body(rig: Rig) -> None:
        bench = OnANetwork(rig)
        (mine, agent), (other, neighbour) = await bench.begin()
        stopped = bench.task("mine", "n1", TaskState.SHUTDOWN)
        await rig.store.update(lambda tx: tx.update(stopped))
        # Something else has this node told anew before the change is noted.
        await rig.dispatcher._offer([mine])
        await rig.clock.settle()
        assert wanted_of(agent, "mine") == "running" and serves(neighbour, "mine")
        await rig.turn()
        assert wanted_of(agent, "mine") == "running" and not serves(neighbour, "mine")
        for session, far in ((mine, agent), (other, neighbour)):
            await rig.dispatcher.receive(session, Applied(version=far.version))
        await rig.turn()
        assert wanted_of(agent, "mine") == "shutdown"

    flow(body)


def test_managers_are_told_of_another_root_one_after_the_other_and_workers_at_once() -> None:
    def told(agent: FakeAgent) -> tuple[str, int]:
        cluster = agent.resources["cluster"]
        assert isinstance(cluster, ClusterResource)
        return cluster.trust, cluster.rotation

    def said(trust: str, rotation: int) -> Hello:
        return Hello(
            description=NodeDescription(hostname="box", tls_info=TLSInfo(trust_root=trust)),
            addr="192.0.2.7",
            rotation=rotation,
        )

    async def body(rig: Rig) -> None:
        def change(tx: Tx) -> None:
            root = RootRotation(certificate="new,", key="")
            tx.update(replace(the_cluster(tx), tls_info=TLSInfo(trust_root="old,"), rotation=root, rotations=1))
            for name in ("n1", "n2"):
                tx.update(replace(a_node(name), manager_status=ManagerStatus(addr="192.0.2.1:2377")))
            tx.create(a_node("n3"))

        await rig.store.update(change)
        (first, one), (second, two), (_, three) = [await rig.join(name) for name in ("n1", "n2", "n3")]
        for session in (first, second):
            await rig.dispatcher.receive(session, said("old,", 0))
        await rig.turn()
        assert [told(agent) for agent in (one, two, three)] == [("old,new,", 1), ("", 0), ("old,new,", 1)]
        await rig.dispatcher.receive(first, said("old,new,", 1))
        await rig.turn()
        assert [told(agent) for agent in (one, two)] == [("old,new,", 1)] * 2
        node = rig.store.view.get(Node, "n1")
        assert node is not None and node.rotation == 1 and node.is_ready
        revision = rig.store.revision
        await rig.dispatcher.receive(first, said("old,new,", 1))
        assert rig.store.revision == revision

    flow(body)
