"""What can be proved in a file that as a whole cannot be trusted: a new file of it, and the old one moved aside.

SQLite reads a damaged table as far as the damage and no further; but rows have numbers, and a range of numbers that
does not lead to a damaged page can be read wherever it is. So ranges that fail are halved until only what is really
gone is left. Each row is kept if its own sum proves it.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from shoal.durable import files
from shoal.durable.faults import refusal
from shoal.durable.objectfile import FORMAT, ObjectFile, Row, mark_of, row_sum

_SUFFIXES = ("", "-wal", "-shm", "-mark")
# How far rows are looked for where nothing tells how many there were.
_FARTHEST = 1 << 20


@dataclass
class Salvaged:
    """What was got out of a file: rows, the number of its last transaction (0 if that is lost), what was not kept."""

    rows: list[tuple[str, str, bytes]] = field(default_factory=list)
    number: int = 0
    dropped: list[str] = field(default_factory=list)


def salvage(path: Path) -> Salvaged:
    """Read what can be proved, from a copy beside the file; the file itself is left as it is. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.reading-", dir=path.parent) as folder:
        copy = Path(folder) / path.name
        for suffix in ("", "-wal"):
            with suppress(FileNotFoundError):
                shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        copy.touch()
        found = _read(copy)
        if found is None:
            # Without its first page SQLite does not even look; ours says the same in each of our files.
            _replace_first_page(copy)
            found = _read(copy)
    return found or Salvaged(dropped=["everything: no table can be read"])


def replace(path: Path, rows: list[tuple[str, str, bytes]], number: int, *, what: str, root: Path, stamp: str) -> Path:
    """Put a new file of these rows in the place of one, which is moved aside; where to.

    Raises :class:`~shoal.errors.NoRoom`, :class:`~shoal.errors.Internal`; what was there is then still in its place.
    """
    try:
        fresh = path.with_name(f"{path.name}.recovered")
        for suffix in _SUFFIXES:
            Path(f"{fresh}{suffix}").unlink(missing_ok=True)
        made = ObjectFile.open(fresh, what=what, root=root)
        try:
            made.commit([Row(*row) for row in rows], number)
        finally:
            made.close()
        aside = _free_name(path, stamp)
        # Until the new one is in its place the old one is, and its mark: whatever is cut off here, a start refuses.
        os.link(path, aside)
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{aside}{suffix}")
        os.replace(fresh, path)
        files.sync_folder(path.parent)
        os.replace(mark_of(fresh), mark_of(path))
    except OSError as error:
        raise refusal(f"{what} in {path} cannot be replaced", error, root) from error
    return aside


def _free_name(path: Path, stamp: str) -> Path:
    for number in count(1):
        aside = path.with_name(f"{path.name}.damaged-{stamp}" + (f"-{number}" if number > 1 else ""))
        if not aside.exists():
            break
    return aside


def stamp(now: datetime) -> str:
    """A moment as it stands in the names of what was moved aside."""
    return now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def move_aside(path: Path, stamp: str) -> Path:
    """Rename a file or folder, if it is there; where to. Raises OSError."""
    aside = _free_name(path, stamp)
    with suppress(FileNotFoundError):
        os.replace(path, aside)
    files.sync_folder(path.parent)
    return aside


def _read(path: Path) -> Salvaged | None:
    """All that can be proved; None where SQLite does not take it for a database of ours at all."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA cell_size_check=ON")
            if db.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                return None
            db.execute("SELECT 1 FROM object WHERE rowid < 0").fetchall()
            return _Reader(db).read()
    except sqlite3.Error:
        return None


class _Reader:
    """Reads one damaged database."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._kept: dict[int, tuple[str, str, bytes]] = {}
        self._bad = 0

    def read(self) -> Salvaged:
        named = dict(self._index())
        last = max(named, default=0)
        with suppress(sqlite3.Error):
            last = max(last, self._db.execute("SELECT max(rowid) FROM object").fetchone()[0] or 0)
        self._range(1, max(last, min(_FARTHEST, self._pages() * 64)))
        number = 0
        with suppress(sqlite3.Error):
            row = self._db.execute("SELECT number FROM revision").fetchone()
            number = row[0] if row and isinstance(row[0], int) else 0
        rows = {(kind, key): (kind, key, value) for kind, key, value in self._kept.values()}
        dropped = [f"{kind} {key}" for kind, key in named.values() if (kind, key) not in rows]
        if self._bad > len(dropped):
            dropped.append(f"{self._bad - len(dropped)} objects whose names are lost")
        return Salvaged(list(rows.values()), number, dropped)

    def _pages(self) -> int:
        return int(self._db.execute("PRAGMA page_count").fetchone()[0])

    def _index(self) -> Iterator[tuple[int, tuple[str, str]]]:
        """Which rows there should be, by number, as far as the index can be read from either end."""
        for order in ("", " DESC"):
            with suppress(sqlite3.Error):
                for number, kind, key in self._db.execute(
                    f"SELECT rowid, kind, key FROM object INDEXED BY sqlite_autoindex_object_1"
                    f" ORDER BY kind{order}, key{order}"
                ):
                    if isinstance(number, int) and isinstance(kind, str) and isinstance(key, str):
                        yield number, (kind, key)

    def _range(self, first: int, last: int) -> None:
        """Take all rows of these numbers that can be proved."""
        ranges = [(first, last)]
        while ranges:
            first, last = ranges.pop()
            try:
                found = self._db.execute(
                    "SELECT rowid, kind, key, CAST(value AS BLOB), sum FROM object WHERE rowid BETWEEN ? AND ?",
                    (first, last),
                ).fetchall()
            except sqlite3.Error:
                if first == last:
                    continue
                middle = (first + last) // 2
                ranges += [(middle + 1, last), (first, middle)]
                continue
            for number, kind, key, value, kept in found:
                if row_sum(kind, key, value or b"") == kept:
                    self._kept[number] = (kind, key, value)
                else:
                    self._bad += 1


def _replace_first_page(path: Path) -> None:
    """Give the file the header and the schema that each file of ours has."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        ObjectFile.open(model, what="a model", root=model).close()
        page = bytearray(model.read_bytes()[:4096])
    size = path.stat().st_size
    # In pages; and no list of free ones (sqlite.org/fileformat2.html, 1.3).
    page[28:32] = max(size // 4096, 4).to_bytes(4, "big")
    page[32:40] = bytes(8)
    with open(path, "r+b") as file:
        file.write(page)
        file.truncate(max(size - size % 4096, 4 * 4096))
    Path(f"{path}-wal").unlink(missing_ok=True)
