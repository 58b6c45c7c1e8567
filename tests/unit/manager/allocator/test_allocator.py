"""The allocator over random histories: nobody shares an address, and every one is given back."""

import ipaddress
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace
from tests.fakes.nodes import a_node
from tests.fakes.stepped import Stepped

from shoal.manager.allocator.allocator import Allocator
from shoal.manager.allocator.ports import protocol
from shoal.manager.found import ingress_network
from shoal.objects.cluster import Cluster
from shoal.objects.ids import ClusterId, NetworkId, ServiceId, TaskId
from shoal.objects.network import IPAMConfig, IPAMOptions, Network, NetworkSpec
from shoal.objects.node import Node
from shoal.objects.service import EndpointSpec, NetworkAttachmentConfig, PortConfig, Service, ServiceSpec, TaskSpec
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus
from shoal.store.tx import Tx

NAMES = st.sampled_from(["a", "b", "c"])
SUBNETS = {
    "a": [IPAMConfig(subnet="10.50.0.0/29")],
    "b": [IPAMConfig(subnet="10.50.1.0/28", range="10.50.1.9/30"), IPAMConfig(subnet="2001:db8::/120")],
    "c": None,
}


def live(task: Task) -> bool:
    called_off = task.state < TaskState.ASSIGNED and task.desired > TaskState.RUNNING
    return not is_terminal(task.state) and not called_off


class Histories(RuleBasedStateMachine):
    """Networks, services, tasks and nodes come and go in any order; the allocator acts now and then."""

    @initialize()
    def begin(self) -> None:
        self.swarm = Stepped(lambda view: [Allocator(view)])
        self.count = 0

        def found(tx: Tx) -> None:
            tx.create(Cluster(id=ClusterId("c"), default_addr_pool=["10.0.0.0/27"], subnet_size=29))
            tx.create(ingress_network())

        self.lazy = False
        self.swarm.update(found)
        for name in "abc":
            self.create_network(name)
        self.node(1)
        self.swarm.settle()
        self.create_service(["a", "b"], "vip", True)
        self.create_service(["b", "c"], "vip", False)
        for service in self.swarm.view.all(Service):
            self.create_some_tasks(service, 2)

    def fresh(self) -> str:
        self.count += 1
        return f"x{self.count}"

    @rule(name=NAMES)
    def create_network(self, name: str) -> None:
        if self.swarm.view.by_name(Network, name) is None:
            options = IPAMOptions(configs=SUBNETS[name])
            spec = NetworkSpec(name=name, ipam_options=options)
            network = Network(id=NetworkId(self.fresh()), spec=spec)
            self.swarm.update(lambda tx: tx.create(network))

    @rule(name=NAMES)
    def remove_network(self, name: str) -> None:
        network = self.swarm.view.by_name(Network, name)
        if network is None or any(
            c.target == network.id for s in self.swarm.view.all(Service) for c in s.spec.attachments
        ):
            return
        if any(a.network.id == network.id for t in self.live_tasks() for a in t.networks_attachments or []):
            return
        self.swarm.update(lambda tx: tx.delete(network))

    @rule(names=st.lists(NAMES, unique=True), mode=st.sampled_from(["vip", "dnsrr"]), published=st.booleans())
    def create_service(self, names: list[str], mode: str, published: bool) -> None:
        service_id = self.fresh()
        service = Service(id=ServiceId(service_id), spec=self.service_spec(service_id, names, mode, published))
        self.swarm.update(lambda tx: tx.create(service))

    @rule(
        data=st.data(),
        names=st.lists(NAMES, unique=True),
        mode=st.sampled_from(["vip", "dnsrr"]),
        published=st.booleans(),
    )
    def change_service(self, data: st.DataObject, names: list[str], mode: str, published: bool) -> None:
        if services := self.swarm.view.all(Service):
            service = data.draw(st.sampled_from(services))
            spec = self.service_spec(service.name, names, mode, published)
            self.swarm.update(lambda tx: tx.update(replace(service, spec=spec)))

    def service_spec(self, name: str, names: list[str], mode: str, published: bool) -> ServiceSpec:
        found = [n.id for name in names if (n := self.swarm.view.by_name(Network, name))]
        ports = [PortConfig(target_port=80), PortConfig(target_port=53, protocol="udp")]
        return ServiceSpec(
            name=name,
            task_template=TaskSpec(networks=[NetworkAttachmentConfig(target=n) for n in found]),
            endpoint_spec=EndpointSpec(mode=mode, ports=ports if published and mode == "vip" else None),
        )

    @rule(data=st.data())
    def remove_service(self, data: st.DataObject) -> None:
        if services := self.swarm.view.all(Service):
            service = data.draw(st.sampled_from(services))
            self.swarm.update(lambda tx: tx.delete(service))

    @rule(data=st.data(), count=st.integers(1, 4))
    def create_tasks(self, data: st.DataObject, count: int) -> None:
        if services := self.swarm.view.all(Service):
            self.create_some_tasks(data.draw(st.sampled_from(services)), count)

    def create_some_tasks(self, service: Service, count: int) -> None:
        ids = [self.fresh() for _ in range(count)]
        spec = service.spec.task_template
        tasks = [Task(id=TaskId(i), service_id=service.id, slot=n, spec=spec) for n, i in enumerate(ids)]
        self.swarm.update(lambda tx: [tx.create(task) for task in tasks])

    @rule(data=st.data(), state=st.sampled_from(["assigned", "running", "failed", "shutdown"]))
    def move_task(self, data: st.DataObject, state: str) -> None:
        tasks = [t for t in self.live_tasks() if TaskState.PENDING <= t.state < TaskState.of(state)]
        if tasks:
            task = data.draw(st.sampled_from(tasks))
            self.swarm.update(lambda tx: tx.update(replace(task, status=TaskStatus(state=state))))

    @rule(data=st.data())
    def call_task_off(self, data: st.DataObject) -> None:
        if tasks := self.swarm.view.all(Task):
            task = data.draw(st.sampled_from(tasks))
            self.swarm.update(lambda tx: tx.update(replace(task, desired_state="shutdown")))

    @rule(data=st.data())
    def forget_task(self, data: st.DataObject) -> None:
        if tasks := self.swarm.view.all(Task):
            task = data.draw(st.sampled_from(tasks))
            self.swarm.update(lambda tx: tx.delete(task))

    @rule(number=st.integers(1, 3))
    def node(self, number: int) -> None:
        node = self.swarm.view.get(Node, f"n{number}")
        self.swarm.update(lambda tx: tx.create(a_node(f"n{number}")) if node is None else tx.delete(node))

    @rule(lazy=st.booleans())
    def be_lazy(self, lazy: bool) -> None:
        """From now on the allocator acts after every change, or finds several at a time."""
        self.lazy = lazy
        self.swarm.settle()

    @rule()
    def restart(self) -> None:
        self.swarm.restart()

    def live_tasks(self) -> list[Task]:
        return [task for task in self.swarm.view.all(Task) if live(task)]

    @invariant()
    def nobody_shares(self) -> None:
        if not self.lazy:
            self.swarm.settle()
        view = self.swarm.view
        held: Counter[tuple[str, str]] = Counter()
        for task in self.live_tasks():
            held.update((a.network.id, x) for a in task.networks_attachments or [] for x in a.addresses or [])
        for node in view.all(Node):
            if node.attachment:
                held.update((node.attachment.network.id, x) for x in node.attachment.addresses or [])
        for service in view.all(Service):
            held.update((v.network_id, v.addr or "") for v in service.endpoint.virtual_ips or [])
        for network in view.all(Network):
            held.update((network.id, f"{p.gateway}/{str(p.subnet).split('/')[1]}") for p in network.pools)
        assert [key for key, count in held.items() if count > 1] == []
        ports = Counter(
            (protocol(p), p.published_port) for s in view.all(Service) for p in s.endpoint.ports or [] if p.is_ingress
        )
        assert [key for key, count in ports.items() if count > 1] == []
        subnets = [ipaddress.ip_network(p.subnet or "") for n in view.all(Network) for p in n.pools]
        assert not any(a.overlaps(b) for i, a in enumerate(subnets) for b in subnets[:i] if a.version == b.version)
        ids = Counter(n.vni for n in view.all(Network) if n.vni)
        assert not ids or max(ids.values()) == 1

    def teardown(self) -> None:
        if not hasattr(self, "swarm"):
            return
        self.swarm.settle()
        # With everybody gone, each pool holds its gateway alone.
        for kind in (Task, Service, Node):
            for obj in self.swarm.view.all(kind):
                self.swarm.update(lambda tx, o=obj: tx.delete(o))  # type: ignore[misc]
        self.swarm.settle()
        (allocator,) = self.swarm.stations
        assert isinstance(allocator, Allocator)
        assert allocator._addresses.keys() == {n.id for n in self.swarm.view.all(Network) if n.pools}
        for addresses in allocator._addresses.values():
            assert [len(pool) for pool in addresses._pools] == [1] * len(addresses._pools)
        assert not allocator._tasks


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
