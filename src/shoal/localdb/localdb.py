"""A small typed key-value store in one SQLite file.

A write is on disk when its ``await`` returns. Writes that arrive while another is being synced share the next
transaction, and so its one sync: a hundred containers that change at once cost two, not a hundred.
"""

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from shoal.errors import Internal, Unavailable

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

_FORMAT = 1
_SCHEMA = "CREATE TABLE object (kind TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID"
_PUT = "INSERT INTO object VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
_DELETE = "DELETE FROM object WHERE kind = ? AND key = ?"


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


@dataclass(frozen=True)
class _Batch:
    """One caller's changes, encoded; they happen together."""

    changes: list[tuple[str, str, bytes | None]]
    done: "Future[None]"


class LocalDB:
    """An open file; made by :meth:`open`. All methods belong to the event loop, all of SQLite to one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="localdb")
        self._waiting: deque[_Batch] = deque()
        self._db: sqlite3.Connection
        self.commits = 0
        """How many transactions there have been since the file was opened."""

    @classmethod
    async def open(cls, path: Path) -> "LocalDB":
        """Open the file, or make it (mode 0600) and its folder.

        Raises :class:`Internal` if it is damaged, of a newer format or cannot be read; it is then left as it was.
        """
        db = cls(path)
        try:
            db._db = await db._run(lambda: _connect(path))
        except BaseException:
            db._thread.shutdown(wait=False)
            raise
        return db

    async def put(self, kind: str, key: str, value: msgspec.Struct) -> None:
        """Keep ``value`` under ``kind`` and ``key``; raises :class:`Internal` if the disk does not take it."""
        await self.write([Put(kind, key, value)])

    async def delete(self, kind: str, key: str) -> None:
        """Forget what is under ``kind`` and ``key``, if anything is."""
        await self.write([Delete(kind, key)])

    async def write(self, changes: Sequence[Put | Delete]) -> None:
        """Make all changes or none, in order, after all that was handed in before.

        They happen even if the caller is cancelled while it waits. Raises :class:`Internal` if the disk does not take
        them, :class:`Unavailable` after :meth:`close`.
        """
        encoded = [(c.kind, c.key, msgspec.json.encode(c.value) if isinstance(c, Put) else None) for c in changes]
        batch = _Batch(encoded, Future())
        self._waiting.append(batch)
        self._submit(self._flush)
        await asyncio.wrap_future(batch.done)

    async def load(self, kind: str, type_: type[S]) -> dict[str, S]:
        """Everything of a kind by its key, every earlier write included.

        Raises :class:`Internal` if something there is no ``type_``.
        """
        return await self._run(lambda: self._load(kind, type_))

    async def close(self) -> None:
        """Write what is still waiting and close the file."""
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.wrap_future(self._submit(work))
        except sqlite3.Error as error:
            raise Internal(f"the node's state in {self._path} cannot be used: {error}") from error

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
            self._commit([change for batch in batches for change in batch.changes])
        except sqlite3.Error as error:
            failure = Internal(f"the node's state cannot be written to {self._path}: {error}")
            failure.__cause__ = error
            for done in told:
                done.set_exception(failure)
        else:
            for done in told:
                done.set_result(None)

    def _commit(self, changes: list[tuple[str, str, bytes | None]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for kind, key, value in changes:
                if value is None:
                    self._db.execute(_DELETE, (kind, key))
                else:
                    self._db.execute(_PUT, (kind, key, value))
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self.commits += 1

    def _load(self, kind: str, type_: type[S]) -> dict[str, S]:
        decoder = msgspec.json.Decoder(type_)
        found: dict[str, S] = {}
        for key, value in self._db.execute("SELECT key, value FROM object WHERE kind = ?", (kind,)):
            try:
                found[key] = decoder.decode(value)
            except msgspec.MsgspecError as error:
                raise Internal(f"{kind} {key} in {self._path} cannot be read: {error}") from error
        return found

    def _close(self) -> None:
        self._flush()
        self._db.close()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite would make it readable by all, and what containers are given is not for everybody.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise Internal(f"the node's state cannot be opened: {error}") from error
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > _FORMAT:
        raise Internal(
            f"the node's state in {path} was written by a newer Shoal (format {found}, this one reads {_FORMAT})"
        )
    damage = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if damage != "ok":
        raise Internal(f"the node's state in {path} is damaged: {damage}")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    if found == 0:
        db.execute("BEGIN IMMEDIATE")
        db.execute(_SCHEMA)
        db.execute(f"PRAGMA user_version={_FORMAT}")
        db.execute("COMMIT")
