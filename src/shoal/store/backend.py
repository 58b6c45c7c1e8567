"""What a store needs of the place that keeps its transactions."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Change:
    """One object's new JSON, or ``None`` where it is gone."""

    kind: str
    key: str
    value: bytes | None


@dataclass(frozen=True)
class Contents:
    """All that a backend holds, and the revision of its last transaction (0 for none)."""

    revision: int
    objects: list[Change]


class Backend(Protocol):
    """Keeps whole transactions: after a crash each is there entirely or not at all."""

    async def load(self) -> Contents:
        """Everything committed so far. Raises :class:`~shoal.errors.Internal` for what can't be trusted."""
        ...

    async def commit(self, revision: int, changes: list[Change]) -> None:
        """Make one transaction durable; it is so when this returns, and not visible to ``load`` when it raises."""
        ...

    async def close(self) -> None:
        """Let go of files and threads; later calls are errors."""
        ...
