"""Our nft tables: written as a whole, in one transaction each, and known again by what the kernel made of them.

A table's comment says which text it was made from, not what somebody did to it since. So each is signed when it is
written: a hash of what the kernel has, handles included. A namespace's ruleset is looked at only if its generation has
changed. What was written by an earlier process has no signature here and counts as changed: it is written again.
"""

from collections.abc import Callable

from shoal.kernel import nftables
from shoal.kernel.nftables import Nftables
from shoal.network.items import Table

# How often a table is written while somebody else changes the same namespace's ruleset at the same time.
_TRIES = 3
CHANGED = "(changed)"


class Tables:
    """The tables of one owner in all namespaces; ``nft`` opens a namespace's context, or has it open."""

    def __init__(self, owner: str, nft: Callable[[str], Nftables]) -> None:
        self._owner = owner
        self._nft = nft
        # What was written, by namespace and family: the fingerprint of its text, and the kernel's signature of it.
        self._written: dict[tuple[str, str], tuple[str, str]] = {}
        self._seen: dict[str, tuple[int, list[Table]]] = {}

    def write(self, table: Table) -> None:
        """Put a table in the place of whatever has its name."""
        nft = self._nft(table.ns)
        self._written.pop((table.ns, table.family), None)
        for _ in range(_TRIES):
            before = nft.generation()
            nft.run(script(table))
            signature = nft.signature(table.family, table.name)
            if nft.generation() == before + 1:
                self._written[table.ns, table.family] = (table.fingerprint, signature)
                return

    def remove(self, table: Table) -> None:
        """Remove a table; one that is not there is no error."""
        self._written.pop((table.ns, table.family), None)
        self._nft(table.ns).run(nftables.delete_table(table.family, table.name))

    def is_changed(self, ns: str) -> bool:
        """Whether the owner's tables in a namespace are others than those that were written."""
        written = {key: fingerprint for key, (fingerprint, _) in self._written.items() if key[0] == ns}
        return written != {(ns, table.family): table.fingerprint for table in self.look(ns)}

    def look(self, ns: str) -> list[Table]:
        """The owner's tables in a namespace as they are now; the fingerprint of one that is not as it was written is
        :data:`CHANGED`."""
        nft = self._nft(ns)
        generation = nft.generation()
        seen = self._seen.get(ns)
        if seen is None or seen[0] != generation:
            found = [
                Table(ns, table.family, table.name, self._fingerprint(nft, ns, table))
                for table in nft.list_tables()
                if table.name == self._owner
            ]
            self._seen[ns] = seen = (generation, found)
        return seen[1]

    def _fingerprint(self, nft: Nftables, ns: str, table: nftables.NftTable) -> str:
        written = self._written.get((ns, table.family))
        if written is None or written[1] != nft.signature(table.family, table.name):
            return CHANGED
        return written[0]

    def forget(self, ns: str) -> None:
        """A namespace is gone, or another has its name."""
        self._seen.pop(ns, None)
        for key in [key for key in self._written if key[0] == ns]:
            del self._written[key]


def script(table: Table) -> str:
    """The nft script that puts a table in the place of whatever has its name, in one transaction."""
    return (
        f"{nftables.delete_table(table.family, table.name)}"
        f'table {table.family} {table.name} {{\n\tcomment "{table.fingerprint}"\n{table.body}}}\n'
    )
