"""What a store needs of the place that keeps its transactions, which it may share with other stores."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from shoal.errors import Unavailable


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


@dataclass(frozen=True)
class Transaction:
    """What one commit changes. ``id`` is its own alone, so that whoever meets it again knows it."""

    revision: int
    id: str
    changes: list[Change]


@dataclass(frozen=True)
class Fence:
    """A leadership, as a backend can compare it in a commit: the place of the leader's key, and when it was taken."""

    key: str
    term: int


class Behind(Exception):
    """Between backend and store: the backend is at ``revision`` already, so the commit was made on older contents.

    Nothing was written, unless there is ``doubt``: an attempt at the same commit had no answer, and may have taken the
    revision. The id of the transaction there tells.
    """

    def __init__(self, revision: int, *, doubt: bool = False) -> None:
        super().__init__(f"the backend is at revision {revision}")
        self.revision = revision
        self.doubt = doubt


class Deposed(Unavailable):
    """The commit's fence does not hold any more: somebody else leads, or nobody. Nothing was changed."""


class Backend(Protocol):
    """Keeps whole transactions, in one order: after a crash each is there entirely or not at all.

    Several stores may share what it keeps. Each transaction has the revision after the last one's, so of two that were
    made at the same moment one is refused, and is made again by its store on top of the other.
    """

    trouble: str
    """Why nothing can be committed for now, as far as was noticed; empty while there is no reason known."""

    async def load(self) -> Contents:
        """Everything committed so far, as it is at one revision. Raises :class:`~shoal.errors.Internal` for what can't
        be trusted."""
        ...

    async def seed(self, contents: Contents) -> None:
        """Take in all that another place held, durably and at once, where there is nothing yet; instead of ``load``.

        Raises :class:`~shoal.errors.Conflict` where there is a state already.
        """
        ...

    async def commit(self, transaction: Transaction, fence: Fence | None = None) -> None:
        """Make one transaction durable; it is so when this returns, and not visible to ``load`` when it raises.

        Raises :class:`Behind` where its revision is taken, :class:`Deposed` where ``fence`` does not hold, and
        :class:`~shoal.errors.Uncertain` where it cannot be said whether it is there, or will be.
        """
        ...

    def follow(self, revision: int) -> AsyncGenerator[Transaction, None]:
        """Every transaction after ``revision``, in order and whole, those of the caller too, for as long as it is
        iterated over; it ends where nobody else can write. ``load`` was called before.

        Raises :class:`~shoal.aio.broadcast.Lagged` where some can't be had any more: ``load`` again.
        """
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Have others' commits wait, for whoever was beaten to it again and again. It makes waiting shorter and nothing
        else: it is over after a few seconds, and not had at all when it can't be."""
        ...

    async def close(self) -> None:
        """Let go of files and threads; later calls are errors."""
        ...
