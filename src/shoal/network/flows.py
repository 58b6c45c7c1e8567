"""Which connections of this node have lost the backend that they were translated to, and cutting them.

A connection is translated once, when it begins. Rules that no longer name a backend leave its connections alone, which
is right as long as it lives: they end in peace. Once its endpoint is gone, nobody answers them any more, and a client
that uses the same port again would be led there, too. Datagrams have no end: they move as soon as a backend is
withdrawn.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from socket import IPPROTO_UDP

from shoal.errors import NotFound
from shoal.kernel.conntrack import Conntrack


@dataclass(frozen=True)
class Backends:
    """The addresses of a network's endpoints, and of those the ones that serve."""

    there: frozenset[str] = frozenset()
    serving: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Lost:
    """Addresses whose connections are all to be cut, and such whose datagrams alone are to move."""

    gone: frozenset[str]
    withdrawn: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.gone or self.withdrawn)


def lost(old: Mapping[str, Backends], new: Mapping[str, Backends]) -> dict[str, Lost]:
    """What each network has lost, by the network's id. Pure."""
    found: dict[str, Lost] = {}
    for network_id, before in old.items():
        now = new.get(network_id, Backends())
        here = Lost(gone=before.there - now.there, withdrawn=before.serving - now.serving)
        if here:
            found[network_id] = here
    return found


def cut(namespaces: Iterable[Path], addresses: Collection[str], *, datagrams_only: bool = False) -> int:
    """Forget the connections in these namespaces that lead to one of the addresses; how many there were. A namespace
    that is gone has none. Blocks, for about a millisecond a namespace."""
    backends = {ip_address(address) for address in addresses}
    count = 0
    for path in namespaces:
        try:
            conntrack = Conntrack.open(path)
        except NotFound:
            continue
        try:
            count += conntrack.forget_backends(backends, IPPROTO_UDP if datagrams_only else None)
        finally:
            conntrack.close()
    return count
