"""The tree, line by line."""

from shoal.objects.base import encode
from shoal.observe.draw import WIDTH, draw
from shoal.observe.graph import DefaultRoute, Interface, Namespace, Peer, Topology, Tunnel

LO = Interface(index=1, name="lo", up=True, addresses=["127.0.0.1/8"])
HOST = Namespace(
    name="",
    interfaces=[
        LO,
        Interface(index=2, name="eth0", mtu=1460, up=True, addresses=["10.138.0.3/32"]),
        Interface(
            index=3, name="docker0", kind="bridge", mtu=1500, addresses=["172.17.0.1/16"], owner="network bridge"
        ),
        Interface(
            index=8,
            name="docker_gwbridge",
            kind="bridge",
            mtu=1500,
            up=True,
            addresses=["172.18.0.1/16"],
            owner="network docker_gwbridge",
        ),
        Interface(
            index=10,
            name="veth7064f01",
            kind="veth",
            mtu=1500,
            up=True,
            bridge="docker_gwbridge",
            owner="ingress sandbox",
            peer=Peer(namespace="ingress_sbox", interface="eth1", addresses=["172.18.0.2/16"], owner="ingress sandbox"),
        ),
        Interface(index=11, name="veth0", kind="veth", up=True, bridge="docker_gwbridge", peer=Peer(namespace=None)),
    ],
    default_routes=[DefaultRoute(interface="eth0", via="10.138.0.1")],
)
OVERLAY = Namespace(
    name="1-a4xiy43kwu",
    owner="network ingress",
    interfaces=[
        LO,
        Interface(
            index=2,
            name="br0",
            kind="bridge",
            mtu=1450,
            up=True,
            addresses=["10.255.0.1/16", "fd00::1/64"],
            owner="network ingress",
        ),
        Interface(
            index=5,
            name="vxlan0",
            kind="vxlan",
            mtu=1450,
            up=True,
            bridge="br0",
            owner="network ingress",
            tunnel=Tunnel(vni=4096, port=4789, fdb_entries=1, neighbours=1),
        ),
        Interface(
            index=7,
            name="veth0",
            kind="veth",
            up=True,
            bridge="br0",
            owner="ingress sandbox",
            peer=Peer(
                namespace="ingress_sbox",
                interface="eth0",
                addresses=["10.255.0.2/16", "fd00::2/64"],
                owner="ingress sandbox",
            ),
        ),
    ],
)
SANDBOX = Namespace(
    name="ingress_sbox",
    owner="ingress sandbox",
    interfaces=[
        LO,
        Interface(
            index=6,
            name="eth0",
            kind="veth",
            up=True,
            addresses=["10.255.0.2/16", "fd00::2/64"],
            owner="ingress sandbox",
            peer=Peer(namespace="1-a4xiy43kwu", interface="veth0", owner="ingress sandbox"),
        ),
        Interface(
            index=9,
            name="eth1",
            kind="veth",
            up=True,
            addresses=["172.18.0.2/16"],
            owner="ingress sandbox",
            peer=Peer(namespace="", interface="veth7064f01", owner="ingress sandbox"),
        ),
    ],
    default_routes=[
        DefaultRoute(interface="eth1", via="172.18.0.1"),
        DefaultRoute(interface="eth0", via="10.255.0.3", table=102),
    ],
)

DRAWN = """\
host
├─ eth0             link, MTU 1460                10.138.0.3/32
├─ docker0          bridge, MTU 1500, down        172.17.0.1/16  network bridge
├─ docker_gwbridge  bridge, MTU 1500              172.18.0.1/16  network docker_gwbridge
│  ├─ veth7064f01   ↔ eth1 in ingress_sbox        172.18.0.2/16  ingress sandbox
│  └─ veth0         ↔ a namespace without a name
└─ default via 10.138.0.1 by eth0

namespace 1-a4xiy43kwu  (network ingress)
└─ br0        bridge, MTU 1450                              10.255.0.1/16
   │                                                        fd00::1/64
   ├─ vxlan0  VXLAN 4096, UDP port 4789, 1 remote endpoint
   └─ veth0   ↔ eth0 in ingress_sbox                        10.255.0.2/16  ingress sandbox
                                                            fd00::2/64

namespace ingress_sbox  (ingress sandbox)
├─ eth0  ↔ veth0 in 1-a4xiy43kwu  10.255.0.2/16
│                                 fd00::2/64
├─ eth1  ↔ veth7064f01 in host    172.18.0.2/16
├─ default via 172.18.0.1 by eth1
└─ default via 10.255.0.3 by eth0, table 102
"""


def test_the_lab_drawn() -> None:
    assert draw([HOST, OVERLAY, SANDBOX]) == DRAWN


def test_long_names_go_below_and_stay_whole() -> None:
    name = "my-nginx-custom-overlay.1.k2xv5tq8m1p3hw7zr0c9n4bsd"
    port = Interface(
        index=12,
        name="veth1",
        kind="veth",
        up=True,
        bridge="br0",
        peer=Peer(
            namespace=name,
            interface="eth0",
            addresses=["10.0.0.3/24", "fd00:1234:5678:9abc:def0:1234:5678:9abc/64"],
            owner="task my-nginx-custom-overlay.1",
        ),
    )
    bridge = Interface(index=2, name="br0", kind="bridge", mtu=1450, up=True, addresses=["10.0.0.1/24"])
    text = draw([Namespace(name="1-v1qhhmk5qm", owner="network nginx-net", interfaces=[bridge, port])])
    assert text.splitlines() == [
        "namespace 1-v1qhhmk5qm  (network nginx-net)",
        "└─ br0       bridge, MTU 1450",
        "   │           10.0.0.1/24",
        f"   └─ veth1  ↔ eth0 in {name}",
        "               10.0.0.3/24  fd00:1234:5678:9abc:def0:1234:5678:9abc/64",
        "               task my-nginx-custom-overlay.1",
    ]
    assert max(len(line) for line in text.splitlines()) <= WIDTH


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw([Namespace(name="", interfaces=[LO])]) == "host\n"
    assert draw([]) == ""


def test_as_json() -> None:
    topology = Topology(text="host\n", namespaces=[Namespace(name="", interfaces=[OVERLAY.interfaces[2]])])
    assert encode(topology).decode() == (
        '{"Text":"host\\n","Namespaces":[{"Name":"","Interfaces":[{"Index":5,"Name":"vxlan0","Kind":"vxlan",'
        '"MTU":1450,"Up":true,"Bridge":"br0","Owner":"network ingress",'
        '"Tunnel":{"VNI":4096,"Port":4789,"FDBEntries":1,"Neighbours":1}}]}]}'
    )
