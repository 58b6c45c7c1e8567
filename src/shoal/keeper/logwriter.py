"""A container's log file and its rotation: ``path``, ``path.1``, … up to ``max_file`` of them.

Entries are written by a thread, since a full page cache or a slow disk may hold a write up for seconds, and names are
answered on the event loop. Nothing is buffered beyond that: what is not yet being written is written next, at once.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from shoal.wire.keeper import LogOptions

_HIGH = 4 << 20
_log = logging.getLogger(__name__)


class LogWriter:
    """Appends entries in order. ``on_pressure`` is told True when over 4 MiB wait to be written, then False."""

    def __init__(self, options: LogOptions, *, executor: Executor, on_pressure: Callable[[bool], None]) -> None:
        self._file = _RotatingFile(options)
        self._executor = executor
        self._on_pressure = on_pressure
        self._waiting: list[bytes] = []
        self._size = 0
        self._pressed = False
        self._losing = False
        self._writing: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def append(self, entries: list[bytes]) -> None:
        """Have these encoded entries written."""
        if not entries:
            return
        self._waiting += entries
        self._size += sum(map(len, entries))
        if self._size > _HIGH and not self._pressed:
            self._pressed = True
            self._on_pressure(True)
        if self._writing is None:
            self._idle.clear()
            self._write_next()

    async def flush(self) -> None:
        """Return when all has been written."""
        await self._idle.wait()

    async def close(self) -> None:
        """Write what is left, close the file."""
        await self.flush()
        await asyncio.get_running_loop().run_in_executor(self._executor, self._file.close)

    def _write_next(self) -> None:
        entries, self._waiting, self._size = self._waiting, [], 0
        self._writing = asyncio.get_running_loop().run_in_executor(self._executor, self._file.write, entries)
        self._writing.add_done_callback(self._written)

    def _written(self, writing: "asyncio.Future[None]") -> None:
        self._writing = None
        error = writing.exception()
        if error is not None and not self._losing:
            _log.error("%s loses entries: %s", self._file.path, error)  # a full disk must not stop the container
        self._losing = error is not None
        if self._waiting:
            self._write_next()
        else:
            self._idle.set()
        if self._pressed and self._size <= _HIGH // 2:
            self._pressed = False
            self._on_pressure(False)


class _RotatingFile:
    """The file itself; used by one thread at a time."""

    def __init__(self, options: LogOptions) -> None:
        self.path = self._path = Path(options.path)
        self._max_size = options.max_size
        self._max_file = max(1, options.max_file)
        self._fd = -1
        self._size = 0

    def write(self, entries: list[bytes]) -> None:
        """Append ``entries``, turning to a new file before each one that finds the file full. Raises OSError."""
        if self._fd < 0:
            self._open()
        batch: list[bytes] = []
        for entry in entries:
            if 0 < self._max_size <= self._size:
                self._put(b"".join(batch))
                batch = []
                self._rotate()
            batch.append(entry)
            self._size += len(entry)
        self._put(b"".join(batch))

    def close(self) -> None:
        """Close the file; another write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._fd).st_size

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            # A part of an entry would spoil the one that is written next.
            whole = data[: len(data) - len(view)].rfind(b"\n") + 1
            self._size = os.fstat(self._fd).st_size - (len(data) - len(view) - whole)
            os.ftruncate(self._fd, self._size)
            raise

    def _rotate(self) -> None:
        """Each file's name becomes the next older one's. Never truncates: a reader may still be in the old file."""
        self.close()
        for number in range(self._max_file - 1, 0, -1):
            newer = self._path if number == 1 else Path(f"{self._path}.{number - 1}")
            if newer.exists():
                newer.replace(f"{self._path}.{number}")
        if self._max_file == 1:
            self._path.unlink(missing_ok=True)
        self._open()
