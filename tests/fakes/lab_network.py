"""The node of the lab: docker0, docker_gwbridge, the ingress network with its sandbox, two tasks on nginx-net."""

from dataclasses import replace

from shoal.network.describe import HOST_PART, overlay_part, sandbox_part
from shoal.network.node import (
    INGRESS_NETNS,
    INGRESS_SANDBOX,
    BridgeNetwork,
    Endpoint,
    Mesh,
    MeshPort,
    NodeNetwork,
    OverlayNetwork,
    Sandbox,
    VirtualService,
    mac_of,
)

BRIDGE, GWBRIDGE = "b" * 64, "c" * 64
INGRESS, NGINX = "a4xiy43kwuingress00000000", "v1qhhmk5qmotligdrvmvi2md4"
HOST_ADDRESS = "10.99.0.1"
VIP = "10.0.0.2"


def empty_node() -> NodeNetwork:
    """After ``swarm init``."""
    inside = Endpoint(INGRESS, "eth0", ("10.255.0.2/16",), mac_of("10.255.0.2"))
    outside = Endpoint(GWBRIDGE, "eth1", ("172.18.0.2/16",), mac_of("172.18.0.2"), ("172.18.0.1",))
    ingress = Sandbox(INGRESS_SANDBOX, INGRESS_NETNS, "ingress sandbox", (inside, outside))
    return NodeNetwork(
        bridges={
            BRIDGE: BridgeNetwork(BRIDGE, "bridge", "docker0", ("172.17.0.1/16",)),
            GWBRIDGE: BridgeNetwork(GWBRIDGE, "docker_gwbridge", "docker_gwbridge", ("172.18.0.1/16",), icc=False),
        },
        overlays={INGRESS: OverlayNetwork(INGRESS, "ingress", 4096, ("10.255.0.1/16",), 1450)},
        sandboxes={INGRESS_SANDBOX: ingress},
        mesh=Mesh(INGRESS, (), ("10.255.0.2/16",), HOST_ADDRESS),
    )


def task(number: int) -> Sandbox:
    """Replica 1, 2, … of the service ``web``, on ingress, nginx-net and docker_gwbridge."""
    places = [(INGRESS, f"10.255.0.{3 + number}/16"), (NGINX, f"10.0.0.{2 + number}/24")]
    endpoints = [
        Endpoint(network, f"eth{n}", (address,), mac_of(address), (), number - (network == NGINX))
        for n, (network, address) in enumerate(places)
    ]
    way_out = f"172.18.0.{2 + number}/16"
    endpoints.append(Endpoint(GWBRIDGE, "eth2", (way_out,), mac_of(way_out), ("172.18.0.1",)))
    return Sandbox(f"task{number}", f"web.{number}.xyz", f"task web.{number}", tuple(endpoints), on_mesh=True)


def lab_node(tasks: int = 2, port: int = 8080) -> NodeNetwork:
    """After ``service create --name web --publish published=80 --network nginx-net --replicas 2``."""
    node = empty_node()
    running = [task(number) for number in range(1, tasks + 1)]
    overlays = {**node.overlays, NGINX: OverlayNetwork(NGINX, "nginx-net", 4097, ("10.0.0.1/24",), 1450)}
    backends = {n: tuple(sandbox.endpoints[n].addresses[0].split("/")[0] for sandbox in running) for n in (0, 1)}
    assert node.mesh is not None
    return replace(
        node,
        overlays=overlays if tasks else node.overlays,
        sandboxes={**node.sandboxes, **{sandbox.sandbox_id: sandbox for sandbox in running}},
        services={NGINX: (VirtualService("web", VIP, backends[1]),)},
        mesh=replace(node.mesh, ports=(MeshPort("tcp", 80, port, "web", backends[0]),)),
    )


def all_parts(*nodes: NodeNetwork) -> list[str]:
    """Every part that any of these nodes has."""
    found = {HOST_PART}
    for node in nodes:
        found |= {overlay_part(each) for each in node.overlays} | {sandbox_part(each) for each in node.sandboxes}
    return sorted(found)
