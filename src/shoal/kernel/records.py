"""What the kernel has, read from rtnetlink messages (rtnetlink(7)): links, addresses, routes, rules, neighbours, FDB.

Links are named by their index within a namespace. MACs are lower-case text with colons, addresses ``ipaddress``
objects of either family. The decoders take a message's body; :mod:`netlink` and :mod:`monitor` call them.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from socket import AF_INET, AF_INET6

from shoal.kernel import netlink_codec as nl

IPAddress = IPv4Address | IPv6Address
IPInterface = IPv4Interface | IPv6Interface
IPNetwork = IPv4Network | IPv6Network

AF_BRIDGE = 7
IFINFO = struct.Struct("=BxHiII")  # family, type, index, flags, change
IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst length, src length, tos, table, protocol, scope, type, flags
NDMSG = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
RULE = struct.Struct("=BBBBBxxBI")  # family, dst length, src length, tos, table, action, flags

IFF_UP, IFF_RUNNING = 0x1, 0x40
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_LINKINFO, IFLA_IFALIAS, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_EXT_MASK, IFLA_LINK_NETNSID = 18, 20, 27, 28, 29, 37
INFO_KIND, INFO_DATA, INFO_SLAVE_KIND, INFO_SLAVE_DATA = 1, 2, 4, 5
VXLAN_ID, VXLAN_LOCAL, VXLAN_LEARNING, VXLAN_PROXY, VXLAN_L2MISS, VXLAN_L3MISS = 1, 4, 7, 11, 13, 14
VXLAN_PORT, VXLAN_LOCAL6 = 15, 17
PORT_HAIRPIN, PORT_LEARNING, PORT_FLOOD, PORT_ISOLATED = 4, 8, 9, 33
IFA_ADDRESS, IFA_LOCAL, IFA_LABEL, IFA_BROADCAST, IFA_FLAGS, IFA_PROTO = 1, 2, 3, 4, 8, 11
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_TABLE = 1, 4, 5, 6, 7, 15
NDA_DST, NDA_LLADDR, NDA_MASTER = 1, 2, 9
FRA_DST, FRA_SRC, FRA_PRIORITY, FRA_FWMARK, FRA_TABLE, FRA_FWMASK, FRA_PROTOCOL = 1, 2, 6, 10, 15, 16, 21

NUD_REACHABLE, NUD_NOARP, NUD_PERMANENT = 0x02, 0x40, 0x80
NTF_SELF, NTF_MASTER = 0x02, 0x04
IFA_F_NODAD, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x02, 0x08, 0x40
TABLE_MAIN = 254


class Scope(IntEnum):
    """How far an address or a route reaches; the kernel may hold other numbers, which stay plain."""

    UNIVERSE = 0
    SITE = 200
    LINK = 253
    HOST = 254
    NOWHERE = 255


class RouteKind(IntEnum):
    """What a route does with a packet."""

    UNSPEC = 0
    UNICAST = 1
    LOCAL = 2
    BROADCAST = 3
    ANYCAST = 4
    MULTICAST = 5
    BLACKHOLE = 6
    UNREACHABLE = 7
    PROHIBIT = 8
    THROW = 9
    NAT = 10
    XRESOLVE = 11


class Protocol(IntEnum):
    """Who made a route or a rule (rtnetlink.h); other numbers stay plain."""

    UNSPEC = 0
    KERNEL = 2
    BOOT = 3
    STATIC = 4


@dataclass(frozen=True, slots=True)
class Vxlan:
    """A VXLAN device's parameters; ``port`` is the UDP destination port, ``local`` the source address if fixed."""

    vni: int
    port: int
    proxy: bool
    l2miss: bool
    l3miss: bool
    learning: bool
    local: IPAddress | None = None


@dataclass(frozen=True, slots=True)
class BridgePort:
    """How a bridge treats one of its ports; ``flood`` is about unicast to unknown MACs."""

    isolated: bool
    learning: bool
    hairpin: bool
    flood: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A network device. ``kind`` is "" for hardware and ``lo``; ``master`` is the bridge's index.

    ``peer_index`` is the other end's index (a veth's peer), in the namespace ``peer_nsid`` as this namespace numbers
    them (:meth:`netlink.Netlink.nsid_of`), or in this one if that is None. A VXLAN device has the ``peer_nsid`` of its
    underlay's namespace. ``running``: up, and the other end too.
    """

    index: int
    name: str
    kind: str
    mac: str
    mtu: int
    up: bool
    running: bool
    master: int | None
    peer_index: int | None
    peer_nsid: int | None
    alias: str
    group: int = 0
    vxlan: Vxlan | None = None
    port: BridgePort | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a link; ``flags`` are IFA_F_*, ``protocol`` says who made it (Linux 5.18 on, else 0)."""

    index: int
    ip: IPInterface
    scope: int
    label: str
    flags: int
    protocol: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """A route; one with several next hops shows neither ``gateway`` nor ``index``."""

    dst: IPNetwork
    table: int
    kind: RouteKind
    gateway: IPAddress | None
    index: int | None
    source: IPAddress | None
    scope: int
    metric: int
    protocol: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy rule that leads to ``table`` (0: some other action); ``family`` is AF_INET or AF_INET6."""

    family: int
    priority: int
    table: int
    fwmark: int
    fwmask: int
    src: IPNetwork | None
    dst: IPNetwork | None
    protocol: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A neighbour entry (ARP, ND); ``mac`` is "" while unresolved."""

    index: int
    ip: IPAddress
    mac: str
    state: int
    flags: int

    @property
    def permanent(self) -> bool:
        return bool(self.state & NUD_PERMANENT)


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """Where a MAC is: behind the VTEP ``dst`` (a VXLAN device's own entry), or at a port of the bridge ``master``."""

    index: int
    mac: str
    dst: IPAddress | None
    master: int | None
    state: int
    flags: int

    @property
    def permanent(self) -> bool:
        return bool(self.state & NUD_PERMANENT)


def decode_link(body: bytes) -> Link:
    _family, _type, index, flags, _change = IFINFO.unpack_from(body)
    attrs = nl.attributes(body, IFINFO.size)
    kind, vxlan, port = "", None, None
    if raw := attrs.get(IFLA_LINKINFO):
        info = nl.attributes(raw)
        kind = nl.to_string(info.get(INFO_KIND, b""))
        if kind == "vxlan":
            vxlan = _decode_vxlan(info.get(INFO_DATA, b""))
        if info.get(INFO_SLAVE_KIND) == b"bridge\0":
            port = _decode_port(info.get(INFO_SLAVE_DATA, b""))
    return Link(
        index=index,
        name=nl.to_string(attrs[IFLA_IFNAME]),
        kind=kind,
        mac=mac_text(attrs.get(IFLA_ADDRESS, b"")),
        mtu=nl.to_u32(attrs[IFLA_MTU]) if IFLA_MTU in attrs else 0,
        up=bool(flags & IFF_UP),
        running=bool(flags & IFF_RUNNING),
        master=_u32_or_none(attrs, IFLA_MASTER),
        # a VXLAN device without an underlay device gives its own index
        peer_index=_u32_or_none(attrs, IFLA_LINK) if kind != "vxlan" else None,
        peer_nsid=nl.to_s32(attrs[IFLA_LINK_NETNSID]) if IFLA_LINK_NETNSID in attrs else None,
        alias=nl.to_string(attrs.get(IFLA_IFALIAS, b"")),
        group=nl.to_u32(attrs[IFLA_GROUP]) if IFLA_GROUP in attrs else 0,
        vxlan=vxlan,
        port=port,
    )


def _decode_vxlan(raw: bytes) -> Vxlan:
    attrs = nl.attributes(raw)
    local = attrs.get(VXLAN_LOCAL) or attrs.get(VXLAN_LOCAL6)
    return Vxlan(
        vni=nl.to_u32(attrs[VXLAN_ID]) if VXLAN_ID in attrs else 0,
        port=int.from_bytes(attrs.get(VXLAN_PORT, b""), "big"),
        proxy=_flag(attrs, VXLAN_PROXY),
        l2miss=_flag(attrs, VXLAN_L2MISS),
        l3miss=_flag(attrs, VXLAN_L3MISS),
        learning=_flag(attrs, VXLAN_LEARNING),
        local=ip_address(local) if local and any(local) else None,
    )


def _decode_port(raw: bytes) -> BridgePort:
    attrs = nl.attributes(raw)
    return BridgePort(
        isolated=_flag(attrs, PORT_ISOLATED),
        learning=_flag(attrs, PORT_LEARNING),
        hairpin=_flag(attrs, PORT_HAIRPIN),
        flood=_flag(attrs, PORT_FLOOD),
    )


def decode_address(body: bytes) -> Address:
    _family, prefix, flags, scope, index = IFADDR.unpack_from(body)
    attrs = nl.attributes(body, IFADDR.size)
    # IPv4 has both, and IFA_ADDRESS is the peer's on a point-to-point link; IPv6 usually has IFA_ADDRESS alone
    own = attrs.get(IFA_LOCAL) or attrs[IFA_ADDRESS]
    return Address(
        index=index,
        ip=ip_interface((own, prefix)),
        scope=scope,
        label=nl.to_string(attrs.get(IFA_LABEL, b"")),
        flags=nl.to_u32(attrs[IFA_FLAGS]) if IFA_FLAGS in attrs else flags,
        protocol=attrs[IFA_PROTO][0] if IFA_PROTO in attrs else 0,
    )


def decode_route(body: bytes) -> Route:
    family, dst_len, _src, _tos, table, protocol, scope, kind, _flags = RTMSG.unpack_from(body)
    attrs = nl.attributes(body, RTMSG.size)
    return Route(
        dst=_network(family, attrs.get(RTA_DST), dst_len),
        table=nl.to_u32(attrs[RTA_TABLE]) if RTA_TABLE in attrs else table,
        kind=RouteKind(kind),
        gateway=_address_or_none(attrs, RTA_GATEWAY),
        index=_u32_or_none(attrs, RTA_OIF),
        source=_address_or_none(attrs, RTA_PREFSRC),
        scope=scope,
        metric=_u32_or_none(attrs, RTA_PRIORITY) or 0,
        protocol=protocol,
    )


def decode_rule(body: bytes) -> Rule:
    family, dst_len, src_len, _tos, table, _action, _flags = RULE.unpack_from(body)
    attrs = nl.attributes(body, RULE.size)
    return Rule(
        family=family,
        priority=_u32_or_none(attrs, FRA_PRIORITY) or 0,
        table=nl.to_u32(attrs[FRA_TABLE]) if FRA_TABLE in attrs else table,
        fwmark=_u32_or_none(attrs, FRA_FWMARK) or 0,
        fwmask=_u32_or_none(attrs, FRA_FWMASK) or 0,
        src=_network(family, attrs[FRA_SRC], src_len) if FRA_SRC in attrs else None,
        dst=_network(family, attrs[FRA_DST], dst_len) if FRA_DST in attrs else None,
        protocol=attrs.get(FRA_PROTOCOL, b"\0")[0],
    )


def decode_neighbour(body: bytes) -> Neighbour:
    _family, index, state, flags, _type = NDMSG.unpack_from(body)
    attrs = nl.attributes(body, NDMSG.size)
    return Neighbour(index, ip_address(attrs[NDA_DST]), mac_text(attrs.get(NDA_LLADDR, b"")), state, flags)


def decode_fdb(body: bytes) -> FdbEntry:
    _family, index, state, flags, _type = NDMSG.unpack_from(body)
    attrs = nl.attributes(body, NDMSG.size)
    return FdbEntry(
        index=index,
        mac=mac_text(attrs.get(NDA_LLADDR, b"")),
        dst=_address_or_none(attrs, NDA_DST),
        master=_u32_or_none(attrs, NDA_MASTER),
        state=state,
        flags=flags,
    )


def is_ip(body: bytes) -> bool:
    """Whether a message's first byte, its family, is IPv4 or IPv6; a dump of all families brings others too."""
    return body[0] in (AF_INET, AF_INET6)


def mac_text(raw: bytes) -> str:
    """A MAC as text."""
    return raw.hex(":")


def _flag(attrs: nl.Attributes, type_: int) -> bool:
    return attrs.get(type_, b"\0") != b"\0"


def _u32_or_none(attrs: nl.Attributes, type_: int) -> int | None:
    raw = attrs.get(type_)
    return None if raw is None else nl.to_u32(raw)


def _address_or_none(attrs: nl.Attributes, type_: int) -> IPAddress | None:
    raw = attrs.get(type_)
    return None if raw is None else ip_address(raw)


def _network(family: int, raw: bytes | None, prefix: int) -> IPNetwork:
    return ip_network((raw or bytes(4 if family == AF_INET else 16), prefix), strict=False)
