"""The node's snapshot: taken in, kept, gone through with and forgotten, with a real database."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.controller import FakeController
from tests.fakes.light_engine import eventually

from shoal.agent.worker import Worker
from shoal.aio.clock import SystemClock
from shoal.engine.cluster import ClusterNetworks
from shoal.errors import Internal, ShoalError, Unavailable
from shoal.localdb.localdb import LocalDB
from shoal.objects.ids import NetworkId, NodeId, TaskId
from shoal.objects.network import Network, NetworkSpec
from shoal.objects.service import ContainerSpec, NetworkAttachmentSpec, TaskSpec
from shoal.objects.state import TaskState
from shoal.objects.task import NetworkAttachment, Task, TaskStatus
from shoal.wire.cluster import (
    Assignments,
    EndpointRecord,
    NetworkResource,
    Resource,
    ServiceResource,
    TaskResource,
)

NETWORK = Network(id=NetworkId("n1"), spec=NetworkSpec(name="net", attachable=True))


def a_task(task_id: str, desired: TaskState = TaskState.RUNNING) -> TaskResource:
    spec = TaskSpec(container_spec=ContainerSpec(image="box"))
    return TaskResource(
        task=Task(id=TaskId(task_id), spec=spec, node_id=NodeId("me"), desired_state=desired.word, service_name="s")
    )


def an_attachment(task_id: str, container_id: str) -> TaskResource:
    spec = TaskSpec(network_attachment_spec=NetworkAttachmentSpec(container_id=container_id))
    place = NetworkAttachment(network=NETWORK, addresses=["10.0.1.7/24"])
    return TaskResource(task=Task(id=TaskId(task_id), spec=spec, networks_attachments=[place]))


def a_service(*task_ids: str) -> ServiceResource:
    endpoints = [
        EndpointRecord(
            task_id=task_id,
            name=f"web.{slot}.{task_id}",
            slot=slot,
            node_id="me",
            address=f"10.0.1.{slot + 10}/24",
            aliases=[],
            serving=True,
        )
        for slot, task_id in enumerate(task_ids)
    ]
    return ServiceResource(
        network_id="n1", service_id="s", name="web", aliases=[], vip="10.0.1.2/24", ports=[], endpoints=endpoints
    )


def version(number: int, *put: Resource, full: bool = False, remove: Collection[str] = ()) -> Assignments:
    return Assignments(version=number, base=number - 1, full=full, put=list(put), remove=list(remove))


@dataclass
class Bench:
    """A worker on a machine of fakes, one run of shoald after the other."""

    db: LocalDB
    controllers: dict[str, FakeController] = field(default_factory=dict)
    told: list[ClusterNetworks] = field(default_factory=list)
    network_fails: list[ShoalError] = field(default_factory=list)
    kept: list[set[str]] = field(default_factory=list)
    reports: list[tuple[str, str]] = field(default_factory=list)
    on_report: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.worker = Worker(
            node_id="me",
            underlay_mtu=1500,
            controller_of=self._controller,
            tell_networks=self._tell,
            remove_others=self._remove_others,
            report=self._report,
            is_alone=lambda: False,
            hand_over=self._hand_over,
            db=self.db,
            clock=SystemClock(),
        )

    def _controller(self, task: Task) -> FakeController:
        return self.controllers.setdefault(task.id, FakeController())

    async def _tell(self, networks: ClusterNetworks) -> None:
        if self.network_fails:
            raise self.network_fails.pop(0)
        self.told.append(networks)

    async def _remove_others(self, task_ids: Collection[str]) -> None:
        self.kept.append(set(task_ids))

    async def _hand_over(self, task_id: str, status: TaskStatus) -> bool:
        return True

    def _report(self, task_id: str, status: TaskStatus) -> None:
        self.reports.append((task_id, status.state))
        self.on_report()

    def states(self, task_id: str) -> list[str]:
        return [state for key, state in self.reports if key == task_id]

    async def state(self, task_id: str, state: str) -> None:
        await eventually(lambda: self.states(task_id)[-1:] == [state])

    def again(self) -> "Bench":
        """The next run of shoald."""
        return Bench(self.db, self.controllers)


def run(folder: Path, work: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        db = await LocalDB.open(folder / "node.db")
        await asyncio.wait_for(work(Bench(db)), 20)  # type: ignore[arg-type]
        await db.close()

    asyncio.run(main())


def test_versions(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.worker.assign(version(1, a_task("t1"), a_task("t2"), NetworkResource(network=NETWORK), full=True))
        await bench.state("t1", "running")
        await bench.state("t2", "running")
        assert set(bench.told[-1].networks) == {"n1"}
        await bench.worker.assign(version(2, a_task("t1", TaskState.SHUTDOWN), remove=["task/t2"]))
        await bench.state("t1", "shutdown")
        await eventually(lambda: bench.controllers["t2"].removed)
        assert not bench.controllers["t1"].removed
        assert set(bench.told[-1].networks) == {"n1"}
        await eventually(lambda: set(bench.worker.statuses()) == {"t1"})
        await bench.worker.assign(version(9, a_task("t3"), full=True))
        await bench.state("t3", "running")
        await eventually(lambda: bench.controllers["t1"].removed)
        assert bench.told[-1].networks == {}
        await bench.worker.leave()
        assert bench.controllers["t3"].running

    run(tmp_path, work)


def test_the_next_run_goes_on_without_a_manager(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.worker.assign(version(1, a_task("t1"), a_task("t2"), NetworkResource(network=NETWORK), full=True))
        await bench.state("t1", "running")
        await bench.state("t2", "running")
        # Killed while it removes t2: the snapshot has it no more, its container and status are still there.
        bench.controllers["t2"].held["shutdown"] = asyncio.Event()
        await bench.worker.assign(version(2, remove=["task/t2"]))
        await bench.worker.leave()
        assert not bench.controllers["t2"].removed
        after = bench.again()
        await after.worker.declare()
        assert set(after.told[-1].networks) == {"n1"}
        assert set(after.worker.statuses()) == {"t1", "t2"}
        await after.worker.start()
        assert after.kept == [{"t1"}]
        assert set(after.worker.statuses()) == {"t1"}
        assert after.states("t1") == []
        after.controllers["t1"].end(0)
        await after.state("t1", "complete")
        await after.worker.leave()

    run(tmp_path, work)


def test_a_network_that_fails_stops_no_task_from_being_stopped(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.worker.assign(version(1, a_task("t1"), full=True))
        await bench.state("t1", "running")
        bench.network_fails = [Internal("no")]
        try:
            await bench.worker.assign(version(2, a_task("t1", TaskState.SHUTDOWN)))
        except Internal:
            pass
        else:
            raise AssertionError("the version counts as applied")
        await bench.state("t1", "shutdown")
        await bench.worker.leave()

    run(tmp_path, work)


def test_a_removal_that_fails_is_tried_again(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        await bench.worker.assign(version(1, a_task("t1"), full=True))
        await bench.state("t1", "running")
        bench.controllers["t1"].fails["remove"] = Unavailable("no containerd")
        await bench.worker.assign(version(2, remove=["task/t1"]))
        await eventually(lambda: bench.controllers["t1"].removed)
        await eventually(lambda: bench.worker.statuses() == {})

    run(tmp_path, work)


def test_leaving_the_swarm_in_the_middle_of_everything(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        names = ("running", "starting", "leaving", "stuck")
        for name in ("starting", "leaving"):
            bench.controllers[name] = FakeController()
        bench.controllers["starting"].held["start"] = asyncio.Event()
        bench.controllers["leaving"].held["shutdown"] = asyncio.Event()
        await bench.worker.assign(version(1, *(a_task(name) for name in names), full=True))
        for name in ("running", "leaving", "stuck"):
            await bench.state(name, "running")
        await bench.state("starting", "starting")
        await bench.worker.assign(version(2, remove=["task/leaving"]))
        bench.controllers["stuck"].fails["remove"] = Unavailable("no containerd")
        await bench.worker.clear()
        assert [name for name in names if not bench.controllers[name].removed] == ["stuck"]
        assert bench.kept[-1] == set()
        assert bench.told[-1] == ClusterNetworks()
        after = bench.again()
        await after.worker.declare()
        assert after.worker.statuses() == {} and after.told == []

    run(tmp_path, work)


def test_attachments(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        waiting = asyncio.gather(bench.worker.attached("a1"), bench.worker.attached("a1"))
        await asyncio.sleep(0)
        await bench.worker.assign(version(1, an_attachment("a1", "c1"), an_attachment("a2", "c2"), full=True))
        assert await waiting == [["10.0.1.7/24"], ["10.0.1.7/24"]]
        assert await bench.worker.attached("a2") == ["10.0.1.7/24"]
        assert bench.controllers == {}
        assert bench.worker.attachments_of("c1") == bench.worker.attachments_of("c1", "n1") == ["a1"]
        assert bench.worker.attachments_of("c1", "n2") == bench.worker.attachments_of("c3") == []
        assert sorted(bench.worker.attachments()) == [("a1", "c1", "n1"), ("a2", "c2", "n1")]
        await bench.worker.assign(version(2, remove=["task/a1"]))
        assert bench.worker.attachments_of("c1") == []

    run(tmp_path, work)


def test_a_task_that_ends_is_withdrawn_here_before_anybody_is_told(tmp_path: Path) -> None:
    async def work(bench: Bench) -> None:
        put = (a_task("t1"), a_task("t2"), a_service("t1", "t2"), NetworkResource(network=NETWORK))
        await bench.worker.assign(version(1, *put, full=True))
        await bench.state("t1", "running")
        await bench.state("t2", "running")
        backends = [networks.services["n1"][0].backends for networks in bench.told]
        assert backends == [("10.0.1.10", "10.0.1.11")]
        bench.on_report = lambda: backends.append(bench.told[-1].services["n1"][0].backends)
        bench.controllers["t1"].end(1)
        await bench.state("t1", "failed")
        assert backends[-1] == ("10.0.1.11",)
        bench.network_fails = [Internal("no room")]
        bench.controllers["t2"].end(0)
        await bench.state("t2", "complete")
        again = bench.again()
        await again.worker.declare()
        assert again.told[-1].services["n1"][0].backends == ()
        await bench.worker.leave()

    run(tmp_path, work)


def test_a_state_that_cannot_be_kept_counts(tmp_path: Path) -> None:
    async def main() -> None:
        db = await LocalDB.open(tmp_path / "node.db")
        bench = Bench(db)
        await bench.worker.assign(version(1, a_task("t1", TaskState.READY), full=True))
        await bench.state("t1", "ready")
        db._file._db.execute("PRAGMA query_only=ON")
        runner = bench.worker._runners["t1"]
        runner.want(TaskState.RUNNING)
        await bench.state("t1", "running")
        assert (await db.load("task-status", TaskStatus))["t1"].state == "ready"
        db._file._db.execute("PRAGMA query_only=OFF")
        await bench.worker.leave()
        await db.close()
        again = await LocalDB.open(tmp_path / "node.db")
        assert (await again.load("task-status", TaskStatus))["t1"].state == "running"
        await again.close()

    asyncio.run(main())
