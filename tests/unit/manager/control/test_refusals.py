"""Wrong requests get Docker's own words (taken from dockerd 20.10) and change nothing."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes.swarm import Swarm, a_spec, flow, with_image

from shoal.errors import (
    Conflict,
    FailedPrecondition,
    Forbidden,
    InvalidArgument,
    NotFound,
    ShoalError,
    Unimplemented,
)
from shoal.objects.base import convert
from shoal.objects.network import MTU_OPTION, VXLAN_IDS, NetworkAttachmentConfig, NetworkSpec
from shoal.objects.node import ManagerStatus
from shoal.objects.service import PortConfig, ServiceSpec

RPC = "rpc error: code = "


async def refused(swarm: Swarm, kind: type[ShoalError], text: str, request: Coroutine[Any, Any, object]) -> None:
    revision = swarm.store.revision
    with pytest.raises(kind) as error:
        await request
    assert re.fullmatch(re.escape(text).replace("<id>", "[0-9a-z]{25}"), str(error.value)), str(error.value)
    assert swarm.store.revision == revision


def network(**raw: Any) -> NetworkSpec:
    return convert(raw, NetworkSpec)


def pool(**config: Any) -> NetworkSpec:
    return network(Name="n2", IPAMOptions={"Configs": [config]})


@pytest.mark.parametrize(
    ("spec", "kind", "text"),
    [
        (network(Name="n1"), Conflict, "network with name n1 already exists"),
        (network(Name="host"), Conflict, "network with name host already exists"),
        (network(Name="default"), Forbidden, "operation is not permitted on predefined default network "),
        (
            network(Name="a b"),
            InvalidArgument,
            RPC + "InvalidArgument desc = name must be valid as a DNS name component",
        ),
        (network(Name="a" * 64), InvalidArgument, RPC + "InvalidArgument desc = name must be 63 characters or fewer"),
        (
            network(Name="ing", Ingress=True),
            Conflict,
            RPC + "AlreadyExists desc = ingress network (<id>) is already present",
        ),
        (
            network(Name="ing", Ingress=True, Attachable=True),
            InvalidArgument,
            RPC + "InvalidArgument desc = ingress network cannot be attachable",
        ),
        (network(Name="n2", DriverConfiguration={"Name": "bogus"}), NotFound, 'plugin "bogus" not found'),
        (
            network(Name="n2", DriverConfiguration={"Name": "overlay", "Options": {"encrypted": ""}}),
            Unimplemented,
            "encrypted overlay networks are not supported yet: create it without --opt encrypted",
        ),
        *(
            (
                network(Name="n2", DriverConfiguration={"Name": "overlay", "Options": {key: value}}),
                InvalidArgument,
                RPC + f"InvalidArgument desc = invalid value for {key}: {value!r}: a number up to {most} is needed",
            )
            for key, most in ((MTU_OPTION, 65535), (VXLAN_IDS, 16777215))
            for value in ("x", "-1", "", "1" * 5000, "4097,x")
        ),
        (pool(Subnet="foo"), InvalidArgument, "Invalid subnet foo : invalid CIDR address: foo"),
        (pool(Subnet="10.7.0.0/33"), InvalidArgument, "Invalid subnet 10.7.0.0/33 : invalid CIDR address: 10.7.0.0/33"),
        (pool(Subnet="10.7.0.0"), InvalidArgument, "Invalid subnet 10.7.0.0 : invalid CIDR address: 10.7.0.0"),
        (pool(Gateway="10.7.0.1"), InvalidArgument, "Invalid subnet  : invalid CIDR address: "),
        (
            pool(Subnet="10.7.0.0/24", Gateway="10.8.0.1"),
            InvalidArgument,
            RPC + "InvalidArgument desc = ipam configuration: subnet 10.7.0.0/24 does not contain gateway 10.8.0.1",
        ),
        (
            pool(Subnet="10.7.0.0/24", Gateway="foo"),
            InvalidArgument,
            RPC + "InvalidArgument desc = ipam configuration: invalid gateway foo",
        ),
        (
            pool(Subnet="10.7.0.0/24", IPRange="10.8.0.0/24"),
            InvalidArgument,
            RPC + "InvalidArgument desc = ipam configuration: subnet 10.7.0.0/24 does not contain range 10.8.0.0/24",
        ),
        # Docker takes these two, and leaves the network without addresses for ever.
        (
            pool(Subnet="10.0.0.128/25"),
            InvalidArgument,
            RPC + "InvalidArgument desc = could not allocate the network: "
            "pool 10.0.0.128/25 overlaps with 10.0.0.0/24 of network n1",
        ),
        (
            pool(Subnet="10.7.0.0/24", AuxiliaryAddresses={"a": "10.8.0.1"}),
            InvalidArgument,
            RPC + "InvalidArgument desc = ipam configuration: "
            "subnet 10.7.0.0/24 does not contain auxiliary address 10.8.0.1",
        ),
    ],
)
def test_networks(spec: NetworkSpec, kind: type[ShoalError], text: str) -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.networks.create(network(Name="n1"))
        await swarm.clock.settle()
        await refused(swarm, kind, text, swarm.networks.create(spec))

    flow(body)


def test_two_networks_may_not_ask_for_the_same_subnet_before_either_has_it() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.networks.create(network(Name="n1", IPAMOptions={"Configs": [{"Subnet": "10.7.0.0/24"}]}))
        with pytest.raises(InvalidArgument, match="overlaps with 10.7.0.0/24 of network n1"):
            await swarm.networks.create(pool(Subnet="10.7.0.0/16"))

    flow(body)


def template(**raw: Any) -> ServiceSpec:
    return convert({"Name": "w", "TaskTemplate": {"ContainerSpec": {"Image": "bb:1"}, **raw}}, ServiceSpec)


def container(**raw: Any) -> ServiceSpec:
    return template(ContainerSpec={"Image": "bb:1", **raw})


def service(**raw: Any) -> ServiceSpec:
    return convert({"Name": "w", "TaskTemplate": {"ContainerSpec": {"Image": "bb:1"}}, **raw}, ServiceSpec)


IN_USE = RPC + "InvalidArgument desc = port '80' is already in use by service 'web' (<id>) as an ingress port"
INVALID = RPC + "InvalidArgument desc = "


@pytest.mark.parametrize(
    ("spec", "kind", "text"),
    [
        (service(EndpointSpec={"Ports": [{"TargetPort": 80, "PublishedPort": 80}]}), InvalidArgument, IN_USE),
        (
            service(EndpointSpec={"Ports": [{"TargetPort": 80, "PublishedPort": 80, "PublishMode": "host"}]}),
            InvalidArgument,
            IN_USE,
        ),
        (
            service(Name="web"),
            Conflict,
            RPC + "AlreadyExists desc = name conflicts with an existing object: service web already exists",
        ),
        (template(Networks=[{"Target": "nope"}]), NotFound, "network nope not found"),
        (
            template(Networks=[{"Target": "ingress"}]),
            InvalidArgument,
            INVALID + 'Service cannot be explicitly attached to the ingress network "ingress"',
        ),
        (service(Name="w_"), InvalidArgument, INVALID + "name must be valid as a DNS name component"),
        # An expression that tries all ways would still be at it.
        (service(Name="a" * 60 + "!"), InvalidArgument, INVALID + "name must be valid as a DNS name component"),
        (
            service(Mode={"Replicated": {"Replicas": 100_001}}),
            InvalidArgument,
            INVALID + "Number of replicas must be at most 100000, and is 100001",
        ),
        (service(Labels={"a": "\0"}), InvalidArgument, "invalid argument: a text contains a null byte"),
        (service(Name="a" * 64), InvalidArgument, INVALID + "name must be 63 characters or fewer"),
        (
            template(Placement={"Constraints": ["node.role=x"]}),
            InvalidArgument,
            RPC + "Unknown desc = constraint expected one operator from ==, !=",
        ),
        (
            template(Placement={"Constraints": ["node.id==@"]}),
            InvalidArgument,
            RPC + "Unknown desc = value '@' is invalid",
        ),
        (
            template(Resources={"Limits": {"MemoryBytes": 1 << 20}}),
            InvalidArgument,
            INVALID + "invalid memory value 1048576: Must be at least 4MiB",
        ),
        (
            template(Resources={"Reservations": {"NanoCPUs": 100}}),
            InvalidArgument,
            INVALID + "invalid cpu value 1e-07: Must be at least 0.001",
        ),
        (template(RestartPolicy={"Condition": "foo"}), InvalidArgument, 'invalid RestartCondition: "foo"'),
        (
            template(RestartPolicy={"Delay": -1}),
            InvalidArgument,
            INVALID + "TaskSpec: restart-delay cannot be negative",
        ),
        (service(EndpointSpec={"Mode": "foo"}), InvalidArgument, 'invalid resolution mode: "foo"'),
        (
            service(EndpointSpec={"Mode": "dnsrr", "Ports": [{"TargetPort": 9, "PublishedPort": 9}]}),
            InvalidArgument,
            INVALID + "EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
        ),
        (
            service(EndpointSpec={"Ports": [{"TargetPort": n, "PublishedPort": 81} for n in (8, 9)]}),
            InvalidArgument,
            INVALID + "EndpointSpec: duplicate published ports provided",
        ),
        (service(UpdateConfig={"Order": "foo"}), InvalidArgument, "unrecognized update order foo"),
        (service(UpdateConfig={"FailureAction": "foo"}), InvalidArgument, "unrecognized update failure action foo"),
        (service(UpdateConfig={"Delay": -1}), InvalidArgument, INVALID + "TaskSpec: update-delay cannot be negative"),
        (
            service(UpdateConfig={"MaxFailureRatio": 2}),
            InvalidArgument,
            INVALID + "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
        ),
        (
            container(Mounts=[{"Type": "tmpfs", "Target": "/a"}] * 2),
            InvalidArgument,
            INVALID + "ContainerSpec: duplicate mount point: /a",
        ),
        (
            container(Healthcheck={"Interval": 1000}),
            InvalidArgument,
            INVALID + "ContainerSpec: Interval in HealthConfig cannot be less than 1ms",
        ),
        (
            container(Image="INVALID/IMAGE"),
            InvalidArgument,
            INVALID + 'ContainerSpec: "INVALID/IMAGE" is not a valid repository/tag',
        ),
        (container(Image=""), InvalidArgument, INVALID + "ContainerSpec: image reference must be provided"),
        (
            container(Secrets=[{"SecretID": "x", "SecretName": "y", "File": {"Name": "f"}}]),
            InvalidArgument,
            INVALID + "secret not found: y",
        ),
        (service(Mode={"Global": {}, "Replicated": {}}), InvalidArgument, "must specify only one service mode"),
    ],
)
def test_services(spec: ServiceSpec, kind: type[ShoalError], text: str) -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec("web", ports=[PortConfig(target_port=80, published_port=80)]))
        await swarm.clock.settle()
        await refused(swarm, kind, text, swarm.services.create(spec))

    flow(body)


def test_two_services_may_share_a_port_of_the_nodes_own() -> None:
    async def body(swarm: Swarm) -> None:
        port = PortConfig(target_port=80, published_port=80, publish_mode="host")
        await swarm.services.create(a_spec("one", ports=[port]))
        await swarm.services.create(a_spec("two", replicas=3, ports=[port]))
        await swarm.clock.settle()
        nodes = [t.node_id for name in ("one", "two") for t in swarm.running(name)]
        assert sorted(n or "" for n in nodes) == ["n1", "n2", "n3"]
        (waiting,) = [t for t in swarm.tasks("two") if t.state.word == "pending"]
        assert waiting.status.err == "no suitable node (host-mode port already in use on 3 nodes)"

    flow(body)


@pytest.mark.parametrize(
    "image",
    [
        "nginx",
        "nginx:1.2",
        "a/b/c:x",
        "localhost:5000/a",
        "reg.example.com/a_b/c__d:1",
        "a@sha256:" + "0" * 64,
        "[::1]:5/a",
    ],
)
def test_images_of_every_form_are_taken(image: str) -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(image=image))

    flow(body)


def test_updates_of_services() -> None:
    async def body(swarm: Swarm) -> None:
        created = await swarm.services.create(a_spec("web"))
        await swarm.clock.settle()
        update, web = swarm.services.update, swarm.services.get("web")
        old, now = created.version.index, web.version.index
        assert old != now
        sequence = RPC + "Unknown desc = update out of sequence"
        for version in (old, now - 1, now + 1):
            await refused(swarm, InvalidArgument, sequence, update("web", web.spec, version))
        await refused(swarm, NotFound, "service nope not found", update("nope", web.spec, now))
        await refused(
            swarm,
            Unimplemented,
            RPC + "Unimplemented desc = renaming services is not supported",
            update("web", replace(web.spec, name="web9"), now),
        )
        await refused(
            swarm,
            Unimplemented,
            RPC + "Unimplemented desc = service mode change is not allowed",
            update("web", replace(service(Mode={"Global": {}}), name="web"), now),
        )
        await refused(
            swarm,
            InvalidArgument,
            RPC + f"FailedPrecondition desc = service {web.id} does not have a previous spec",
            update("web", web.spec, now, rollback=True),
        )
        await swarm.update("web", with_image("nginx:2"))

    flow(body)


def test_nodes() -> None:
    async def body(swarm: Swarm) -> None:
        node = swarm.nodes.get("self")
        update, spec = swarm.nodes.update, node.spec
        version = node.version.index
        await refused(swarm, NotFound, "node nope not found", update("nope", spec, 1))
        await refused(swarm, InvalidArgument, 'invalid Role: "foo"', update("n1", replace(spec, role="foo"), version))
        await refused(
            swarm,
            InvalidArgument,
            'invalid Availability: "foo"',
            update("n1", replace(spec, availability="foo"), version),
        )
        await refused(
            swarm, InvalidArgument, RPC + "Unknown desc = update out of sequence", update("n1", spec, version - 1)
        )
        manager = replace(node, spec=replace(spec, role="manager"))
        await swarm.store.update(lambda tx: tx.update(manager))
        version = swarm.nodes.get("n1").version.index
        await refused(
            swarm,
            FailedPrecondition,
            RPC + "FailedPrecondition desc = attempting to demote the last manager of the swarm",
            update("n1", replace(spec, role="worker"), version),
        )
        unreached = ManagerStatus(reachability="unreachable", addr="192.0.2.2:2377")
        second = replace(swarm.nodes.get("n2"), spec=replace(spec, role="manager"), manager_status=unreached)
        await swarm.store.update(lambda tx: tx.update(second))
        await refused(
            swarm,
            FailedPrecondition,
            RPC + "FailedPrecondition desc = can't remove member from the raft: this would result in a loss of quorum",
            update("n1", replace(spec, role="worker"), version),
        )
        worker = replace(swarm.nodes.get("n2"), spec=replace(spec, role="worker"), manager_status=None)
        await swarm.store.update(lambda tx: tx.update(worker))
        await refused(
            swarm,
            FailedPrecondition,
            RPC + "FailedPrecondition desc = node n1 is a cluster manager and is a member of the raft cluster. "
            "It must be demoted to worker before removal",
            swarm.nodes.remove("n1", force=True),
        )
        await refused(
            swarm,
            FailedPrecondition,
            RPC + "FailedPrecondition desc = node n2 is not down and can't be removed",
            swarm.nodes.remove("n2", force=False),
        )

    flow(body)


def test_a_network_in_use_stays() -> None:
    async def body(swarm: Swarm) -> None:
        created = await swarm.networks.create(network(Name="n1"))
        attached = replace(template(), name="web")
        configs = [NetworkAttachmentConfig(target="n1")]
        web = await swarm.services.create(
            replace(attached, task_template=replace(attached.task_template, networks=configs))
        )
        await swarm.clock.settle()
        text = RPC + f"FailedPrecondition desc = network {created.id} is in use by service {web.id}"
        remove: Callable[[str], Coroutine[Any, Any, object]] = swarm.networks.remove
        await refused(swarm, FailedPrecondition, text, remove("n1"))
        await refused(swarm, NotFound, "network nope not found", remove("nope"))
        await swarm.services.remove("web")
        await swarm.clock.settle()
        await remove(created.id[:5])

    flow(body)
