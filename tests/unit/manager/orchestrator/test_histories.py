"""The orchestrator with allocator and scheduler over random histories, managers restarting in between."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace
from tests.fakes.nodes import a_node, moved_on, report
from tests.fakes.stepped import Stepped
from tests.fakes.swarm import SECOND, a_spec

from shoal.manager.allocator.allocator import Allocator
from shoal.manager.found import ingress_network
from shoal.manager.orchestrator.orchestrator import Orchestrator
from shoal.manager.orchestrator.slots import is_draining
from shoal.manager.scheduler.scheduler import Scheduler
from shoal.objects.cluster import Cluster
from shoal.objects.ids import ClusterId, ServiceId
from shoal.objects.meta import Version
from shoal.objects.node import Node
from shoal.objects.service import ContainerSpec, GlobalService, ReplicatedService, Service, ServiceMode, UpdateConfig
from shoal.objects.state import TaskState
from shoal.objects.task import Task
from shoal.store.tx import Action, Event, Tx

PARALLELISM = 2


class Histories(RuleBasedStateMachine):
    """Services change, tasks die, nodes come and go, time passes, agents work in small steps."""

    @initialize(order=st.sampled_from(["start-first", "stop-first"]), action=st.sampled_from(["pause", "continue"]))
    def begin(self, order: str, action: str) -> None:
        self.order = order
        self.swarm = Stepped(lambda view: [Orchestrator(view), Allocator(view), Scheduler(view)])
        self.swarm.check = self.only_upwards
        self.count = 0
        update = UpdateConfig(parallelism=PARALLELISM, order=order, failure_action=action, delay=SECOND)

        def found(tx: Tx) -> None:
            tx.create(Cluster(id=ClusterId("c")))
            tx.create(ingress_network())
            for number in (1, 2):
                tx.create(a_node(f"n{number}"))
            for name, mode in (("web", None), ("all", ServiceMode(global_=GlobalService()))):
                spec = a_spec(name, replicas=3, update=update, mode=mode)
                tx.create(Service(id=ServiceId(name), spec=spec, spec_version=Version(index=1)))

        self.swarm.update(found)
        self.work(30)

    def only_upwards(self, event: Event) -> None:
        if isinstance(event.obj, Task) and isinstance(event.old, Task) and event.action is Action.UPDATE:
            assert event.obj.desired >= event.old.desired and event.obj.state >= event.old.state
            assert event.old.node_id in (None, event.obj.node_id)
            assert event.old.slot == event.obj.slot and event.old.spec == event.obj.spec

    def work(self, steps: int) -> None:
        for _ in range(steps):
            self.swarm.settle()
            if not self.swarm.update(lambda tx: moved_on(tx, self.swarm.clock.now())):
                break
        self.swarm.settle()

    @rule(steps=st.integers(1, 8))
    def agents_work(self, steps: int) -> None:
        self.work(steps)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.swarm.pass_time(seconds)
        self.swarm.settle()

    @rule(
        name=st.sampled_from(["web", "all"]), image=st.sampled_from(["nginx", "nginx:2", "fails", "exits", "rejected"])
    )
    def update_image(self, name: str, image: str) -> None:
        def change(service: Service) -> Service:
            template = replace(service.spec.task_template, container_spec=ContainerSpec(image=image))
            return replace(service, spec=replace(service.spec, task_template=template))

        self.change(name, change)

    @rule(count=st.integers(0, 5))
    def scale(self, count: int) -> None:
        mode = ServiceMode(replicated=ReplicatedService(replicas=count))
        self.change("web", lambda service: replace(service, spec=replace(service.spec, mode=mode)))

    def change(self, name: str, change) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        service = self.swarm.view.get(Service, name)
        if service is None:
            return
        version = Version(index=self.swarm.store.revision + 1)
        changed = replace(change(service), spec_version=version, previous_spec=service.spec, update_status=None)
        self.swarm.update(lambda tx: tx.update(changed))
        self.swarm.settle()

    @rule(number=st.integers(0, 20), state=st.sampled_from([TaskState.FAILED, TaskState.COMPLETE]))
    def a_task_ends(self, number: int, state: TaskState) -> None:
        alive = [t for t in self.swarm.view.all(Task) if TaskState.ASSIGNED <= t.state <= TaskState.RUNNING]
        if alive:
            in_order = sorted(alive, key=lambda t: (t.service_id, t.slot or 0, t.created_at))
            task = in_order[number % len(in_order)]
            self.swarm.update(lambda tx: report(tx, task, state, self.swarm.clock.now()))
            self.swarm.settle()

    @rule(
        number=st.integers(1, 3),
        state=st.sampled_from(["ready", "ready", "down"]),
        availability=st.sampled_from(["active", "active", "pause", "drain"]),
    )
    def a_node_changes(self, number: int, state: str, availability: str) -> None:
        node = self.swarm.view.get(Node, f"n{number}") or a_node(f"n{number}")
        changed = replace(
            node,
            status=replace(node.status, state=state),
            spec=replace(node.spec, availability=availability),
        )
        fresh = self.swarm.view.get(Node, node.id) is None
        self.swarm.update(lambda tx: tx.create(changed) if fresh else tx.update(changed))
        self.swarm.settle()

    @rule()
    def the_manager_restarts(self) -> None:
        self.swarm.restart()
        self.swarm.settle()

    @invariant()
    def slots_hold_what_they_may(self) -> None:
        tasks = self.swarm.view.all(Task)
        wanted = [t for t in tasks if t.desired <= TaskState.RUNNING]
        slots: dict[tuple[str, int | str], list[Task]] = {}
        for task in wanted:
            slots.setdefault((task.service_id or "", task.slot or task.node_id or ""), []).append(task)
        for held in slots.values():
            leaving = [t for t in held if is_draining(t, self.swarm.view)]
            assert len(held) - len(leaving) <= (2 if self.order == "start-first" else 1)
            assert len(leaving) <= 2
        web = self.swarm.view.get(Service, "web")
        if web is not None:
            assert {slot for name, slot in slots if name == "web"} <= {t.slot for t in tasks}
            assert len([1 for name, _ in slots if name == "web"]) <= web.spec.replicas

    def teardown(self) -> None:
        """With good nodes, a good image and time, everything runs; removed, everything goes."""
        if not hasattr(self, "swarm"):
            return
        for number in (1, 2, 3):
            self.a_node_changes(number, "ready", "active")
        for name in ("web", "all"):
            self.update_image(name, "good")
        for _ in range(12):
            self.work(30)
            self.time_passes(30.0)
        for name, count in (("web", None), ("all", 3)):
            service = self.swarm.view.get(Service, name)
            assert service is not None
            running = [
                t
                for t in self.swarm.view.tasks_of_service(name)
                if t.state == TaskState.RUNNING and t.desired == TaskState.RUNNING
            ]
            assert len(running) == (service.spec.replicas if count is None else count)
            assert {
                t.spec.container_spec
                for t in running
                if t.spec.container_spec and t.spec.container_spec.image != "good"
            } == set()
            assert service.update_status is None or service.update_status.state == "completed"
        self.swarm.update(lambda tx: [tx.delete(s) for s in tx.all(Service)])
        self.work(30)
        assert self.swarm.view.all(Task) == []


Histories.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestHistories = Histories.TestCase
