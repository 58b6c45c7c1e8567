"""Any node's network, for properties: all of one small world, so that two of them have much in common."""

from hypothesis import strategies as st

from shoal.network.node import (
    INGRESS_NETNS,
    INGRESS_SANDBOX,
    BridgeNetwork,
    Endpoint,
    Mesh,
    MeshPort,
    NodeNetwork,
    OverlayNetwork,
    Publication,
    RemoteEndpoint,
    Sandbox,
    VirtualService,
    mac_of,
)

BRIDGES = ("bridge", "docker_gwbridge")
OVERLAYS = ("ingress00000", "nginxnet0000", "other0000000")
NAMES = st.sampled_from(("web", "my-nginx_default.net", "9lives", "a" * 63))
_SANDBOXES = ("task1", "task2", "c3")


@st.composite
def node_networks(draw: st.DrawFn) -> NodeNetwork:
    """A node with some of the world's networks, sandboxes, services, remote endpoints and, perhaps, the mesh."""
    bridges = {name: draw(_bridges(number, name)) for number, name in enumerate(draw(_some(BRIDGES)))}
    overlays = {name: draw(_overlays(OVERLAYS.index(name), name)) for name in draw(_some(OVERLAYS))}
    on_mesh = draw(st.booleans())
    sandboxes: dict[str, Sandbox] = {}
    used: dict[str, int] = {}
    names = [*draw(_some(_SANDBOXES)), *([INGRESS_SANDBOX] if on_mesh else [])]
    for number, name in enumerate(names):
        plugged = draw(_some((*bridges, *overlays)))
        endpoints = []
        for place, network in enumerate(plugged):
            used[network] = used.get(network, -1) + 1
            six = bool(overlays[network].gateways[1:]) if network in overlays else False
            endpoints.append(draw(_endpoints(network, place, number, used[network], network in bridges, six)))
        sandboxes[name] = Sandbox(
            name,
            INGRESS_NETNS if name == INGRESS_SANDBOX else f"ns-{name}",
            f"container {name}",
            tuple(endpoints),
            tuple(draw(st.lists(_publications, max_size=2))) if endpoints else (),
            on_mesh=draw(st.booleans()),
            dns=draw(st.none() | st.just((40053, 40054))),
        )
    return NodeNetwork(
        bridges=bridges,
        overlays=overlays,
        sandboxes=sandboxes,
        services={name: tuple(draw(_services(OVERLAYS.index(name)))) for name in overlays},
        remotes={name: tuple(draw(_remotes(OVERLAYS.index(name)))) for name in overlays},
        mesh=draw(_meshes) if on_mesh else None,
    )


def _some(names: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), unique=True, max_size=len(names)) if names else st.just([])


def _bridges(number: int, name: str) -> st.SearchStrategy[BridgeNetwork]:
    gateways = st.sampled_from(((f"172.{17 + number}.0.1/16",), (f"172.{17 + number}.0.1/16", f"fd0{number}::1/64")))
    flag = st.booleans()
    return st.builds(
        BridgeNetwork,
        network_id=st.just(name),
        name=st.just(name),
        bridge=st.just(f"br-{name[:9]}"),
        gateways=gateways,
        mtu=st.sampled_from((1500, 1400)),
        icc=flag,
        masquerade=flag,
        internal=flag,
    )


def _overlays(number: int, name: str) -> st.SearchStrategy[OverlayNetwork]:
    gateways = st.sampled_from(((f"10.0.{number}.1/24",), (f"10.0.{number}.1/24", f"fd1{number}::1/64")))
    vni = st.sampled_from((4096 + 10 * number, 4097 + 10 * number))
    return st.builds(OverlayNetwork, st.just(name), st.just(name), vni, gateways, st.sampled_from((1450, 1350)))


@st.composite
def _endpoints(
    draw: st.DrawFn, network: str, place: int, number: int, port: int, on_bridge: bool, six: bool
) -> Endpoint:
    base = f"172.{17 + BRIDGES.index(network)}.0" if on_bridge else f"10.0.{OVERLAYS.index(network)}"
    host = draw(st.sampled_from((10, 20))) + number
    addresses = [f"{base}.{host}/{16 if on_bridge else 24}"]
    if six:
        addresses.append(f"fd1{OVERLAYS.index(network)}::{host}/64")
    gateways = (f"{base}.1",) if on_bridge and draw(st.booleans()) else ()
    return Endpoint(network, f"eth{place}", tuple(addresses), mac_of(addresses[0]), gateways, port)


_publications = st.builds(
    Publication,
    st.sampled_from(("tcp", "udp", "sctp")),
    st.integers(1, 65535),
    st.sampled_from(("172.17.0.10", "172.18.0.20")),
    st.integers(1, 65535),
    st.sampled_from((None, "127.0.0.1", "10.9.9.9", "::1")),
)
_backends = st.lists(st.integers(2, 250), unique=True, max_size=4).map(
    lambda numbers: tuple(f"10.0.1.{n}" if n % 3 else f"fd11::{n}" for n in numbers)
)


def _services(number: int) -> st.SearchStrategy[list[VirtualService]]:
    vips = st.sampled_from((f"10.0.{number}.2", f"10.0.{number}.3", f"fd1{number}::2"))
    service = st.builds(VirtualService, NAMES, vips, _backends)
    return st.lists(service, max_size=3, unique_by=lambda service: service.vip)


_meshes = st.builds(
    Mesh,
    st.just(OVERLAYS[0]),
    st.lists(
        st.builds(
            MeshPort,
            st.sampled_from(("tcp", "udp", "sctp")),
            st.integers(1, 65535),
            st.integers(1, 65535),
            NAMES,
            _backends,
        ),
        max_size=3,
        unique_by=lambda port: (port.protocol, port.published),
    ).map(tuple),
    st.lists(st.sampled_from(("10.0.0.2/24", "10.0.0.3/24", "fd10::2/64")), unique=True).map(tuple),
    st.sampled_from((None, "192.0.2.1", "2001:db8::1")),
)


def _remotes(number: int) -> st.SearchStrategy[list[RemoteEndpoint]]:
    return st.lists(
        st.builds(
            RemoteEndpoint,
            st.sampled_from((f"10.0.{number}.77/24", f"10.0.{number}.78/24")),
            st.sampled_from(("192.0.2.8", "192.0.2.9")),
        ),
        unique_by=lambda remote: remote.address,
        max_size=2,
    )
