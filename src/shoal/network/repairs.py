"""What was otherwise than wanted, in words that a log can keep."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from shoal.network.items import Item, Key, Table
from shoal.network.plan import Add, Operation, Remove
from shoal.network.tables import CHANGED


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that had to be mended; ``how`` says what was wrong with it."""

    key: Key
    how: str

    @property
    def kind(self) -> str:
        """What kind of thing it is: link, address, route, rule, neighbour, fdb, nft, sysctl, netns, stray."""
        return self.key[0]

    @property
    def where(self) -> str:
        """The namespace, "host" for the host's own."""
        return self.key[1] or "host"

    def __str__(self) -> str:
        return f"{' '.join((self.kind, *self.key[2:]))} in {self.where}: {self.how}"


def repairs(operations: Iterable[Operation], found: Mapping[Key, Item]) -> dict[Key, Repair]:
    """One repair for each thing that a plan touches, by its key; ``found`` is what the plan was made from."""
    done: dict[Key, Repair] = {}
    for operation in operations:
        item = operation.item
        done.setdefault(item.key, Repair(item.key, _how(operation, item, found.get(item.key))))
    return done


def _how(operation: Operation, item: Item, found: Item | None) -> str:
    if isinstance(operation, Add) or (found is None and not isinstance(operation, Remove)):
        return "it was gone"
    if isinstance(operation, Remove):
        return "it was plugged in by somebody else" if item.key[0] == "stray" else "nobody wants it"
    if type(found) is not type(item):
        return "it was something else"
    if isinstance(found, Table) and found.fingerprint == CHANGED:
        return "somebody had changed it"
    if getattr(found, "alias", "") == "(down)":
        return "it was down"
    return ", ".join(_differences(item, found)) or "it was otherwise"


def _differences(item: Item, found: Item | None) -> Iterable[str]:
    for field in fields(item):
        was, wanted = getattr(found, field.name), getattr(item, field.name)
        if field.compare and was != wanted and wanted is not None:
            yield f"{field.name} was {was or 'none'}, not {wanted}"
