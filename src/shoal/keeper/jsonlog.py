"""Docker's json-file log format: one JSON object a line. Pure.

    {"log":"text\\n","stream":"stdout","time":"2024-01-02T03:04:05.123456789Z"}

A line of output longer than 16 KiB becomes several entries, all but the last without the newline. Text that is no
UTF-8 is kept as far as JSON can: each bad byte becomes U+FFFD.
"""

import calendar
import time
from functools import lru_cache

import msgspec

from shoal.wire.keeper import Stream

MAX_ENTRY = 16 * 1024
_STREAM_NAMES = {Stream.STDOUT: b"stdout", Stream.STDERR: b"stderr"}
_NANO = 1_000_000_000
_encode_text = msgspec.json.Encoder().encode


class LineSplitter:
    """Cuts one stream's bytes into log entries; keeps an unfinished line until its end comes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The entries that ``data`` completes. Those without a newline are pieces of a long line."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        entries = []
        for line in lines:
            if len(line) > MAX_ENTRY:
                pieces, line = _cut(line)
                entries += pieces
            entries.append(line + b"\n")
        if len(self._rest) > MAX_ENTRY:
            pieces, self._rest = _cut(self._rest)
            entries += pieces
        return entries

    def end(self) -> list[bytes]:
        """What is left when the stream has ended, as a line of its own (Docker adds the newline too)."""
        rest, self._rest = self._rest, b""
        return [rest + b"\n"] if rest else []

    def take(self) -> list[bytes]:
        """What is left, as a piece whose rest may still come from another keeper."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def _cut(line: bytes) -> tuple[list[bytes], bytes]:
    """Full pieces of ``line`` and its last, none above the limit, no UTF-8 character torn apart."""
    pieces = []
    start = 0
    while len(line) - start > MAX_ENTRY:
        end = start + MAX_ENTRY
        for back in range(1, 4):
            if line[end] & 0xC0 != 0x80:
                break
            if line[end - back] & 0xC0 != 0x80:
                end -= back
                break
        pieces.append(line[start:end])
        start = end
    return pieces, line[start:]


def encode(entry: bytes, stream: Stream, when: int) -> bytes:
    """The log's line for ``entry``, written at ``when`` (ns since the epoch)."""
    text = _encode_text(entry.decode("utf-8", "replace"))
    return b'{"log":%b,"stream":"%b","time":"%b"}\n' % (text, _STREAM_NAMES[stream], format_time(when).encode())


def format_time(when: int) -> str:
    """RFC 3339 with nanoseconds, trailing zeros left out, in UTC, as Go's ``time.RFC3339Nano``."""
    seconds, nanos = divmod(when, _NANO)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return f"{_format_second(seconds)}{fraction}Z"


def parse_time(text: str) -> int:
    """The time in ns since the epoch of what :func:`format_time` gives. Raises ValueError."""
    if not text.endswith("Z") or (len(text) > 20 and text[19] != "."):
        raise ValueError(f"{text!r} is no UTC time of RFC 3339")
    fraction = text[20:-1]
    return _parse_second(text[:19]) * _NANO + (int(fraction.ljust(9, "0")[:9]) if fraction else 0)


@lru_cache(maxsize=16)
def _format_second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@lru_cache(maxsize=16)
def _parse_second(text: str) -> int:
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
