"""Keeps transactions in one SQLite file: the embedded default, for a swarm with a single manager."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from shoal.errors import Internal
from shoal.store.backend import Change, Contents

T = TypeVar("T")

_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (kind TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL);
"""


class SQLiteBackend:
    """A file in write-ahead mode, synced at every commit; all of SQLite runs on one thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._db: sqlite3.Connection | None = None

    async def load(self) -> Contents:
        return await self._run(self._load)

    async def commit(self, revision: int, changes: list[Change]) -> None:
        await self._run(lambda: self._commit(revision, changes))

    async def close(self) -> None:
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise Internal(f"the swarm's state in {self._path} cannot be used: {error}") from error

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found > _FORMAT:
                db.close()
                raise Internal(f"{self._path} was written by a newer Shoal (format {found}, this one reads {_FORMAT})")
            db.executescript(_SCHEMA)
            db.execute(f"PRAGMA user_version={_FORMAT}")
            self._db = db
        return self._db

    def _load(self) -> Contents:
        db = self._open()
        row = db.execute("SELECT number FROM revision").fetchone()
        objects = [Change(*found) for found in db.execute("SELECT kind, key, value FROM object")]
        return Contents(row[0] if row else 0, objects)

    def _commit(self, revision: int, changes: list[Change]) -> None:
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            db.executemany(
                "INSERT OR REPLACE INTO object VALUES (?, ?, ?)",
                [(c.kind, c.key, c.value) for c in changes if c.value is not None],
            )
            db.executemany(
                "DELETE FROM object WHERE kind = ? AND key = ?", [(c.kind, c.key) for c in changes if c.value is None]
            )
            db.execute("INSERT OR REPLACE INTO revision VALUES (1, ?)", (revision,))
            db.execute("COMMIT")
        except sqlite3.Error:
            db.execute("ROLLBACK")
            raise

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
