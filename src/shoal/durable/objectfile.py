"""An SQLite file of objects that is proved whenever it is opened.

Each row carries a sum over its kind, key and value; the last transaction's number and the sum of all rows' sums are
kept in the transaction that changes them, so a row that was changed, lost or brought back from elsewhere is found. The
number is also written to a mark beside the file once a transaction is on disk: a file below its mark has lost what was
acknowledged (its write-ahead log is gone, or an old copy was put in its place).
"""

import os
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from shoal.durable.faults import refusal
from shoal.errors import Damaged, Internal

FORMAT = 2
SCHEMA = (
    "CREATE TABLE object (kind TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, sum INTEGER NOT NULL,"
    " PRIMARY KEY (kind, key))",
    "CREATE TABLE revision (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL, sum INTEGER NOT NULL)",
)
_PUT = (
    "INSERT INTO object VALUES (?, ?, ?, ?)"
    " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, sum = excluded.sum"
)
_SUM = "SELECT sum FROM object WHERE kind = ? AND key = ?"
_MASK = (1 << 63) - 1


class Row(NamedTuple):
    """An object's bytes, or None where it is to go."""

    kind: str
    key: str
    value: bytes | None


def row_sum(kind: str, key: str, value: bytes) -> int:
    """The sum that a row has to have."""
    return zlib.crc32(value, zlib.crc32(f"{kind}/{key}".encode()))


def _whole(number: int, total: int) -> int:
    """The sum over a transaction's number and all the rows that it left, as SQLite's signed integers can hold it."""
    return (total + zlib.crc32(b"%d" % number)) & _MASK


def mark_of(path: Path) -> Path:
    """Where the number of the last transaction is marked."""
    return path.with_name(f"{path.name}-mark")


class ObjectFile:
    """An open file; made by :meth:`open`. To be used by one thread at a time.

    ``root`` is the folder to free room in when there is none, ``what`` how errors call the file.
    """

    def __init__(self, path: Path, *, what: str, root: Path) -> None:
        self._path = path
        self._what = what
        self._root = root
        self._db: sqlite3.Connection
        self._mark = -1
        self.number = 0
        """The last transaction's."""
        self._sum = 0

    @classmethod
    def open(cls, path: Path, *, what: str, root: Path) -> "ObjectFile":
        """Prove the file and open it, or make it (mode 0600) and its folder.

        Raises :class:`Damaged` if it cannot be trusted, :class:`NoRoom`, :class:`Internal` if it is of a newer format
        or cannot be used; it is then left as it was.
        """
        file = cls(path, what=what, root=root)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite would make it readable by all, and what is kept here is not for everybody.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            file._prove()
            file._connect()
        except OSError as error:
            raise refusal(f"{what} in {path} cannot be opened", error, root) from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                raise refusal(f"{what} in {path} cannot be opened", error, root) from error
            raise file._damaged(str(error)) from error
        return file

    def _prove(self) -> None:
        # Not to be written to: closing a damaged file would fold its log into it.
        with closing(sqlite3.connect(f"file:{quote(str(self._path))}?mode=ro", uri=True, isolation_level=None)) as db:
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found > FORMAT:
                raise Internal(
                    f"{self._what} in {self._path} was written by a newer Shoal (format {found}, this one reads "
                    f"{FORMAT}): use that one"
                )
            if (damage := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                raise self._damaged(str(damage))
            if found == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise self._damaged("it is another program's database")
            if found == FORMAT:
                self._prove_rows(db)
        marked = read_mark(self._path)
        if self.number < marked and found in (0, FORMAT):
            raise self._damaged(
                f"it ends with transaction {self.number}, and {marked} had been acknowledged: its write-ahead log was "
                "lost, or an older copy put in its place"
            )

    def _prove_rows(self, db: sqlite3.Connection) -> None:
        total = 0
        # A flipped bit can make a value of another type of it.
        for kind, key, value, kept in db.execute("SELECT kind, key, CAST(value AS BLOB), sum FROM object"):
            if row_sum(kind, key, value) != kept:
                raise self._damaged(f"{kind} {key} is not as it was written")
            total += kept
        row = db.execute("SELECT number, sum FROM revision").fetchone()
        if row is None or not isinstance(row[0], int) or row[1] != _whole(row[0], total):
            raise self._damaged("its objects are not those of its last transaction")
        self.number, self._sum = row[0], total

    def _damaged(self, why: str) -> Damaged:
        return Damaged(f"{self._what} in {self._path} cannot be trusted: {why}")

    def _connect(self) -> None:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found < FORMAT:
                self._make(db, found)
            self._mark = os.open(mark_of(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except BaseException:
            db.close()
            raise
        self._db = db
        self._set_mark()

    def _make(self, db: sqlite3.Connection, found: int) -> None:
        """Make the tables; those of format 1 had no sums."""
        db.execute("BEGIN IMMEDIATE")
        rows: list[tuple[str, str, bytes]] = []
        if found == 1:
            rows = db.execute("SELECT kind, key, value FROM object").fetchall()
            if db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'revision'").fetchone()[0]:
                self.number = (db.execute("SELECT number FROM revision").fetchone() or (0,))[0]
            db.execute("DROP TABLE object")
            db.execute("DROP TABLE IF EXISTS revision")
        for statement in SCHEMA:
            db.execute(statement)
        for kind, key, value in rows:
            kept = row_sum(kind, key, value)
            self._sum += kept
            db.execute(_PUT, (kind, key, value, kept))
        db.execute("INSERT INTO revision VALUES (1, ?, ?)", (self.number, _whole(self.number, self._sum)))
        db.execute(f"PRAGMA user_version={FORMAT}")
        db.execute("COMMIT")

    def rows(self, kind: str | None = None) -> Iterator[tuple[str, str, bytes]]:
        """Every object, or those of a kind. Raises :class:`Internal`."""
        try:
            if kind is None:
                yield from self._db.execute("SELECT kind, key, value FROM object")
            else:
                yield from self._db.execute("SELECT kind, key, value FROM object WHERE kind = ?", (kind,))
        except sqlite3.Error as error:
            raise refusal(f"{self._what} in {self._path} cannot be read", error, self._root) from error

    def commit(self, rows: Sequence[Row], number: int | None = None) -> None:
        """Make these changes, all of them or none, in order; they are on disk when this returns.

        ``number`` is the transaction's, the next one where none is given. Raises :class:`NoRoom`, :class:`Internal` if
        the disk does not take them; the file is then as before, and takes later ones as soon as it can.
        """
        number = self.number + 1 if number is None else number
        try:
            if self._db.in_transaction:
                # A rollback that the disk would not take.
                self._db.execute("ROLLBACK")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                total = self._sum
                for row in rows:
                    total += self._apply(row)
                self._db.execute("UPDATE revision SET number = ?, sum = ?", (number, _whole(number, total)))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise refusal(f"{self._what} cannot be written to {self._path}", error, self._root) from error
        self.number, self._sum = number, total
        self._set_mark()

    def _apply(self, row: Row) -> int:
        """Change one row; by how much the sum of all changes."""
        old: int = (self._db.execute(_SUM, (row.kind, row.key)).fetchone() or (0,))[0]
        if row.value is None:
            self._db.execute("DELETE FROM object WHERE kind = ? AND key = ?", (row.kind, row.key))
            return -old
        kept = row_sum(row.kind, row.key, row.value)
        self._db.execute(_PUT, (*row, kept))
        return kept - old

    def _set_mark(self) -> None:
        try:
            os.pwrite(self._mark, b"%019d\n" % self.number, 0)
        except OSError:
            # It only helps to find a loss later: a mark that lags is no reason to fail what is on disk.
            return

    def close(self) -> None:
        """Fold the log into the file and close it."""
        self._db.close()
        os.close(self._mark)


def read_mark(path: Path) -> int:
    """The last transaction that was acknowledged, as far as the mark tells: 0 for none that can be read."""
    try:
        return int(mark_of(path).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # A malformed schema comes as SQLITE_ERROR, a text that is no UTF-8 from Python's module itself, without a code:
    # nothing that we ask of a whole file is either.
    return code in (0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
