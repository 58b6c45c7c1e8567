"""SwarmKit's terms for a container, as the engine's."""

from shoal.agent.container_spec import container_config, host_config, network_settings
from shoal.objects.container import PortBinding
from shoal.objects.ids import NetworkId, NodeId, ServiceId, TaskId
from shoal.objects.meta import Driver
from shoal.objects.network import Network, NetworkSpec
from shoal.objects.service import (
    ContainerSpec,
    DNSConfig,
    Endpoint,
    Mount,
    PortConfig,
    ResourceRequirements,
    Resources,
    TaskSpec,
)
from shoal.objects.task import NetworkAttachment, Task

SPEC = ContainerSpec(
    image="nginx",
    command=["sh"],
    args=["-c", "true"],
    hostname="h-{{.Task.Slot}}",
    env=["A={{.Service.Name}}", "B"],
    dir="/srv",
    user="www",
    labels={"mine": "1"},
    mounts=[Mount(type="volume", source="v{{.Task.Slot}}", target="/data", read_only=True)],
    stop_signal="SIGINT",
    stop_grace_period=2_500_000_000,
    hosts=["10.1.1.1 a b", "10.1.1.2\tc"],
    dns_config=DNSConfig(nameservers=["9.9.9.9"], search=["x"], options=["o"]),
    read_only=True,
)
TASK = Task(
    id=TaskId("taskid"),
    slot=3,
    node_id=NodeId("n"),
    service_id=ServiceId("s"),
    service_name="web",
    spec=TaskSpec(
        container_spec=SPEC,
        resources=ResourceRequirements(
            limits=Resources(nano_cpus=5, memory_bytes=1 << 30, pids=7), reservations=Resources(memory_bytes=9)
        ),
        log_driver=Driver(name="json-file", options={"max-size": "1m"}),
    ),
    endpoint=Endpoint(
        ports=[
            PortConfig(target_port=80, published_port=8080),
            PortConfig(target_port=53, protocol="udp", published_port=5353, publish_mode="host"),
            PortConfig(target_port=54, publish_mode="host"),
        ]
    ),
    networks_attachments=[
        NetworkAttachment(
            network=Network(id=NetworkId(f"id-{name}"), spec=NetworkSpec(name=name)),
            addresses=[f"10.0.{number}.9/24", f"fd00:{number}::9/64"],
            aliases=[f"www{number}"],
        )
        for number, name in enumerate(("front", "back"))
    ],
)


def test_the_container() -> None:
    config = container_config(TASK)
    assert (config.image, config.entrypoint, config.cmd) == ("nginx", ["sh"], ["-c", "true"])
    assert (config.hostname, config.env, config.user, config.working_dir) == ("h-3", ["A=web", "B"], "www", "/srv")
    assert (config.stop_signal, config.stop_timeout) == ("SIGINT", 2)
    assert set(config.exposed_ports or {}) == {"80/tcp", "53/udp", "54/tcp"}
    assert config.labels == {
        "mine": "1",
        "com.docker.swarm.node.id": "n",
        "com.docker.swarm.service.id": "s",
        "com.docker.swarm.service.name": "web",
        "com.docker.swarm.task": "",
        "com.docker.swarm.task.id": "taskid",
        "com.docker.swarm.task.name": "web.3.taskid",
    }


def test_what_depends_on_the_machine() -> None:
    host = host_config(TASK)
    assert host.network_mode == "front"
    assert host.port_bindings == {"53/udp": [PortBinding(host_port="5353")], "54/tcp": [PortBinding(host_port="")]}
    assert host.mounts == [Mount(type="volume", source="v3", target="/data", read_only=True)]
    assert host.extra_hosts == ["a:10.1.1.1", "c:10.1.1.2"]
    assert (host.dns, host.dns_search, host.dns_options) == (["9.9.9.9"], ["x"], ["o"])
    assert (host.nano_cpus, host.memory, host.pids_limit, host.memory_reservation) == (5, 1 << 30, 7, 9)
    assert (host.log_config.type, host.log_config.config) == ("json-file", {"max-size": "1m"})
    assert host.readonly_rootfs


def test_its_networks_in_their_order() -> None:
    settings = network_settings(TASK)
    assert list(settings) == ["front", "back"]
    front = settings["front"]
    assert (front.network_id, front.aliases) == ("id-front", ["www0"])
    assert front.ipam_config is not None
    assert (front.ipam_config.ipv4_address, front.ipam_config.ipv6_address) == ("10.0.0.9/24", "fd00:0::9/64")


def test_nothing_said() -> None:
    task = Task(id=TaskId("t"), spec=TaskSpec(container_spec=ContainerSpec(image="x")))
    assert host_config(task).network_mode == "bridge"
    assert network_settings(task) == {}
    assert container_config(task).stop_timeout is None
