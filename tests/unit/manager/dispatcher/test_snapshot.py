"""What a node is told: the difference leads from one snapshot to the next, and nobody sees what is not theirs."""

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.nodes import a_node

from shoal.manager.dispatcher.snapshot import difference, node_resource, render, services_by_network
from shoal.manager.found import ingress_network
from shoal.objects.cluster import Cluster
from shoal.objects.ids import ClusterId, NetworkId, NodeId, ServiceId, TaskId
from shoal.objects.meta import Driver
from shoal.objects.network import Network, NetworkAttachment, NetworkSpec
from shoal.objects.node import Node
from shoal.objects.secret import Config, ConfigSpec, Secret, SecretSpec
from shoal.objects.service import (
    ConfigReference,
    ContainerSpec,
    Endpoint,
    SecretReference,
    Service,
    ServiceSpec,
    TaskSpec,
    VirtualIP,
)
from shoal.objects.task import Task, TaskStatus
from shoal.store.tables import Stored, Tables
from shoal.store.tx import TableView
from shoal.wire.cluster import (
    ConfigResource,
    NetworkResource,
    Resource,
    SecretResource,
    ServiceResource,
    TaskResource,
)

NETS = ["net1", "net2"]


def a_network(name: str) -> Network:
    return Network(id=NetworkId(name), spec=NetworkSpec(name=name), driver_state=Driver(name="overlay"))


@st.composite
def swarms(draw: st.DrawFn) -> list[Stored]:
    objects: list[Stored] = [Cluster(id=ClusterId("c")), ingress_network(), *map(a_network, NETS)]
    objects += [a_node(f"n{n}") for n in range(draw(st.integers(1, 3)))]
    objects += [Secret(id=f"secret{n}", spec=SecretSpec(name=f"secret{n}")) for n in range(3)]
    objects += [Config(id=f"config{n}", spec=ConfigSpec(name=f"config{n}")) for n in range(3)]
    for service in ("s1", "s2"):
        vips = [VirtualIP(network_id=NetworkId(n), addr="10.0.0.2/24") for n in draw(st.sets(st.sampled_from(NETS)))]
        objects.append(
            Service(id=ServiceId(service), spec=ServiceSpec(name=service), endpoint=Endpoint(virtual_ips=vips))
        )
    for number in range(draw(st.integers(0, 6))):
        references = draw(st.sets(st.integers(0, 2)))
        spec = ContainerSpec(
            image="x",
            secrets=[SecretReference(secret_id=f"secret{n}") for n in references],
            configs=[ConfigReference(config_id=f"config{n}") for n in references],
        )
        on = [
            NetworkAttachment(network=a_network(n), addresses=[f"10.0.0.{number + 3}/24"])
            for n in draw(st.sets(st.sampled_from(NETS)))
        ]
        objects.append(
            Task(
                id=TaskId(f"t{number}"),
                service_id=ServiceId(draw(st.sampled_from(["s1", "s2"]))),
                node_id=NodeId(f"n{draw(st.integers(0, 3))}"),
                spec=TaskSpec(container_spec=spec),
                status=TaskStatus(state=draw(st.sampled_from(["pending", "assigned", "running", "failed"]))),
                networks_attachments=on,
            )
        )
    return objects


def snapshot(objects: list[Stored], node_id: str) -> dict[str, Resource]:
    tables = Tables()
    for obj in objects:
        tables.put(obj)
    view = TableView(tables)
    services: dict[str, list[ServiceResource]] = {}
    for service in view.all(Service):
        for network_id, resource in services_by_network(view, service).items():
            services.setdefault(network_id, []).append(resource)
    return render(view, node_id, services, {node.id: node_resource(node) for node in view.all(Node)})


@settings(deadline=None)
@given(swarms(), swarms())
def test_a_difference_applied_to_the_old_gives_the_new(before: list[Stored], after: list[Stored]) -> None:
    for node_id in ("n0", "n1"):
        old, new = snapshot(before, node_id), snapshot(after, node_id)
        change = difference(old, new)
        applied = {key: value for key, value in old.items() if key not in change.remove}
        applied.update({resource.key: resource for resource in change.put})
        assert applied == new
        assert not difference(new, new)
        assert not set(change.remove) & {resource.key for resource in change.put}


@settings(deadline=None)
@given(swarms())
def test_a_node_sees_what_its_tasks_need_and_no_more(objects: list[Stored]) -> None:
    for number in range(3):
        seen = snapshot(objects, f"n{number}")
        tasks = [t for t in objects if isinstance(t, Task) and t.node_id == f"n{number}"]
        given = [t for t in tasks if t.status.state != "pending"]
        live = [t for t in given if t.status.state != "failed"]
        specs = [t.spec.container_spec or ContainerSpec() for t in live]
        assert {r.secret.id for r in seen.values() if isinstance(r, SecretResource)} == {
            ref.secret_id for spec in specs for ref in spec.secrets or []
        }
        assert {r.config.id for r in seen.values() if isinstance(r, ConfigResource)} == {
            ref.config_id for spec in specs for ref in spec.configs or []
        }
        assert {r.task.id for r in seen.values() if isinstance(r, TaskResource)} == {t.id for t in given}
        own = {a.network.id for t in live for a in t.networks_attachments or []}
        networks = {r.network.id for r in seen.values() if isinstance(r, NetworkResource)}
        assert networks == own
        assert {r.network_id for r in seen.values() if isinstance(r, ServiceResource)} <= networks
        for resource in seen.values():
            if isinstance(resource, ServiceResource):
                for endpoint in resource.endpoints:
                    task = next(t for t in objects if t.id == endpoint.task_id)
                    assert isinstance(task, Task) and endpoint.serving == (task.status.state == "running")


def test_a_status_that_comes_back_is_no_news_to_its_sender() -> None:
    network = a_network("net1")
    on = [NetworkAttachment(network=network, addresses=["10.0.0.3/24"])]
    task = Task(id=TaskId("t"), node_id=NodeId("n0"), networks_attachments=on)
    base: list[Stored] = [Cluster(id=ClusterId("c")), network, a_node("n0")]
    old = snapshot(
        [*base, Task(id=task.id, node_id=task.node_id, networks_attachments=on, status=TaskStatus(state="assigned"))],
        "n0",
    )
    new = snapshot(
        [*base, Task(id=task.id, node_id=task.node_id, networks_attachments=on, status=TaskStatus(state="running"))],
        "n0",
    )
    assert not difference(old, new)
