"""The node's network, read back from the kernel: the host's namespace and ours."""

from shoal.kernel import netns, records
from shoal.kernel.records import TABLE_MAIN
from shoal.network.handles import Handles
from shoal.network.items import HOST
from shoal.network.marks import PROTOCOL
from shoal.network.observe import Peers, our_namespaces
from shoal.network.reconciler import Reconciler
from shoal.observe.draw import draw
from shoal.observe.graph import DefaultRoute, Interface, Namespace, Peer, Topology, Tunnel


async def read_topology(reconciler: Reconciler) -> Topology:
    """All that the kernel has now: the host first, then our namespaces by name. Raises what ``kernel`` raises."""
    namespaces = await reconciler.run(read_namespaces)
    return Topology(text=draw(namespaces), namespaces=namespaces)


def read_namespaces(handles: Handles) -> list[Namespace]:
    """The graph; to be called where ``handles`` belong."""
    handles.reaper.wait()  # or ends would be shown that are about to go
    return _Reading(handles).namespaces()


class _Reading:
    """All links and addresses of one moment, from which one end of a pair finds the other."""

    def __init__(self, handles: Handles) -> None:
        self._owner = handles.owner
        self._handles = handles
        self._spaces = {HOST: "", **our_namespaces(handles, netns.list_names(handles.base))}
        self._links = {ns: handles.netlink(ns).links() for ns in self._spaces}
        self._addresses = {ns: _addresses(ns, handles) for ns in self._spaces}
        self._peers = Peers(self._links, handles)

    def namespaces(self) -> list[Namespace]:
        return [self._namespace(ns, alias) for ns, alias in self._spaces.items()]

    def _namespace(self, ns: str, alias: str) -> Namespace:
        names = {link.index: link.name for link in self._links[ns]}
        return Namespace(
            name=ns,
            owner=_owner(alias, self._owner),
            interfaces=[self._interface(ns, link, names.get(link.master or 0, "")) for link in self._links[ns]],
            default_routes=_default_routes(ns, names, self._handles),
        )

    def _interface(self, ns: str, link: records.Link, bridge: str) -> Interface:
        peer = self._peer(ns, link)
        # A hub's end says which of its owner's interfaces it leads to.
        end = f" {peer.interface}" if peer else ""
        return Interface(
            index=link.index,
            name=link.name,
            kind=link.kind,
            mac=link.mac,
            mtu=link.mtu,
            up=link.up,
            addresses=self._addresses[ns].get(link.index, []),
            bridge=bridge,
            isolated=link.port.isolated if link.port else False,
            owner=_owner(link.alias, self._owner).removesuffix(end),
            peer=peer,
            tunnel=_tunnel(ns, link, self._handles),
        )

    def _peer(self, ns: str, link: records.Link) -> Peer | None:
        if link.kind != "veth":
            return None
        found = self._peers.of(ns, link)
        if found is None:
            return Peer(namespace=None)
        where, other = found
        return Peer(
            namespace=where,
            interface=other.name,
            addresses=self._addresses[where].get(other.index, []),
            owner=_owner(other.alias, self._owner).removesuffix(f" {link.name}"),
        )


def _addresses(ns: str, handles: Handles) -> dict[int, list[str]]:
    """The addresses by link, link-local ones left out: every link with IPv6 has one."""
    found: dict[int, list[str]] = {}
    for address in handles.netlink(ns).addresses():
        if not address.ip.is_link_local:
            found.setdefault(address.index, []).append(str(address.ip))
    return found


def _tunnel(ns: str, link: records.Link, handles: Handles) -> Tunnel | None:
    if link.vxlan is None:
        return None
    netlink = handles.netlink(ns)
    return Tunnel(
        vni=link.vxlan.vni,
        port=link.vxlan.port,
        fdb_entries=sum(e.index == link.index and e.permanent and e.dst is not None for e in netlink.fdb()),
        neighbours=sum(n.index == link.index and n.permanent for n in netlink.neighbours()),
    )


def _default_routes(ns: str, names: dict[int, str], handles: Handles) -> list[DefaultRoute]:
    return [
        DefaultRoute(
            interface=names.get(route.index or 0, ""),
            via=str(route.gateway) if route.gateway else "",
            table=route.table,
        )
        for route in handles.netlink(ns).routes()
        if route.dst.prefixlen == 0
        and route.kind == records.RouteKind.UNICAST
        and (route.table == TABLE_MAIN or route.protocol == PROTOCOL)
    ]


def _owner(alias: str, owner: str) -> str:
    """Whose a link is, by its alias; somebody else's alias says nothing that we know to read."""
    mark, _, whose = alias.partition(": ")
    return whose if mark == owner else ""
