"""What a node's network consists of, each item as the kernel has it. Namespaces are named as under /run/netns, the
host's own is ``""``; links by their name in their namespace; addresses are text.

``key`` says which thing an item is, the rest how it is. A value of ``None`` in a description means "as it comes".
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import TypeAlias

HOST = ""
Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace with ``lo`` up; ``alias`` is on its ``lo`` and names the owner."""

    name: str
    alias: str

    @property
    def key(self) -> Key:
        return ("netns", self.name)

    @property
    def ns(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge, up."""

    ns: str
    name: str
    mtu: int
    mac: str | None
    alias: str

    @property
    def key(self) -> Key:
        return ("link", self.ns, self.name)


@dataclass(frozen=True, slots=True)
class Veth:
    """One end of a veth pair, up; the other end is an item of its own. ``isolated`` ports of one bridge don't talk; a
    ``hairpin`` port gets back what came from it."""

    ns: str
    name: str
    peer_ns: str
    peer_name: str
    mtu: int
    mac: str | None
    alias: str
    master: str | None = None
    isolated: bool = False
    hairpin: bool = False

    @property
    def key(self) -> Key:
        return ("link", self.ns, self.name)

    @property
    def peer_key(self) -> Key:
        return ("link", self.peer_ns, self.peer_name)


@dataclass(frozen=True, slots=True)
class Vxlan:
    """A VXLAN device, up, whose tunnels run through the host's namespace; it learns and floods nothing."""

    ns: str
    name: str
    vni: int
    port: int
    mtu: int
    alias: str
    master: str | None = None

    @property
    def key(self) -> Key:
        return ("link", self.ns, self.name)


@dataclass(frozen=True, slots=True)
class Stray:
    """Somebody else's link that is plugged into a bridge of ours. No description has one: it is unplugged, no more."""

    ns: str
    name: str
    master: str

    @property
    def key(self) -> Key:
        return ("stray", self.ns, self.name)


@dataclass(frozen=True, slots=True)
class Address:
    """``10.0.0.1/24`` on a link."""

    ns: str
    link: str
    address: str

    @property
    def key(self) -> Key:
        return ("address", self.ns, self.link, self.address)


@dataclass(frozen=True, slots=True)
class Route:
    """A route of ours (they carry a protocol number of our own); ``table`` 254 is the main one."""

    ns: str
    dst: str
    via: str | None
    link: str
    table: int = 254

    @property
    def key(self) -> Key:
        return ("route", self.ns, self.dst, str(self.table))


@dataclass(frozen=True, slots=True)
class Rule:
    """Packets with this mark are routed by that table; ``version`` is 4 or 6."""

    ns: str
    version: int
    mark: int
    table: int

    @property
    def key(self) -> Key:
        return ("rule", self.ns, str(self.version), str(self.mark), str(self.table))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent neighbour entry."""

    ns: str
    link: str
    ip: str
    mac: str

    @property
    def key(self) -> Key:
        return ("neighbour", self.ns, self.link, self.ip)


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """A MAC behind a VTEP, an entry of a VXLAN device."""

    ns: str
    link: str
    mac: str
    vtep: str

    @property
    def key(self) -> Key:
        return ("fdb", self.ns, self.link, self.mac)


@dataclass(frozen=True, slots=True)
class Table:
    """An nft table; ``body`` is what stands between its braces, ``fingerprint`` tells bodies apart and is kept as the
    table's comment in the kernel."""

    ns: str
    family: str
    name: str
    fingerprint: str
    body: str = field(compare=False, default="")

    @property
    def key(self) -> Key:
        return ("nft", self.ns, self.family, self.name)


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A sysctl under ``net.``; taking it out of a description changes nothing in the kernel."""

    ns: str
    name: str
    value: str

    @property
    def key(self) -> Key:
        return ("sysctl", self.ns, self.name)

    @property
    def link(self) -> str | None:
        """The link whose setting it is, which comes and goes with it; ``None`` for one of the namespace's."""
        parts = self.name.split("/" if "/" in self.name else ".")
        return parts[3] if parts[2] == "conf" and parts[3] not in ("all", "default") else None


Link: TypeAlias = Bridge | Veth | Vxlan
Item: TypeAlias = Namespace | Link | Stray | Address | Route | Rule | Neighbour | FdbEntry | Table | Sysctl


def table(ns: str, family: str, name: str, body: str) -> Table:
    """A table with its fingerprint."""
    return Table(ns, family, name, hashlib.sha256(body.encode()).hexdigest()[:16], body)


def satisfies(wanted: Item, found: Item | None) -> bool:
    """Whether what is there is what is wanted; a wanted MAC of ``None`` is satisfied by any."""
    if found is None or type(wanted) is not type(found):
        return False
    if isinstance(wanted, Bridge | Veth) and wanted.mac is None:
        assert isinstance(found, Bridge | Veth)
        found = replace(found, mac=None)
    return wanted == found


def same_device(wanted: Link, found: Item | None) -> bool:
    """Whether a link can be brought to what is wanted in place, rather than removed and made again."""
    match wanted, found:
        case Bridge(), Bridge():
            return True
        case Veth(), Veth():
            return wanted.peer_key == found.peer_key
        case Vxlan(), Vxlan():
            return (wanted.vni, wanted.port) == (found.vni, found.port)
        case _:
            return False
