"""An uploaded tar, put on disk uncompressed, so that its members can be read in any order and never in memory."""

import asyncio
import bz2
import hashlib
import io
import lzma
import os
import tarfile
import tempfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from shoal.errors import InvalidArgument

_WINDOW = 1 << 20
_GZIP = b"\x1f\x8b"
_BZIP2 = b"BZh"
_XZ = b"\xfd7zXZ\x00"
_ZSTD = b"\x28\xb5\x2f\xfd"
_MAGIC_LENGTH = 6


class Inflater(Protocol):
    """A decompressor that never hands out more than a window at a time."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` unpacks to."""
        ...

    def finish(self) -> None:
        """Raise :class:`InvalidArgument` when the stream ended too soon."""
        ...


class _Plain:
    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        return


class _Gzip:
    """Any number of gzip members one after the other, as pigz and eStargz write them."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self._started = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._member.eof:
                if not data.strip(b"\0"):
                    return
                self._member = zlib.decompressobj(wbits=31)
            self._started = True
            try:
                piece = self._member.decompress(data, _WINDOW)
            except zlib.error as error:
                raise InvalidArgument(f"gzip: invalid data: {error}") from error
            if piece:
                yield piece
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail

    def finish(self) -> None:
        if self._started and not self._member.eof:
            raise InvalidArgument("gzip: unexpected EOF")


class _Streamed:
    """xz and bzip2, whose decompressors have the same shape."""

    def __init__(self, kind: "type[lzma.LZMADecompressor] | type[bz2.BZ2Decompressor]") -> None:
        self._kind = kind
        self._stream = kind()

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data or not (self._stream.eof or self._stream.needs_input):
            if self._stream.eof:
                if not data.strip(b"\0"):
                    return
                self._stream = self._kind()
            try:
                piece = self._stream.decompress(data, _WINDOW)
            except (lzma.LZMAError, OSError) as error:
                raise InvalidArgument(f"invalid compressed data: {error}") from error
            if piece:
                yield piece
            data = self._stream.unused_data if self._stream.eof else b""

    def finish(self) -> None:
        if not self._stream.eof:
            raise InvalidArgument("compressed data: unexpected EOF")


class Unpacked(io.RawIOBase):
    """A stream read unpacked, for threads: whatever it is packed with, a window at a time is in memory.

    Reading raises :class:`InvalidArgument` for what cannot be unpacked.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._inflater: Inflater | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while not self._ready:
            if (piece := next(self._pieces, None)) is not None:
                self._ready = memoryview(piece)
            elif not self._feed():
                return 0
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _feed(self) -> bool:
        """Take more of the source; False at its end."""
        data = self._source.read(_WINDOW >> 4)
        if data and self._inflater is None:
            self._inflater = inflater(data)
        if self._inflater is None:
            return False
        if not data:
            self._inflater.finish()
            return False
        self._pieces = self._inflater.feed(data)
        return True


def inflater(start: bytes) -> Inflater:
    """The decompressor for data that starts like that. Raises :class:`InvalidArgument` for what cannot be unpacked."""
    if start.startswith(_GZIP):
        return _Gzip()
    if start.startswith(_XZ):
        return _Streamed(lzma.LZMADecompressor)
    if start.startswith(_BZIP2):
        return _Streamed(bz2.BZ2Decompressor)
    if start.startswith(_ZSTD):
        raise InvalidArgument("zstd-compressed archives are not supported: unpack it first (zstd -d)")
    return _Plain()


def compressed_as(start: bytes) -> str:
    """``gzip``, ``zstd`` or the empty string, by the first bytes of a layer; others raise :class:`InvalidArgument`."""
    if start.startswith(_GZIP):
        return "gzip"
    if start.startswith(_ZSTD):
        return "zstd"
    if start.startswith((_XZ, _BZIP2)):
        raise InvalidArgument("layers compressed with xz or bzip2 are not supported")
    return ""


class Spool:
    """A temporary file that holds the unpacked upload; gone on exit. ``size``, ``digest``: of the unpacked data."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    @property
    def file(self) -> IO[bytes]:
        """For blocking readers in a thread."""
        return self._file

    @property
    def digest(self) -> str:
        """``sha256:`` of all that was written."""
        return "sha256:" + self._hash.hexdigest()

    async def fill(self, chunks: AsyncIterator[bytes]) -> None:
        """Write all of ``chunks``, unpacked. Raises :class:`InvalidArgument` for broken compression."""
        start = b""
        unpack: Inflater | None = None
        async for chunk in _gathered(chunks):
            if unpack is None:
                start += chunk
                if len(start) < _MAGIC_LENGTH:
                    continue
                unpack, chunk = inflater(start), start
            await asyncio.to_thread(self._write, unpack, chunk)
        if unpack is None:
            await asyncio.to_thread(self._write, _Plain(), start)
        else:
            unpack.finish()
        await asyncio.to_thread(self._file.flush)

    async def read(self) -> AsyncIterator[bytes]:
        """All of it, a window at a time."""
        for position in range(0, self.size, _WINDOW):
            yield await asyncio.to_thread(os.pread, self._file.fileno(), _WINDOW, position)

    def check_tar(self) -> None:
        """Raise :class:`InvalidArgument` unless it starts as a tar does; blocks."""
        try:
            self._file.seek(0)
            with tarfile.open(fileobj=self._file, mode="r:") as tar:
                tar.next()
        except tarfile.TarError as error:
            raise InvalidArgument("archive/tar: invalid tar header") from error

    def _write(self, unpack: Inflater, chunk: bytes) -> None:
        for piece in unpack.feed(chunk):
            self._hash.update(piece)
            self._file.write(piece)
            self.size += len(piece)


async def _gathered(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of about a window: an upload comes in small ones, and each costs a thread's turn."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        if len(held) >= _WINDOW:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
