"""A container's standard streams over one socket.

With a TTY the bytes are raw. Without one, stdout and stderr travel in frames: a byte for the stream (1 or 2), three
zeros, the length as 32 bits big endian, the payload (Engine API, ContainerAttach, "Stream format").
"""

import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

STDOUT = 1
STDERR = 2
SYSTEM_ERROR = 3
HEADER = 8


class Hijacked(NamedTuple):
    """The raw socket after the upgrade, and what had already arrived on it."""

    socket: socket.socket
    received: bytes


class Demultiplexer:
    """Takes the stream in any pieces and gives back (stream, payload) pairs, payloads in pieces too."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream = 0
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """What the data so far completes; a frame's payload need not be whole."""
        self._buffer += data
        pieces: list[tuple[int, bytes]] = []
        while self._buffer:
            if self._left == 0:
                if len(self._buffer) < HEADER:
                    break
                self._stream = self._buffer[0]
                self._left = int.from_bytes(self._buffer[4:HEADER], "big")
                del self._buffer[:HEADER]
                continue
            piece = bytes(self._buffer[: self._left])
            del self._buffer[: self._left]
            self._left -= len(piece)
            pieces.append((self._stream, piece))
        return pieces


def demultiplex(chunks: Iterable[bytes], *, tty: bool) -> Iterator[tuple[int, bytes]]:
    """The pieces of a log or attach stream, each with the stream it belongs to; all stdout with a TTY."""
    if tty:
        for chunk in chunks:
            yield STDOUT, chunk
        return
    demultiplexer = Demultiplexer()
    for chunk in chunks:
        yield from demultiplexer.feed(chunk)


def frame(stream: int, payload: bytes) -> bytes:
    """One frame of the multiplexed stream."""
    return bytes((stream, 0, 0, 0)) + len(payload).to_bytes(4, "big") + payload
