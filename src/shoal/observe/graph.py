"""A node's network as a graph: what ``shoal topology`` draws and, as JSON, answers. Addresses are ``10.0.0.3/24``."""

import msgspec

from shoal.objects.base import Object


class Peer(Object, frozen=True):
    """The other end of a veth pair; ``namespace`` is ``""`` for the host's, and ``None`` for one nobody has named."""

    namespace: str | None
    interface: str = ""
    addresses: list[str] = []
    owner: str = ""


class Tunnel(Object, frozen=True):
    """A VXLAN device: how many remote MACs and addresses it knows, and where its packets go out."""

    vni: int = msgspec.field(name="VNI")
    port: int
    fdb_entries: int = msgspec.field(default=0, name="FDBEntries")
    neighbours: int = 0


class Interface(Object, frozen=True):
    """A link; ``kind`` is the kernel's word (``bridge``, ``veth``, ``vxlan``) or ``""``. ``bridge`` is the one whose
    port it is; isolated ports of a bridge cannot talk to each other."""

    index: int
    name: str
    kind: str = ""
    mac: str = msgspec.field(default="", name="MAC")
    mtu: int = msgspec.field(default=0, name="MTU")
    up: bool = False
    addresses: list[str] = []
    bridge: str = ""
    isolated: bool = False
    owner: str = ""
    peer: Peer | None = None
    tunnel: Tunnel | None = None


class DefaultRoute(Object, frozen=True):
    """Where packets go that have no other way; ``table`` 254 is the main one, the mesh's ways back have their own."""

    interface: str
    via: str = ""
    table: int = 254


class Namespace(Object, frozen=True):
    """A network namespace; ``name`` is as under /run/netns, and ``""`` for the host's."""

    name: str
    owner: str = ""
    interfaces: list[Interface] = []
    default_routes: list[DefaultRoute] = []


class Topology(Object, frozen=True, omit_defaults=False):
    """The graph, and its drawing."""

    text: str
    namespaces: list[Namespace]
