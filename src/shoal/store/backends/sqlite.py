"""Keeps transactions in one SQLite file: the embedded default, for a swarm with a single manager."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from shoal.durable.objectfile import ObjectFile, Row
from shoal.errors import Conflict
from shoal.objects.base import encode
from shoal.store.backend import Change, Contents, Fence, Transaction
from shoal.store.tables import KIND_OF, Stored

T = TypeVar("T")
# What errors call the file.
STATE = "the swarm's state"


class SQLiteBackend:
    """A file in write-ahead mode, synced at every commit; all of SQLite runs on one thread of its own.

    ``root`` is the folder that errors tell to free room in, the file's own where none is given.
    """

    trouble = ""

    def __init__(self, path: Path, *, root: Path | None = None) -> None:
        self._path = path
        self._root = root or path.parent
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._file: ObjectFile | None = None

    async def load(self) -> Contents:
        return await self._run(self._load)

    async def seed(self, contents: Contents) -> None:
        await self._run(lambda: self._seed(contents))

    async def commit(self, transaction: Transaction, fence: Fence | None = None) -> None:
        """The file has one writer, so no revision is ever taken, and no leadership can be lost."""
        await self._run(lambda: self._commit(transaction.revision, transaction.changes))

    async def follow(self, revision: int) -> AsyncGenerator[Transaction, None]:
        """Nobody else writes to the file: there is nothing to hear of."""
        nothing: tuple[Transaction, ...] = ()
        for transaction in nothing:
            yield transaction

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Nobody else writes."""
        return nullcontext()

    async def close(self) -> None:
        await self._run(self._close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _open(self) -> ObjectFile:
        if self._file is None:
            self._file = ObjectFile.open(self._path, what=STATE, root=self._root)
        return self._file

    def _load(self) -> Contents:
        file = self._open()
        return Contents(file.number, [Change(*found) for found in file.rows()])

    def _seed(self, contents: Contents) -> None:
        if self._open().number:
            raise Conflict(f"{self._path} holds a swarm's state already")
        self._commit(contents.revision, contents.objects)

    def _commit(self, revision: int, changes: list[Change]) -> None:
        self._open().commit([Row(change.kind, change.key, change.value) for change in changes], revision)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def rows_of(objects: Iterable[Stored]) -> list[tuple[str, str, bytes]]:
    """Objects as the file has them."""
    return [(KIND_OF[type(obj)], str(obj.id), encode(obj)) for obj in objects]
