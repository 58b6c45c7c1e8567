"""A service from its creation to its end, over the real loops."""

from datetime import timedelta
from itertools import pairwise

import pytest
from msgspec.structs import replace
from tests.fakes.swarm import SECOND, Swarm, a_spec, flow, with_image, with_replicas

from shoal.manager.allocator.addresses import NetworkAddresses
from shoal.objects.base import convert, parse_time
from shoal.objects.cluster import Cluster, OrchestrationConfig
from shoal.objects.ids import NetworkId
from shoal.objects.network import Network, NetworkSpec
from shoal.objects.node import Node
from shoal.objects.service import (
    GlobalService,
    NetworkAttachmentConfig,
    Placement,
    PortConfig,
    RestartPolicy,
    Service,
    ServiceMode,
    UpdateConfig,
)
from shoal.objects.state import TaskState
from shoal.objects.task import Task


def convert_spec(raw: object) -> NetworkSpec:
    return convert(raw, NetworkSpec)


PUBLISHED = [PortConfig(target_port=80, published_port=80)]


def test_a_service_runs_is_scaled_and_leaves_nothing() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(replicas=2, ports=PUBLISHED))
        await swarm.clock.settle()
        first = swarm.running("web")
        assert [t.slot for t in first] == [1, 2]
        assert len({t.node_id for t in first}) == 2
        service = swarm.services.get("web")
        assert service.endpoint.virtual_ips and service.endpoint.virtual_ips[0].addr == "10.255.0.5/16"
        await swarm.update("web", with_replicas(5))
        assert [t.slot for t in swarm.running("web")] == [1, 2, 3, 4, 5]
        assert [t.id for t in swarm.running("web")][:2] == [t.id for t in first]
        await swarm.update("web", with_replicas(1))
        assert [t.id for t in swarm.tasks("web", wanted=False)] == [first[0].id]
        assert swarm.update_state("web") is None
        await swarm.services.remove("web")
        await swarm.clock.settle()
        assert swarm.store.view.all(Service) == [] and swarm.store.view.all(Task) == []

    flow(body)


def test_the_first_addresses_are_those_of_the_lab() -> None:
    async def body(swarm: Swarm) -> None:
        ingress = next(n for n in swarm.store.view.all(Network) if n.is_ingress)
        assert [(p.subnet, p.gateway) for p in ingress.pools] == [("10.255.0.0/16", "10.255.0.1")]
        node = swarm.store.view.get(Node, "n1")
        assert node is not None and node.attachment and node.attachment.addresses == ["10.255.0.2/16"]
        created = await swarm.networks.create(NetworkSpec(name="nginx-net"))
        await swarm.clock.settle()
        network = swarm.networks.get(created.id)
        assert [(p.subnet, p.gateway) for p in network.pools] == [("10.0.0.0/24", "10.0.0.1")]
        assert (ingress.vni, network.vni) == (4096, 4097)

    flow(body, nodes=1)


def test_a_task_that_dies_is_replaced_after_five_seconds() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(replicas=2))
        await swarm.clock.settle()
        dead, other = swarm.running("web")
        await swarm.end(dead)
        replacement = next(t for t in swarm.tasks("web") if t.slot == dead.slot)
        assert replacement.state == TaskState.READY and replacement.desired == TaskState.READY
        await swarm.clock.advance(4.9)
        assert swarm.running("web") == [other]
        await swarm.clock.advance(0.2)
        assert [t.id for t in swarm.running("web")] == [replacement.id, other.id]

    flow(body)


def test_the_delay_is_the_managers_whatever_the_nodes_clock_shows() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec())
        await swarm.clock.settle()
        (dead,) = swarm.running("web")
        status = replace(dead.status, timestamp="2031-01-01T00:00:00.000000Z", state="failed")
        await swarm.store.update(lambda tx: tx.update(replace(dead, status=status)))
        await swarm.clock.advance(5.1)
        assert len(swarm.running("web")) == 1

    flow(body)


def test_tasks_that_do_not_even_get_ready_come_no_faster_than_the_delay() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(image="rejected"))
        await swarm.clock.advance(60)
        moments = sorted(parse_time(task.created_at) for task in swarm.tasks("web", wanted=False))
        assert len(moments) > 3
        assert all(later - earlier > timedelta(seconds=4.9) for earlier, later in pairwise(moments[-4:]))

    flow(body)


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(days=-1), timedelta(days=-400)])
@pytest.mark.parametrize("when", ["before it dies", "after it has died"])
def test_a_clock_that_is_set_holds_no_replacement_up(jump: timedelta, when: str) -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(replicas=2))
        await swarm.clock.settle()
        if when == "before it dies":
            swarm.clock.jump(jump)
        dead, other = swarm.running("web")
        await swarm.end(dead)
        if when == "after it has died":
            swarm.clock.jump(jump)
        await swarm.clock.advance(4.9)
        assert swarm.running("web") == [other]
        await swarm.clock.advance(0.2)
        assert len(swarm.running("web")) == 2
        written = [task.updated_at for task in swarm.tasks("web", wanted=False)]
        assert max(written) > dead.updated_at

    flow(body)


def test_restart_policies() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec("never", restart=RestartPolicy(condition="none")))
        await swarm.services.create(a_spec("failure", image="exits", restart=RestartPolicy(condition="on-failure")))
        await swarm.services.create(a_spec("twice", image="fails", restart=RestartPolicy(max_attempts=2, delay=SECOND)))
        await swarm.services.create(
            a_spec("window", image="fails", restart=RestartPolicy(max_attempts=2, window=SECOND, delay=SECOND))
        )
        await swarm.clock.settle()
        await swarm.end(swarm.running("never")[0])
        await swarm.clock.advance(60)
        assert len(swarm.tasks("never", wanted=False)) == 1
        assert [t.state for t in swarm.tasks("failure", wanted=False)] == [TaskState.COMPLETE]
        assert [t.state for t in swarm.tasks("twice", wanted=False)] == [TaskState.FAILED] * 3
        # Two attempts within one second never come together with a delay of a second: it goes on, history is kept.
        assert len(swarm.tasks("window", wanted=False)) == 5
        assert len({t.id for t in swarm.history if t.service_name == "window"}) > 50

    flow(body)


def test_the_history_of_a_slot_is_kept_to_the_limit() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(restart=RestartPolicy(delay=0)))
        await swarm.clock.settle()
        for _ in range(9):
            await swarm.end(swarm.running("web")[0])
            await swarm.clock.advance(1)
        states = [t.state for t in swarm.tasks("web", wanted=False)]
        assert states == [TaskState.FAILED] * 4 + [TaskState.RUNNING]

    flow(body)


def test_desired_and_observed_states_only_go_up() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(replicas=3, update=UpdateConfig(parallelism=1)))
        await swarm.clock.settle()
        await swarm.end(swarm.running("web")[0])
        await swarm.update("web", with_image("nginx:2"))
        await swarm.node("n2", state="down")
        await swarm.clock.advance(20)
        await swarm.node("n2", state="ready")
        await swarm.services.remove("web")
        await swarm.clock.advance(5)
        last: dict[str, Task] = {}
        for task in swarm.history:
            before = last.get(task.id, task)
            assert task.desired >= before.desired and task.state >= before.state
            last[task.id] = task
        assert swarm.store.view.all(Task) == []

    flow(body)


def test_a_global_service_follows_the_nodes() -> None:
    async def body(swarm: Swarm) -> None:
        spec = a_spec(mode=ServiceMode(global_=GlobalService()))
        placement = Placement(constraints=["node.hostname!=n3"])
        await swarm.services.create(replace(spec, task_template=replace(spec.task_template, placement=placement)))
        await swarm.clock.settle()

        def where() -> list[str]:
            return sorted(t.node_id or "" for t in swarm.running("web"))

        assert where() == ["n1", "n2"]
        await swarm.node("n4", state="ready")
        assert where() == ["n1", "n2", "n4"]
        await swarm.node("n1", availability="drain")
        assert where() == ["n2", "n4"]
        await swarm.node("n1", availability="pause")
        assert where() == ["n2", "n4"]
        await swarm.node("n1", availability="active")
        assert where() == ["n1", "n2", "n4"]
        await swarm.node("n2", availability="pause")
        assert where() == ["n1", "n2", "n4"]
        await swarm.node("n4", state="down")
        assert where() == ["n1", "n2"]
        await swarm.node("n4", state="ready")
        assert where() == ["n1", "n2", "n4"]

    flow(body)


def test_replicas_leave_a_node_that_is_lost_or_drained() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(replicas=3, restart=RestartPolicy(condition="none")))
        await swarm.clock.settle()
        assert {t.node_id for t in swarm.running("web")} == {"n1", "n2", "n3"}
        await swarm.node("n1", state="down")
        assert [t.slot for t in swarm.running("web")] == [1, 2, 3]
        assert {t.node_id for t in swarm.running("web")} == {"n2", "n3"}
        await swarm.node("n2", availability="drain")
        assert {t.node_id for t in swarm.running("web")} == {"n3"}
        assert len(swarm.running("web")) == 3

    flow(body)


def test_a_drained_task_serves_until_its_replacement_does() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(replicas=1))
        await swarm.clock.settle()
        (task,) = swarm.running("web")
        swarm.history.clear()
        await swarm.node(task.node_id or "", availability="drain")
        await swarm.clock.settle()
        (moved,) = swarm.running("web")
        assert moved.node_id != task.node_id
        states = {task.id: TaskState.RUNNING}
        for seen in swarm.history:
            states[seen.id] = seen.state
            assert TaskState.RUNNING in states.values()
        assert states[task.id] == TaskState.SHUTDOWN

    flow(body, nodes=2)


def test_a_drained_node_is_empty_though_there_is_no_room_elsewhere() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(replicas=1))
        await swarm.clock.settle()
        await swarm.node("n1", availability="drain")
        await swarm.clock.settle()
        assert swarm.running("web") == []
        assert [t.status.err for t in swarm.tasks("web") if t.desired == TaskState.RUNNING] == [
            "no suitable node (1 node not available for new tasks)"
        ]
        await swarm.node("n1", availability="active")
        await swarm.clock.settle()
        assert len(swarm.running("web")) == 1

    flow(body, nodes=1)


def test_tasks_say_why_they_wait_and_go_on_when_they_can() -> None:
    async def body(swarm: Swarm) -> None:
        spec = a_spec(replicas=2)
        placement = Placement(constraints=["node.labels.disk==ssd"])
        await swarm.services.create(replace(spec, task_template=replace(spec.task_template, placement=placement)))
        await swarm.clock.settle()
        assert {t.status.err for t in swarm.tasks("web")} == {
            "no suitable node (scheduling constraints not satisfied on 3 nodes)"
        }
        node = swarm.nodes.get("n2")
        await swarm.nodes.update("n2", replace(node.spec, labels={"disk": "ssd"}), node.version.index)
        await swarm.clock.settle()
        assert [t.node_id for t in swarm.running("web")] == ["n2", "n2"]
        assert {t.status.err for t in swarm.running("web")} == {None}

    flow(body)


def test_a_full_network_is_told_and_tasks_come_when_an_address_is_free() -> None:
    async def body(swarm: Swarm) -> None:
        from_user = {"Name": "tiny", "IPAMOptions": {"Configs": [{"Subnet": "10.9.0.0/29"}]}}
        network = await swarm.networks.create(convert_spec(from_user))
        await swarm.clock.settle()
        spec = a_spec(replicas=6)
        template = replace(spec.task_template, networks=[NetworkAttachmentConfig(target=network.id)])
        await swarm.services.create(replace(spec, task_template=template))
        await swarm.clock.settle()
        # Six addresses: the gateway and the VIP leave four.
        assert len(swarm.running("web")) == 4
        waiting = [t for t in swarm.tasks("web") if t.state == TaskState.NEW]
        assert {t.status.err for t in waiting} == {"no available IPv4 addresses on this network's address pools"}
        await swarm.update("web", with_replicas(5))
        await swarm.update("web", with_replicas(4))
        assert len(swarm.running("web")) == 4
        await swarm.update("web", with_replicas(5))
        await swarm.end(swarm.running("web")[0])
        await swarm.clock.advance(10)
        assert len(swarm.running("web")) == 4
        pool = NetworkAddresses(swarm.networks.get("tiny"))
        pool.mark(a for t in swarm.running("web") for n in t.networks_attachments or [] for a in n.addresses or [])

    flow(body)


def test_a_network_that_cannot_be_allocated_holds_nobody_up() -> None:
    async def body(swarm: Swarm) -> None:
        spec_of_a = convert_spec({"Name": "a", "IPAMOptions": {"Configs": [{"Gateway": "1.2.3.4"}]}})
        first = Network(id=NetworkId("a"), spec=spec_of_a)
        await swarm.store.update(lambda tx: tx.create(first))
        await swarm.networks.create(NetworkSpec(name="b"))
        await swarm.clock.settle()
        assert swarm.networks.get("b").pools and not swarm.networks.get("a").pools
        spec = a_spec()
        template = replace(spec.task_template, networks=[NetworkAttachmentConfig(target=first.id)])
        await swarm.services.create(replace(spec, task_template=template))
        await swarm.services.create(a_spec("free"))
        await swarm.clock.settle()
        assert len(swarm.running("free")) == 1
        (task,) = swarm.tasks("web")
        assert task.status.err is not None and task.status.err.startswith("requested address 1.2.3.4 is not within")

    flow(body)


def test_a_history_without_limit_keeps_every_task() -> None:
    async def body(swarm: Swarm) -> None:
        (cluster,) = swarm.store.view.all(Cluster)
        spec = replace(cluster.spec, orchestration=OrchestrationConfig(task_history_retention_limit=-1))
        await swarm.store.update(lambda tx: tx.update(replace(cluster, spec=spec)))
        await swarm.services.create(a_spec(restart=RestartPolicy(delay=0)))
        await swarm.clock.settle()
        for _ in range(9):
            await swarm.end(swarm.running("web")[0])
            await swarm.clock.advance(1)
        assert len(swarm.tasks("web", wanted=False)) == 10

    flow(body)


def test_a_task_called_off_before_it_had_a_node_keeps_no_address() -> None:
    async def body(swarm: Swarm) -> None:
        network = await swarm.networks.create(
            convert_spec({"Name": "t", "IPAMOptions": {"Configs": [{"Subnet": "10.9.0.0/29"}]}})
        )
        spec = a_spec(replicas=4)
        placement = Placement(constraints=["node.labels.disk==ssd"])
        template = replace(
            spec.task_template, networks=[NetworkAttachmentConfig(target=network.id)], placement=placement
        )
        await swarm.services.create(replace(spec, task_template=template))
        await swarm.clock.settle()
        assert {t.state for t in swarm.tasks("web")} == {TaskState.PENDING}
        # All four addresses are theirs; the new tasks can have them at once, though the old ones stay as history.
        await swarm.update("web", lambda s: replace(s, task_template=replace(template, placement=None)))
        await swarm.clock.advance(60)
        assert len(swarm.running("web")) == 4

    flow(body)
