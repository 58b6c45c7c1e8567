"""Says when files in a folder have changed: one inotify(7) instance for a whole process, since a user has only 128."""

import asyncio
import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.errors import Internal, NotFound

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_IN_ONLYDIR = 0x01000000
_IN_NONBLOCK, _IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
_HEADER = 16  # struct inotify_event up to the name: wd, mask, cookie, len
_libc = ctypes.CDLL(None, use_errno=True)


class FolderWatch:
    """Needs a running loop. Close it with that loop."""

    def __init__(self) -> None:
        self._fd = _libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
        if self._fd < 0:
            raise Internal(f"inotify: {os.strerror(ctypes.get_errno())}")
        self._waiting: dict[int, set[asyncio.Event]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._changed)

    @contextmanager
    def changes(self, folder: Path) -> Iterator[asyncio.Event]:
        """An event that is set whenever a file there is made, moved there or written; who waits clears it.

        Raises :class:`NotFound` if there is no such folder.
        """
        mask = _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE | _IN_ONLYDIR
        wd = _libc.inotify_add_watch(self._fd, bytes(folder), mask)
        if wd < 0:
            number = ctypes.get_errno()
            kind = NotFound if number in (errno.ENOENT, errno.ENOTDIR) else Internal
            raise kind(f"cannot watch {folder}: {os.strerror(number)}")
        event = asyncio.Event()
        events = self._waiting.setdefault(wd, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events and self._waiting.get(wd) is events:
                del self._waiting[wd]
                _libc.inotify_rm_watch(self._fd, wd)  # fails if the folder has gone, and the watch with it

    def close(self) -> None:
        """No event is set any more."""
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def _changed(self) -> None:
        try:
            data = os.read(self._fd, 64 << 10)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            wd = int.from_bytes(data[at : at + 4], "little", signed=True)
            at += _HEADER + int.from_bytes(data[at + 12 : at + 16], "little")
            for event in self._waiting.get(wd, ()):
                event.set()
