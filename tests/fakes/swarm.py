"""A whole control plane in process: the real loops over a store in memory, fake agents, a clock that tests turn."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace
from tests.fakes.clock import FakeClock
from tests.fakes.nodes import a_node, moved_on, report

from shoal.aio.clock import SteadyClock
from shoal.aio.tasks import cancel, spawn
from shoal.manager import loop
from shoal.manager.allocator.allocator import Allocator
from shoal.manager.control.networks import NetworkControl
from shoal.manager.control.nodes import NodeControl
from shoal.manager.control.services import ServiceControl
from shoal.manager.found import DEFAULT_SPEC, ingress_network
from shoal.manager.orchestrator.orchestrator import Orchestrator
from shoal.manager.scheduler.scheduler import Scheduler
from shoal.objects.cluster import Cluster
from shoal.objects.ids import ClusterId
from shoal.objects.node import Node, NodeStatus
from shoal.objects.service import (
    ContainerSpec,
    EndpointSpec,
    PortConfig,
    ReplicatedService,
    RestartPolicy,
    Service,
    ServiceMode,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task
from shoal.store.backends.memory import MemoryBackend
from shoal.store.store import Store
from shoal.store.tx import Tx

SECOND = 1_000_000_000


class Swarm:
    """What a test holds of it."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        self.store = store
        self.clock = clock
        self.services = ServiceControl(store)
        self.networks = NetworkControl(store)
        self.nodes = NodeControl(store, "n1", clock)
        self.history: list[Task] = []

    async def found(self, nodes: int) -> None:
        """The objects of a new swarm."""

        def change(tx: Tx) -> None:
            tx.create(Cluster(id=ClusterId("c"), spec=DEFAULT_SPEC))
            tx.create(ingress_network())
            for number in range(1, nodes + 1):
                tx.create(a_node(f"n{number}"))

        await self.store.update(change)

    async def agents(self) -> None:
        """All fake agents, until cancelled; notes every state of every task."""
        with self.store.watch() as events:
            while batches := await events.drain():
                self.history += [e.obj for b in batches for e in b if isinstance(e.obj, Task)]
                await self.store.update(lambda tx: moved_on(tx, self.clock.now()))

    def tasks(self, name: str, *, wanted: bool = True) -> list[Task]:
        """A service's tasks, by slot; ``wanted`` leaves out those that are to stop or have stopped."""
        service = self.store.view.by_name(Service, name)
        found = self.store.view.tasks_of_service(service.id) if service else []
        return sorted(
            (t for t in found if not wanted or t.desired <= TaskState.RUNNING),
            key=lambda t: (t.slot or 0, t.created_at),
        )

    def running(self, name: str) -> list[Task]:
        """Those that run and are wanted to."""
        return [t for t in self.tasks(name) if t.state == TaskState.RUNNING]

    def images(self, name: str) -> list[str]:
        """The images of the running tasks, by slot."""
        return [(t.spec.container_spec.image if t.spec.container_spec else None) or "" for t in self.running(name)]

    async def end(self, task: Task, state: TaskState = TaskState.FAILED) -> None:
        """Let a task die."""

        def change(tx: Tx) -> None:
            if (current := tx.get(Task, task.id)) is not None and not is_terminal(current.state):
                report(tx, current, state, self.clock.now())

        await self.store.update(change)
        await self.clock.settle()

    async def node(self, node_id: str, *, state: str | None = None, availability: str | None = None) -> None:
        """Change a node, or with a state for an unknown one add it."""

        def change(tx: Tx) -> None:
            node = tx.get(Node, node_id)
            if node is None:
                tx.create(a_node(node_id))
                return
            if state is not None:
                node = replace(node, status=NodeStatus(state=state, addr=node.status.addr))
            if availability is not None:
                node = replace(node, spec=replace(node.spec, availability=availability))
            tx.update(node)

        await self.store.update(change)
        await self.clock.settle()

    async def update(self, name: str, change: Callable[[ServiceSpec], ServiceSpec]) -> None:
        """``service update``."""
        service = self.services.get(name)
        await self.services.update(name, change(service.spec), service.version.index)
        await self.clock.settle()

    def update_state(self, name: str) -> str | None:
        """The word of the service's update status."""
        status = self.services.get(name).update_status
        return status.state if status else None


def a_spec(
    name: str = "web",
    *,
    replicas: int = 1,
    image: str = "nginx",
    ports: list[PortConfig] | None = None,
    restart: RestartPolicy | None = None,
    update: UpdateConfig | None = None,
    mode: ServiceMode | None = None,
) -> ServiceSpec:
    """A service's specification."""
    return ServiceSpec(
        name=name,
        mode=mode or ServiceMode(replicated=ReplicatedService(replicas=replicas)),
        task_template=TaskSpec(container_spec=ContainerSpec(image=image), restart_policy=restart),
        endpoint_spec=EndpointSpec(ports=ports) if ports else None,
        update_config=update,
    )


def with_image(image: str) -> Callable[[ServiceSpec], ServiceSpec]:
    """A change of the image alone."""
    return lambda spec: replace(
        spec, task_template=replace(spec.task_template, container_spec=ContainerSpec(image=image))
    )


def with_replicas(count: int) -> Callable[[ServiceSpec], ServiceSpec]:
    """A change of the number of replicas alone."""
    return lambda spec: replace(spec, mode=ServiceMode(replicated=ReplicatedService(replicas=count)))


@asynccontextmanager
async def a_swarm(nodes: int = 3) -> AsyncIterator[Swarm]:
    """A swarm whose loops run while the block does."""
    clock = FakeClock()
    steady = SteadyClock(clock)
    store = await Store.open(backend=MemoryBackend(), clock=steady)
    swarm = Swarm(store, clock)
    await swarm.found(nodes)
    stations: list[loop.Station] = [Orchestrator(store.view), Allocator(store.view), Scheduler(store.view)]
    tasks = [spawn(loop.run(s, store, steady, name=type(s).__name__), name=type(s).__name__) for s in stations]
    tasks.append(spawn(swarm.agents(), name="agents"))
    try:
        await clock.settle()
        yield swarm
        for task in tasks:
            assert not task.done(), f"{task.get_name()} ended by itself"
    finally:
        await cancel(*tasks)


def flow(body: Callable[[Swarm], Coroutine[Any, Any, None]], *, nodes: int = 3) -> None:
    """Run one test's flow in a swarm of its own."""

    async def whole() -> None:
        async with a_swarm(nodes) as swarm:
            await body(swarm)

    asyncio.run(asyncio.wait_for(whole(), 60))
