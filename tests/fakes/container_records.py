"""Containers, as the node keeps them, for tests that need some."""

from typing import Any

from shoal.objects.container import (
    Container,
    ContainerConfig,
    ContainerState,
    Endpoint,
    EndpointSettings,
    HostConfig,
    MountPoint,
    PublishedPort,
    Sandbox,
)
from shoal.objects.ids import ContainerId

AA = "5d6555ef1c00814600104be58666ef96732a9b49b72d20e630d3a4041c193ead"
BRIDGE = "c0318891d3374bd7212d60f9c450bbf685a0505f4fad2461661b8fb4988c3907"
IMAGE = "sha256:5abc7ee9189ee0d3f90eba2e00c9e12128b93e9975788bb20d4f8c5eca10f7b9"
RUNNING = ContainerState(status="running", running=True, pid=22035, started_at="2026-11-23T19:17:57.575388981Z")
EXITED = ContainerState(
    status="exited",
    exit_code=3,
    started_at="2026-11-23T19:17:57.764472988Z",
    finished_at="2026-11-23T19:17:57.767760125Z",
)


def container(**changed: Any) -> Container:
    """``docker run -d --name aa -p 8080:80 -p 9000-9001:90-91/udp --expose 70 -v vol:/data -v /tmp:/t:ro bb sleep``."""
    fields: dict[str, Any] = {
        "id": ContainerId(AA),
        "name": "aa",
        "created": "2026-11-23T19:17:57.276959011Z",
        "image_id": IMAGE,
        "config": ContainerConfig(
            hostname=AA[:12],
            exposed_ports={"70/tcp": {}, "80/tcp": {}, "90/udp": {}, "91/udp": {}},
            cmd=["sleep", "1000"],
            image="bb",
            labels={"x": "y"},
        ),
        "host_config": HostConfig(binds=["vol:/data", "/tmp:/t:ro"]),
        "path": "sleep",
        "args": ["1000"],
        "state": RUNNING,
        "networks": {"bridge": EndpointSettings(network_id=BRIDGE)},
        "sandbox": Sandbox(
            netns="aa",
            endpoints=[
                Endpoint(
                    network_id=BRIDGE,
                    network_name="bridge",
                    endpoint_id="976d0a03044e47e74f720805311478a46d1ea988aeea673e06a55a0875e33312",
                    interface="eth0",
                    addresses=["172.17.0.2/16"],
                    mac="02:42:ac:11:00:02",
                    gateways=["172.17.0.1"],
                )
            ],
            ports=[
                PublishedPort(protocol="tcp", container_port=80, host_port=8080),
                PublishedPort(protocol="udp", container_port=90, host_port=9000),
                PublishedPort(protocol="udp", container_port=91, host_port=9001),
            ],
        ),
        "mounts": [
            MountPoint(
                type="volume",
                name="vol",
                source="/var/lib/docker/volumes/vol/_data",
                destination="/data",
                driver="local",
                mode="z",
            ),
            MountPoint(type="bind", source="/tmp", destination="/t", mode="ro", rw=False, propagation="rslave"),
        ],
        "log_path": f"/var/lib/docker/containers/{AA}/{AA}-json.log",
    }
    return Container(**(fields | changed))
