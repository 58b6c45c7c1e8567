"""The graph of a node's network as a tree for a terminal. Pure.

A block a namespace: its bridges with their ports below them, its other interfaces, its default routes. A line has the
interface, what it is (for a veth: what is at its other end), that end's or its own addresses, and whose it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shoal.observe.graph import DefaultRoute, Interface, Namespace, Peer

WIDTH = 100
_LOOPBACK = {"127.0.0.1/8", "::1/128"}
_MAIN_TABLE = 254


@dataclass(frozen=True)
class _Row:
    """A line in columns; ``tree`` is what is drawn before the name, ``below`` what is in its place on lines that
    follow."""

    tree: str
    below: str
    name: str
    what: str = ""
    addresses: Sequence[str] = ()
    owner: str = ""


def draw(namespaces: Iterable[Namespace]) -> str:
    """The tree, with a newline at its end; no line is longer than :data:`WIDTH` unless a single name is."""
    return "\n".join("".join(f"{line}\n" for line in _block(namespace)) for namespace in namespaces)


def _block(namespace: Namespace) -> Iterator[str]:
    rows = list(_rows(namespace))
    title = f"namespace {namespace.name}" if namespace.name else "host"
    yield f"{title}  ({namespace.owner})" if namespace.owner else title
    yield from _lines(rows)


def _rows(namespace: Namespace) -> Iterator[_Row]:
    shown = [i for i in namespace.interfaces if not (i.name == "lo" and set(i.addresses) <= _LOOPBACK)]
    top = [i for i in shown if not i.bridge]
    leaves: list[Interface | DefaultRoute] = [*top, *namespace.default_routes]
    for leaf in leaves:
        mark, below = ("└─ ", "   ") if leaf is leaves[-1] else ("├─ ", "│  ")
        if isinstance(leaf, DefaultRoute):
            yield _Row(mark, below, _route(leaf))
            continue
        ports = [i for i in shown if i.bridge == leaf.name]
        yield _row(mark, below + ("│  " if ports else "   "), leaf, namespace)
        for port in ports:
            last = port is ports[-1]
            yield _row(below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "), port, namespace)


def _row(tree: str, below: str, interface: Interface, namespace: Namespace) -> _Row:
    owner = interface.owner if interface.owner != namespace.owner else ""
    what = _kind(interface)
    if not interface.up:
        what += ", down"
    if interface.peer is None:
        return _Row(tree, below, interface.name, what, interface.addresses, owner)
    if interface.bridge:
        # A port has no address of its own: what matters is whom it leads to.
        return _Row(tree, below, interface.name, what, interface.peer.addresses, interface.peer.owner or owner)
    return _Row(tree, below, interface.name, what, interface.addresses, owner)


def _kind(interface: Interface) -> str:
    if interface.tunnel is not None:
        tunnel = interface.tunnel
        ends = f"{tunnel.fdb_entries} remote endpoint{'' if tunnel.fdb_entries == 1 else 's'}"
        return f"VXLAN {tunnel.vni}, UDP port {tunnel.port}, {ends}"
    if interface.peer is not None:
        return f"↔ {_place(interface.peer)}"
    return f"{interface.kind or 'link'}, MTU {interface.mtu}"


def _place(peer: Peer) -> str:
    if peer.namespace is None:
        return "a namespace without a name"
    return f"{peer.interface} in {peer.namespace or 'host'}"


def _route(route: DefaultRoute) -> str:
    via = f" via {route.via}" if route.via else ""
    table = f", table {route.table}" if route.table != _MAIN_TABLE else ""
    return f"default{via} by {route.interface}{table}"


def _lines(rows: list[_Row]) -> Iterator[str]:
    """Rows in columns, as wide as this block needs; where that is too wide, addresses and owner go below."""
    columns = [row for row in rows if row.what]
    names = max((len(row.tree + row.name) for row in columns), default=0)
    whats = max((len(row.what) for row in columns), default=0)
    addresses = max((len(address) for row in columns for address in row.addresses), default=0)
    owners = max((len(row.owner) for row in columns), default=0)
    fits = names + whats + addresses + owners + 6 <= WIDTH
    for row in rows:
        head = f"{row.tree}{row.name}"
        if not row.what:
            yield head
        elif fits:
            first, *more = row.addresses or [""]
            yield f"{head:{names}}  {row.what:{whats}}  {first:{addresses}}  {row.owner}".rstrip()
            for address in more:
                yield f"{row.below:{names}}  {'':{whats}}  {address}"
        else:
            yield f"{head:{names}}  {row.what}"
            for text in _folded([*row.addresses, *([row.owner] if row.owner else [])], WIDTH - names - 4):
                yield f"{row.below:{names}}    {text}"


def _folded(texts: Iterable[str], width: int) -> Iterator[str]:
    line = ""
    for text in texts:
        if line and len(line) + 2 + len(text) > width:
            yield line
            line = text
        else:
            line = f"{line}  {text}" if line else text
    if line:
        yield line
