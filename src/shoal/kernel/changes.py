"""The changes, as typed verbs: each builds one rtnetlink message for :meth:`netlink.Netlink.apply`.

Links are named by name or by index, masters and devices of routes by index (:meth:`netlink.Netlink.index`).
Namespaces are given as open file descriptors (:func:`netns.opened`), which must stay open until the change is applied.
``add_*`` fails with Conflict where the thing exists, ``replace_*`` takes its place, ``del_*`` fails with NotFound
where it does not. An interface alias cannot be given with a new link, the kernel ignores it: set it afterwards.
"""

from socket import AF_INET, AF_INET6

from shoal.errors import InvalidArgument
from shoal.kernel import netlink_codec as nl
from shoal.kernel import records as r
from shoal.kernel.netlink_socket import Change

_NEWLINK, _DELLINK = 16, 17
_NEWADDR, _DELADDR = 20, 21
_NEWROUTE, _DELROUTE = 24, 25
_NEWNEIGH, _DELNEIGH = 28, 29
_NEWRULE, _DELRULE = 32, 33
_ADD = nl.NLM_F_CREATE | nl.NLM_F_EXCL
_REPLACE = nl.NLM_F_CREATE | nl.NLM_F_REPLACE

_VETH_INFO_PEER = 1
_TO_TABLE = 1  # FR_ACT_TO_TBL
_NAME_LIMIT = 15  # IFNAMSIZ - 1
_ALIAS_LIMIT = 255  # IFALIASZ - 1


def add_bridge(name: str, mac: str | None = None, mtu: int | None = None, group: int | None = None) -> Change:
    """A bridge, down. Without ``mac`` its address changes as ports come and go."""
    return _new_link("bridge", name, _common(mac=mac, mtu=mtu, group=group))


def add_veth(
    name: str,
    peer_name: str,
    *,
    mtu: int | None = None,
    mac: str | None = None,
    peer_mac: str | None = None,
    ns_fd: int | None = None,
    peer_ns_fd: int | None = None,
    group: int | None = None,
) -> Change:
    """A veth pair, both ends down, each in the namespace given or in the socket's; ``mtu``, ``group`` are for both."""
    peer = _ifinfo() + _name(peer_name) + b"".join(_common(mac=peer_mac, mtu=mtu, ns_fd=peer_ns_fd, group=group))
    own = _common(mac=mac, mtu=mtu, ns_fd=ns_fd, group=group)
    return _new_link("veth", name, own, nl.attr(_VETH_INFO_PEER | 0x8000, peer))


def add_vxlan(
    name: str,
    vxlan: r.Vxlan,
    *,
    mac: str | None = None,
    mtu: int | None,
    ns_fd: int | None = None,
    group: int | None = None,
) -> Change:
    """A VXLAN device, down, in the namespace ``ns_fd``; its underlay stays in the namespace of the socket.

    Raises (on application) Conflict if the underlay has a device with that VNI and port already.
    """
    options = [
        nl.u32(r.VXLAN_ID, vxlan.vni),
        nl.be16(r.VXLAN_PORT, vxlan.port),
        nl.u8(r.VXLAN_LEARNING, vxlan.learning),
        nl.u8(r.VXLAN_PROXY, vxlan.proxy),
        nl.u8(r.VXLAN_L2MISS, vxlan.l2miss),
        nl.u8(r.VXLAN_L3MISS, vxlan.l3miss),
    ]
    if vxlan.local is not None:
        options.append(nl.attr(r.VXLAN_LOCAL if vxlan.local.version == 4 else r.VXLAN_LOCAL6, vxlan.local.packed))
    return _new_link("vxlan", name, _common(mac=mac, mtu=mtu, ns_fd=ns_fd, group=group), *options)


def set_link(
    link: int | str,
    *,
    up: bool | None = None,
    mtu: int | None = None,
    mac: str | None = None,
    master: int | None = None,
    alias: str | None = None,
    name: str | None = None,
    ns_fd: int | None = None,
    group: int | None = None,
) -> Change:
    """Change what is given: ``master`` 0 takes the link out of its bridge, ``alias`` "" removes the alias.

    ``name`` renames, and needs the link's index; ``ns_fd`` moves the link there, which takes it down and loses its
    addresses.
    """
    attrs = _common(mac=mac, mtu=mtu, ns_fd=ns_fd, group=group)
    if master is not None:
        attrs.append(nl.u32(r.IFLA_MASTER, master))
    if alias is not None:
        if len(alias.encode()) > _ALIAS_LIMIT:
            raise InvalidArgument(f"an interface alias has at most {_ALIAS_LIMIT} bytes: {alias!r}")
        attrs.append(nl.attr(r.IFLA_IFALIAS, alias.encode()))
    if name is not None:
        if isinstance(link, str):
            raise InvalidArgument(f"renaming {link} to {name} needs the link's index")
        attrs.append(_name(name))
    flags, change = (r.IFF_UP if up else 0, r.IFF_UP) if up is not None else (0, 0)
    return Change(_NEWLINK, 0, _link_body(link, flags, change) + b"".join(attrs), f"change the link {link}")


def set_bridge_port(
    link: int | str,
    *,
    isolated: bool | None = None,
    learning: bool | None = None,
    hairpin: bool | None = None,
    flood: bool | None = None,
) -> Change:
    """Change how the bridge treats this port of its; the link must be one already, in a message of its own."""
    given = {r.PORT_ISOLATED: isolated, r.PORT_LEARNING: learning, r.PORT_HAIRPIN: hairpin, r.PORT_FLOOD: flood}
    options = [nl.u8(type_, value) for type_, value in given.items() if value is not None]
    slave = nl.string(r.INFO_SLAVE_KIND, "bridge") + nl.nest(r.INFO_SLAVE_DATA, *options)
    return Change(_NEWLINK, 0, _link_body(link) + nl.nest(r.IFLA_LINKINFO, slave), f"change the bridge port {link}")


def del_link(link: int | str) -> Change:
    """Remove a link; a veth's other end goes with it."""
    return Change(_DELLINK, 0, _link_body(link), f"remove the link {link}")


def add_address(index: int, ip: r.IPInterface, scope: int = r.Scope.UNIVERSE, protocol: int = 0) -> Change:
    """An address; IPv4 with its broadcast address, IPv6 without duplicate detection: our addresses are allocated.

    ``protocol`` says who made it; Linux before 5.18 does not keep it.
    """
    body = _address_body(index, ip, scope)
    if protocol:
        body += nl.u8(r.IFA_PROTO, protocol)
    if ip.version == 6:
        body += nl.u32(r.IFA_FLAGS, r.IFA_F_NODAD)
    elif ip.network.prefixlen < 31 and scope != r.Scope.HOST:
        body += nl.attr(r.IFA_BROADCAST, ip.network.broadcast_address.packed)
    return Change(_NEWADDR, _ADD, body, f"add {ip} to link {index}")


def del_address(index: int, ip: r.IPInterface) -> Change:
    """Take an address, with that very prefix length, off a link."""
    return Change(_DELADDR, 0, _address_body(index, ip, 0), f"remove {ip} from link {index}")


def add_route(route: r.Route) -> Change:
    """A new route."""
    return Change(_NEWROUTE, _ADD, _route_body(route), f"add {_route_text(route)}")


def replace_route(route: r.Route) -> Change:
    """A route, in place of one with the same destination, table and metric."""
    return Change(_NEWROUTE, _REPLACE, _route_body(route), f"set {_route_text(route)}")


def del_route(route: r.Route) -> Change:
    """Remove the route that is like this one."""
    return Change(_DELROUTE, 0, _route_body(route), f"remove {_route_text(route)}")


def route(
    dst: r.IPNetwork,
    *,
    gateway: r.IPAddress | None = None,
    index: int | None = None,
    table: int = r.TABLE_MAIN,
    source: r.IPAddress | None = None,
    scope: int | None = None,
    kind: r.RouteKind = r.RouteKind.UNICAST,
    metric: int | None = None,
    protocol: int = r.Protocol.STATIC,
) -> r.Route:
    """A route with the kernel's own defaults filled in, so that it equals what is read back.

    ``scope`` None: link for IPv4 without a gateway, else universe. ``metric`` None: 0 for IPv4, 1024 for IPv6.
    """
    if scope is None:
        direct = dst.version == 4 and gateway is None and kind == r.RouteKind.UNICAST
        scope = r.Scope.LINK if direct else r.Scope.UNIVERSE
    if metric is None:
        metric = 0 if dst.version == 4 else 1024
    return r.Route(dst, table, kind, gateway, index, source, scope, metric, protocol)


def add_rule(rule: r.Rule) -> Change:
    """A policy rule that leads to a table."""
    return Change(_NEWRULE, _ADD, _rule_body(rule), f"add {_rule_text(rule)}")


def del_rule(rule: r.Rule) -> Change:
    """Remove the rule that is like this one."""
    return Change(_DELRULE, 0, _rule_body(rule), f"remove {_rule_text(rule)}")


def mark_rule(family: int, priority: int, fwmark: int, table: int, protocol: int = r.Protocol.STATIC) -> r.Rule:
    """The rule that sends packets with this mark to a table, as it is read back; AF_INET or AF_INET6."""
    return r.Rule(family, priority, table, fwmark, 0xFFFFFFFF, None, None, protocol)


def add_neighbour(index: int, ip: r.IPAddress, mac: str) -> Change:
    """A permanent neighbour entry."""
    return Change(_NEWNEIGH, _ADD, _neighbour_body(index, ip, mac), f"add the neighbour {ip} on link {index}")


def replace_neighbour(index: int, ip: r.IPAddress, mac: str) -> Change:
    """A permanent neighbour entry, in place of any for that address."""
    return Change(_NEWNEIGH, _REPLACE, _neighbour_body(index, ip, mac), f"set the neighbour {ip} on link {index}")


def del_neighbour(index: int, ip: r.IPAddress) -> Change:
    """Forget a neighbour."""
    return Change(_DELNEIGH, 0, _neighbour_body(index, ip, None), f"remove the neighbour {ip} from link {index}")


def add_fdb(index: int, mac: str, vtep: r.IPAddress | None) -> Change:
    """A permanent entry: on a VXLAN device, ``mac`` is behind ``vtep``; None: the bridge finds it at this port."""
    return Change(_NEWNEIGH, _ADD, _fdb_body(index, mac, vtep), f"add the FDB entry {mac} on link {index}")


def replace_fdb(index: int, mac: str, vtep: r.IPAddress | None) -> Change:
    """As :func:`add_fdb`, in place of any entry for that MAC."""
    return Change(_NEWNEIGH, _REPLACE, _fdb_body(index, mac, vtep), f"set the FDB entry {mac} on link {index}")


def del_fdb(index: int, mac: str, vtep: r.IPAddress | None) -> Change:
    """Remove an entry that :func:`add_fdb` would make."""
    return Change(_DELNEIGH, 0, _fdb_body(index, mac, vtep), f"remove the FDB entry {mac} from link {index}")


def _new_link(kind: str, name: str, attrs: list[bytes], *data: bytes) -> Change:
    info = nl.string(r.INFO_KIND, kind) + (nl.nest(r.INFO_DATA, *data) if data else b"")
    body = _link_body(name) + b"".join(attrs) + nl.nest(r.IFLA_LINKINFO, info)
    return Change(_NEWLINK, _ADD, body, f"add the {kind} {name}")


def _ifinfo(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return r.IFINFO.pack(0, 0, index, flags, change)


def _link_body(link: int | str, flags: int = 0, change: int = 0) -> bytes:
    if isinstance(link, str):
        return _ifinfo(0, flags, change) + _name(link)
    return _ifinfo(link, flags, change)


def _name(name: str) -> bytes:
    if not 0 < len(name.encode()) <= _NAME_LIMIT:
        raise InvalidArgument(f"a link's name has 1 to {_NAME_LIMIT} bytes: {name!r}")
    return nl.string(r.IFLA_IFNAME, name)


def _common(
    *, mac: str | None = None, mtu: int | None = None, ns_fd: int | None = None, group: int | None = None
) -> list[bytes]:
    attrs = []
    if mac is not None:
        attrs.append(nl.attr(r.IFLA_ADDRESS, _mac_bytes(mac)))
    if mtu is not None:
        attrs.append(nl.u32(r.IFLA_MTU, mtu))
    if ns_fd is not None:
        attrs.append(nl.u32(r.IFLA_NET_NS_FD, ns_fd))
    if group is not None:
        attrs.append(nl.u32(r.IFLA_GROUP, group))
    return attrs


def _mac_bytes(mac: str) -> bytes:
    try:
        raw = bytes.fromhex(mac.replace(":", ""))
    except ValueError:
        raw = b""
    if len(raw) != 6:
        raise InvalidArgument(f"{mac!r} is no MAC address")
    return raw


def _family(version: int) -> int:
    return int(AF_INET if version == 4 else AF_INET6)


def _address_body(index: int, ip: r.IPInterface, scope: int) -> bytes:
    head = r.IFADDR.pack(_family(ip.version), ip.network.prefixlen, 0, scope, index)
    return head + nl.attr(r.IFA_LOCAL, ip.ip.packed) + nl.attr(r.IFA_ADDRESS, ip.ip.packed)


def _route_body(route: r.Route) -> bytes:
    table = route.table if route.table < 256 else 0
    head = r.RTMSG.pack(
        _family(route.dst.version), route.dst.prefixlen, 0, 0, table, route.protocol, route.scope, route.kind, 0
    )
    parts = [head, nl.u32(r.RTA_TABLE, route.table)]
    if route.dst.prefixlen:
        parts.append(nl.attr(r.RTA_DST, route.dst.network_address.packed))
    if route.gateway is not None:
        parts.append(nl.attr(r.RTA_GATEWAY, route.gateway.packed))
    if route.index is not None:
        parts.append(nl.u32(r.RTA_OIF, route.index))
    if route.source is not None:
        parts.append(nl.attr(r.RTA_PREFSRC, route.source.packed))
    if route.metric:
        parts.append(nl.u32(r.RTA_PRIORITY, route.metric))
    return b"".join(parts)


def _route_text(route: r.Route) -> str:
    return f"the {route.kind.name.lower()} route to {route.dst} in table {route.table}"


def _rule_body(rule: r.Rule) -> bytes:
    table = rule.table if rule.table < 256 else 0
    dst_len, src_len = (net.prefixlen if net else 0 for net in (rule.dst, rule.src))
    parts = [
        r.RULE.pack(rule.family, dst_len, src_len, 0, table, _TO_TABLE, 0),
        nl.u32(r.FRA_TABLE, rule.table),
        nl.u32(r.FRA_PRIORITY, rule.priority),
        nl.u8(r.FRA_PROTOCOL, rule.protocol),
    ]
    if rule.fwmark or rule.fwmask:
        parts += [nl.u32(r.FRA_FWMARK, rule.fwmark), nl.u32(r.FRA_FWMASK, rule.fwmask)]
    if rule.dst is not None:
        parts.append(nl.attr(r.FRA_DST, rule.dst.network_address.packed))
    if rule.src is not None:
        parts.append(nl.attr(r.FRA_SRC, rule.src.network_address.packed))
    return b"".join(parts)


def _rule_text(rule: r.Rule) -> str:
    return f"the rule {rule.priority}, mark {rule.fwmark:#x}, to table {rule.table}"


def _neighbour_body(index: int, ip: r.IPAddress, mac: str | None) -> bytes:
    head = r.NDMSG.pack(_family(ip.version), index, r.NUD_PERMANENT, 0, 0)
    link = b"" if mac is None else nl.attr(r.NDA_LLADDR, _mac_bytes(mac))
    return head + nl.attr(r.NDA_DST, ip.packed) + link


def _fdb_body(index: int, mac: str, vtep: r.IPAddress | None) -> bytes:
    link = nl.attr(r.NDA_LLADDR, _mac_bytes(mac))
    if vtep is not None:
        return r.NDMSG.pack(r.AF_BRIDGE, index, r.NUD_PERMANENT, r.NTF_SELF, 0) + link + nl.attr(r.NDA_DST, vtep.packed)
    # In a bridge "permanent" means its own address; an entry that points at a port and never ages is NOARP.
    return r.NDMSG.pack(r.AF_BRIDGE, index, r.NUD_NOARP, r.NTF_MASTER, 0) + link
