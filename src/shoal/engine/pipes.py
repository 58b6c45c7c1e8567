"""Blocking work of any length at one end of a pipe, the event loop at the other.

A thread of its own for each: a shared pool would be used up by a few slow readers.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import IO

import uvloop

_CHUNK = 256 << 10


async def reading(produce: Callable[[IO[bytes]], None]) -> AsyncIterator[bytes]:
    """What ``produce`` writes; it meets a broken pipe when the iteration is given up. It has ended when this has."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    work = _Work(lambda: _produce(produce, write_end))
    reader = asyncio.StreamReader(limit=_CHUNK)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), _handed_over(read_end, "rb")
    )
    try:
        while data := await reader.read(_CHUNK):
            yield data
    finally:
        transport.close()
        await work.ended()
    work.check()


async def writing(body: AsyncIterator[bytes], consume: Callable[[IO[bytes]], None]) -> None:
    """Have ``consume`` read all of ``body``; raises what it raises. It has ended when this has."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    work = _Work(lambda: _consume(consume, read_end))
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, _handed_over(write_end, "wb"))
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        async for data in body:
            writer.write(data)
            await writer.drain()
            if work.is_done:
                break
    except (BrokenPipeError, ConnectionResetError):
        pass  # the consumer has failed, and says why
    finally:
        transport.close()
        await work.ended()
    work.check()


def _handed_over(fd: int, mode: str) -> IO[bytes]:
    """One end as the loop wants it, which closes it. uvloop closes the descriptor itself, and then the file: by then
    another thread may have been given its number."""
    closes_itself = isinstance(asyncio.get_running_loop(), uvloop.Loop)
    return os.fdopen(fd, mode, buffering=0, closefd=not closes_itself)


class _Work:
    """A function in a thread of its own."""

    def __init__(self, work: Callable[[], None]) -> None:
        thread = ThreadPoolExecutor(1, thread_name_prefix="archive")
        self._done = asyncio.get_running_loop().run_in_executor(thread, work)
        thread.shutdown(wait=False)

    @property
    def is_done(self) -> bool:
        return self._done.done()

    async def ended(self) -> None:
        """Wait for the thread, which its pipe's other end no longer holds up, even when cancelled: what it works on
        must not be closed under its hands."""
        cancelled: asyncio.CancelledError | None = None
        while not self._done.done():
            try:
                await asyncio.wait([self._done])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    def check(self) -> None:
        """Raise what the function has raised."""
        self._done.result()


def _produce(produce: Callable[[IO[bytes]], None], fd: int) -> None:
    try:
        with os.fdopen(fd, "wb", buffering=_CHUNK) as out:
            produce(out)
    except BrokenPipeError:
        return  # nobody wants the rest


def _consume(consume: Callable[[IO[bytes]], None], fd: int) -> None:
    with os.fdopen(fd, "rb") as source:
        consume(source)
        # What follows the end of a tar is read too, so that the sender gets rid of it.
        while source.read(_CHUNK):
            pass
