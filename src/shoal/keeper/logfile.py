"""Reads a json-file log, rotated files included: from the end, between two times, and on as it grows.

The files are read by threads, a quarter of a MiB at a time. Rotation only ever renames, so an open file stays what it
was: at its end, if another file has its name by now, reading goes on with the next newer one.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from shoal.aio.clock import Clock
from shoal.aio.tasks import spawn
from shoal.keeper.jsonlog import parse_time
from shoal.keeper.watch import FolderWatch
from shoal.wire.keeper import Stream

_CHUNK = 256 << 10
_NANO = 1_000_000_000
_STREAMS = {"stdout": Stream.STDOUT, "stderr": Stream.STDERR}


@dataclass(frozen=True, slots=True)
class LogLine:
    """One entry. ``time`` in ns since the epoch; ``partial``: the line goes on in this stream's next entry."""

    stream: Stream
    time: int
    data: bytes
    partial: bool


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which entries: the last ``tail``, of those the ones from ``since`` up to ``until`` (ns since the epoch)."""

    tail: int | None = None
    since: int | None = None
    until: int | None = None


class _Entry(msgspec.Struct):
    log: str = ""
    stream: str = "stdout"
    time: str = ""


_decode = msgspec.json.Decoder(_Entry).decode


async def read_log(path: Path, query: LogQuery = LogQuery()) -> AsyncIterator[LogLine]:
    """The entries that are there now, oldest first; none if there is no log. What is no entry is passed over."""
    with _Reader(path) as reader:
        await reader.start(query.tail)
        left = query.tail
        async for line in reader.lines(query):
            # What is written meanwhile does not make more of them.
            if left is not None and (left := left - 1) < 0:
                return
            yield line


async def follow_log(
    path: Path, query: LogQuery = LogQuery(), *, stopped: asyncio.Event, watch: FolderWatch, clock: Clock
) -> AsyncIterator[LogLine]:
    """The entries that are there, then those that come, until the time is past ``until`` or ``stopped`` is set.

    Whoever sets ``stopped`` has had the container's output drained before, so nothing written is missed. The log's
    folder must exist (:class:`NotFound`), the log need not yet.
    """
    with watch.changes(path.parent) as changed, _Reader(path) as reader:
        await reader.start(query.tail)
        waker = spawn(_wake_when(stopped, changed), name=f"follow {path}")
        try:
            while True:
                last = stopped.is_set() or (query.until is not None and _now(clock) > query.until)
                changed.clear()
                async for line in reader.lines(query):
                    yield line
                if last or reader.past_end:
                    return
                left = None if query.until is None else (query.until - _now(clock)) / _NANO
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await changed.wait()
        finally:
            waker.cancel()


class _Reader:
    """A position in a log's files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._offset = 0
        self._rest = b""
        self._fds: list[int] = []  # newer files than the current, newest first
        self.past_end = False

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for fd in [self._fd, *self._fds]:
            if fd >= 0:
                os.close(fd)
        self._fd, self._fds = -1, []

    async def start(self, tail: int | None) -> None:
        """Go to the beginning, or to the last ``tail`` entries."""
        await asyncio.to_thread(self._start, tail)

    async def lines(self, query: LogQuery) -> AsyncIterator[LogLine]:
        """From the position to the end of what is there; a line that is still being written is left for later."""
        while data := await asyncio.to_thread(self._read):
            lines = (self._rest + data).split(b"\n")
            self._rest = lines.pop()
            for line in _parse(lines):
                if query.until is not None and line.time > query.until:
                    self.past_end = True
                    return
                if query.since is None or line.time >= query.since:
                    yield line

    def _start(self, tail: int | None) -> None:
        self._fds = _open_files(self._path, newer_than=-1)
        if tail is None:
            self._next()
            return
        for number, fd in enumerate(self._fds):
            found, offset = _last_lines(fd, tail)
            tail -= found
            if tail <= 0 or number == len(self._fds) - 1:
                for older in self._fds[number + 1 :]:
                    os.close(older)
                del self._fds[number + 1 :]
                self._next()
                self._offset = offset
                return

    def _next(self) -> None:
        """To the beginning of the next newer file, if there is one."""
        if self._fds:
            if self._fd >= 0:
                os.close(self._fd)
            self._fd, self._offset, self._rest = self._fds.pop(), 0, b""

    def _read(self) -> bytes:
        """The next bytes, of whichever file; none at the end of the newest."""
        while True:
            if self._fd >= 0 and (data := os.pread(self._fd, _CHUNK, self._offset)):
                self._offset += len(data)
                return data
            if not self._fds:
                self._fds = _open_files(self._path, newer_than=self._fd)
                if not self._fds:
                    return b""
                # Renamed since: nothing is written to this file any more, but something may have been before.
                if self._fd >= 0 and (data := os.pread(self._fd, _CHUNK, self._offset)):
                    self._offset += len(data)
                    return data
            self._next()


def _open_files(path: Path, *, newer_than: int) -> list[int]:
    """The log's files, newest first, down to the one that is open as ``newer_than`` (-1, or gone: all of them).

    Opened from the newest on: a rotation meanwhile shows a file twice, which is noticed, but never hides one.
    """
    fds: list[int] = []
    seen = set()
    current = os.fstat(newer_than).st_ino if newer_than >= 0 else None
    for name in _names(path):
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        inode = os.fstat(fd).st_ino
        if inode == current or inode in seen:
            os.close(fd)
            if inode == current:
                break
        else:
            seen.add(inode)
            fds.append(fd)
    return fds


def _names(path: Path) -> Iterator[Path]:
    """``path``, ``path.1``, … as far as there are."""
    yield path
    pattern = re.compile(re.escape(path.name) + r"\.(\d+)")
    try:
        matches = [match for name in os.listdir(path.parent) if (match := pattern.fullmatch(name))]
    except FileNotFoundError:
        return
    for match in sorted(matches, key=lambda match: int(match[1])):
        yield path.with_name(match[0])


def _last_lines(fd: int, count: int) -> tuple[int, int]:
    """How many of the last ``count`` lines are in the file, and the offset where they start; read from its end."""
    end = os.fstat(fd).st_size
    if count <= 0:
        return 0, end
    found = 0
    while end > 0:
        start = max(0, end - _CHUNK)
        block = os.pread(fd, end - start, start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            if found == count:
                return count, start + at + 1
            found += 1
        end = start
    return found, 0


def _parse(lines: list[bytes]) -> Iterator[LogLine]:
    for line in lines:
        try:
            entry = _decode(line)
            time, stream = parse_time(entry.time), _STREAMS[entry.stream]
        except (msgspec.MsgspecError, ValueError, KeyError):
            continue  # torn by a full disk or a crash
        yield LogLine(stream, time, entry.log.encode(), partial=not entry.log.endswith("\n"))


def _now(clock: Clock) -> int:
    return int(clock.now().timestamp() * _NANO)


async def _wake_when(stopped: asyncio.Event, changed: asyncio.Event) -> None:
    await stopped.wait()
    changed.set()
