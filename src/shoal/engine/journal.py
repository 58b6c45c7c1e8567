"""The last events in a file, so that a client that comes back after a restart of shoald has missed none.

A line of JSON each. The file lies in the exec root, in memory as a rule, so that an event is there before anybody is
told of it, without a wait for a disk: what has been written survives the death of shoald, not that of the machine.
"""

import logging
import os
from collections import deque
from collections.abc import Iterable
from pathlib import Path

import msgspec

from shoal.objects.base import encode
from shoal.objects.events import EventMessage

_log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(EventMessage).decode


class Journal:
    """The file at ``path``, from which up to ``kept`` events are read back; at most four times as many are in it."""

    def __init__(self, path: Path, *, kept: int) -> None:
        self._path = path
        self._last: deque[EventMessage] = deque(_read(path), maxlen=kept)
        self._most = 4 * kept
        self._lines = 0
        self._file = -1
        self._fails = False
        self._begin()

    @property
    def last(self) -> list[EventMessage]:
        """The last events, the oldest first."""
        return list(self._last)

    def write(self, event: EventMessage) -> None:
        """Add one. Where that fails, it is said once, and the event is not there after a restart."""
        self._last.append(event)
        if self._file < 0 or self._lines >= self._most:
            self._begin()
        else:
            self._append([event])

    def close(self) -> None:
        """Write no more."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _begin(self) -> None:
        """A new file with the last events, in place of the old one."""
        self.close()
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            self._file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
            os.replace(fresh, self._path)
        except OSError as error:
            self._failed(error)
            return
        self._lines = 0
        self._append(self._last)

    def _append(self, events: Iterable[EventMessage]) -> None:
        lines = [encode(event) + b"\n" for event in events]
        try:
            os.write(self._file, b"".join(lines))
        except OSError as error:
            self._failed(error)
        else:
            self._lines += len(lines)
            self._fails = False

    def _failed(self, error: OSError) -> None:
        # A line that was cut off must not spoil the next: that begins a file anew.
        self.close()
        if not self._fails:
            _log.warning("events are not kept for the next start: %s: %s", self._path, error.strerror)
        self._fails = True


def _read(path: Path) -> list[EventMessage]:
    """What can be read of the file; the end of one may be cut off."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return []  # none was written yet, or it went with the last boot
    events = []
    for line in lines:
        try:
            events.append(_decode(line))
        except (msgspec.MsgspecError, UnicodeError) as error:
            _log.warning("%s: a line is left out: %s", path, error)
    return events
