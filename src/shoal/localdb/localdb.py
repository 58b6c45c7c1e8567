"""A small typed key-value store in one SQLite file.

A write is on disk when its ``await`` returns. Writes that arrive while another is being synced share the next
transaction, and so its one sync: a hundred containers that change at once cost two, not a hundred.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from shoal.aio.tasks import cancel, spawn
from shoal.durable.objectfile import ObjectFile, Row
from shoal.errors import Damaged, ShoalError, Unavailable

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_log = logging.getLogger(__name__)
# Between tries to write what the disk would not take, in seconds.
_AGAIN = 1.0
# What a recovery leaves where something was lost: a kind with a mark a subject. Nothing may be removed then merely
# because it is not known.
INCOMPLETE = "incomplete"
INCOMPLETE_TASKS, INCOMPLETE_CONTAINERS = "tasks", "containers"
_WHAT = "the node's state"


@dataclass(frozen=True)
class Put:
    """Keep ``value`` under ``key``, in place of what is there."""

    kind: str
    key: str
    value: msgspec.Struct


@dataclass(frozen=True)
class Delete:
    """Forget what is under ``key``, if anything is."""

    kind: str
    key: str


class Mark(msgspec.Struct, frozen=True):
    """An object that says all by being there."""


@dataclass(frozen=True)
class _Batch:
    """One caller's changes, encoded; they happen together."""

    changes: list[Row]
    done: "Future[None]"


class LocalDB:
    """An open file; made by :meth:`open`. All methods belong to the event loop, all of SQLite to one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="localdb")
        self._waiting: deque[_Batch] = deque()
        self._file: ObjectFile
        self._owed: dict[tuple[str, str], Row] = {}
        self._is_closed = False
        self._paying: asyncio.Task[None] | None = None
        self.commits = 0
        """How many transactions there have been since the file was opened."""

    @classmethod
    async def open(cls, path: Path) -> "LocalDB":
        """Open the file, or make it (mode 0600) and its folder.

        Raises :class:`Damaged` if it cannot be trusted, :class:`Internal` if it cannot be read; it is then left as it
        was.
        """
        db = cls(path)
        try:
            db._file = await db._run(lambda: ObjectFile.open(path, what=_WHAT, root=path.parent))
        except BaseException:
            db._thread.shutdown(wait=False)
            raise
        return db

    async def put(self, kind: str, key: str, value: msgspec.Struct) -> None:
        """Keep ``value`` under ``kind`` and ``key``; raises :class:`NoRoom`, :class:`Internal` if the
        disk does not take it."""
        await self.write([Put(kind, key, value)])

    async def delete(self, kind: str, key: str) -> None:
        """Forget what is under ``kind`` and ``key``, if anything is."""
        await self.write([Delete(kind, key)])

    async def write(self, changes: Sequence[Put | Delete]) -> None:
        """Make all changes or none, in order, after all that was handed in before.

        They happen even if the caller is cancelled while it waits. Raises :class:`NoRoom`, :class:`Internal` if the
        disk does not take them, :class:`Unavailable` after :meth:`close`.
        """
        await self._write(_encoded(changes))

    async def keep(self, changes: Sequence[Put | Delete]) -> None:
        """Make changes that have come about whether or not they can be written: where the disk does not take them now,
        they are tried again until it does, and go along with the next write that it takes."""
        rows = _encoded(changes)
        try:
            await self._write(rows)
        except ShoalError as error:
            if self._is_closed:
                raise
            if self._paying is None:
                _log.error("%s; what changes is kept in memory until it can be", error)
                self._paying = spawn(self._pay(), name="writes that are owed")
            # Writes fail in the order in which they were handed in, so this is the newest.
            self._owed |= {(row.kind, row.key): row for row in rows}

    async def _pay(self) -> None:
        while self._owed:
            await asyncio.sleep(_AGAIN)
            try:
                await self._write([])
            except ShoalError as error:
                _log.debug("%s", error)
        self._paying = None
        _log.info("the node's state in %s is whole again", self._path)

    async def _write(self, rows: list[Row]) -> None:
        named = {(row.kind, row.key) for row in rows}
        owed = {key: row for key, row in self._owed.items() if key not in named}
        batch = _Batch([*owed.values(), *rows], Future())
        self._waiting.append(batch)
        self._submit(self._flush)
        await asyncio.wrap_future(batch.done)
        for key in [key for key, row in self._owed.items() if key in named or owed.get(key) is row]:
            del self._owed[key]

    async def load(self, kind: str, type_: type[S]) -> dict[str, S]:
        """Everything of a kind by its key, every earlier write included.

        Raises :class:`Damaged` if something there is no ``type_``.
        """
        return await self._run(lambda: self._load(kind, type_))

    async def close(self) -> None:
        """Write what is still waiting and close the file."""
        self._is_closed = True
        await cancel(self._paying)
        if self._owed:
            with suppress(ShoalError):
                await self._write([])
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._submit(work))

    def _submit(self, work: Callable[[], T]) -> "Future[T]":
        try:
            return self._thread.submit(work)
        except RuntimeError as error:
            raise Unavailable(f"the node's state in {self._path} is closed") from error

    def _flush(self) -> None:
        """Commit all that waits as one transaction. Every write asks for a flush; most find nothing left to do."""
        batches: list[_Batch] = []
        while self._waiting:
            batches.append(self._waiting.popleft())
        if not batches:
            return
        # From here on a caller's cancellation comes too late; whose came in time is not told, but written all the same.
        told = [batch.done for batch in batches if batch.done.set_running_or_notify_cancel()]
        try:
            self._file.commit([change for batch in batches for change in batch.changes])
        except ShoalError as failure:
            for done in told:
                done.set_exception(failure)
        else:
            self.commits += 1
            for done in told:
                done.set_result(None)

    def _load(self, kind: str, type_: type[S]) -> dict[str, S]:
        decoder = msgspec.json.Decoder(type_)
        found: dict[str, S] = {}
        for _, key, value in self._file.rows(kind):
            try:
                found[key] = decoder.decode(value)
            except msgspec.MsgspecError as error:
                raise Damaged(f"{kind} {key} in {self._path} cannot be read: {error}") from error
        return found

    def _close(self) -> None:
        self._flush()
        self._file.close()


def _encoded(changes: Sequence[Put | Delete]) -> list[Row]:
    return [Row(c.kind, c.key, msgspec.json.encode(c.value) if isinstance(c, Put) else None) for c in changes]
