"""One container's (or exec session's) streams: FIFOs on one side, the log and attached clients on the other.

Both ends of each FIFO are held here (O_RDWR), so neither containerd's shim nor the container ever meets an end of file,
a broken pipe or an open that blocks, whoever restarts. The end of output is found by holding only the reading end once
the container has exited: the kernel then reports it when the shim has closed its own.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import struct
import termios
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Protocol

from shoal.aio.tasks import cancel, spawn
from shoal.errors import Internal
from shoal.keeper.jsonlog import LineSplitter, encode
from shoal.keeper.logwriter import LogWriter
from shoal.wire.keeper import LogDriver, Stdio, Stream

_CHUNK = 64 << 10
_MAX_STDIN = 256 << 10
_log = logging.getLogger(__name__)


class AttachedClient(Protocol):
    """Who sees a container's streams live. No call of these may wait."""

    def send(self, stream: Stream, data: bytes) -> None:
        """Output, or that stdin has been closed (no data)."""
        ...

    def end(self) -> None:
        """There will be no more output."""
        ...

    def stdin_room(self, room: bool) -> None:
        """False: send no more stdin, for now."""
        ...


class Session:
    """Opens, reads, logs and hands out one container's output, and takes its stdin."""

    def __init__(self, stdio: Stdio, *, executor: Executor, now_ns: Callable[[], int]) -> None:
        self.stdio = stdio
        self._now_ns = now_ns
        self._last_ns = 0
        self._loop = asyncio.get_running_loop()
        self._fds: dict[Stream, int] = {}
        self._splitters = {Stream.STDOUT: LineSplitter(), Stream.STDERR: LineSplitter()}
        self._clients: set[AttachedClient] = set()
        self._holds: set[object] = set()
        self._draining = False
        self._ended: asyncio.Event = asyncio.Event()
        self._stdin_waiting = bytearray()
        self._stdin_closer: asyncio.Task[None] | None = None
        self._log: LogWriter | None = None
        if stdio.log.driver is LogDriver.JSON_FILE:
            self._log = LogWriter(stdio.log, executor=executor, on_pressure=self._log_pressure)

    def open(self, *, create: bool = True) -> None:
        """Open the FIFOs, made where missing if ``create``. Raises :class:`Internal`."""
        paths = {Stream.STDOUT: self.stdio.stdout, Stream.STDERR: self.stdio.stderr, Stream.STDIN: self.stdio.stdin}
        try:
            for stream, path in paths.items():
                if path is not None:
                    if create:
                        Path(path).parent.mkdir(parents=True, exist_ok=True)
                        with contextlib.suppress(FileExistsError):
                            os.mkfifo(path, 0o600)
                    self._fds[stream] = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._close_fds()
            raise Internal(f"streams of {self.stdio.container_id}: {error}") from error
        self._watch()

    @property
    def ended(self) -> bool:
        """Whether all output has been read."""
        return self._draining and not self._outputs

    def attach(self, client: AttachedClient) -> None:
        """Send the client what comes from now on; the end at once if there is no more to come."""
        if self.ended:
            client.end()
        else:
            self._clients.add(client)

    def detach(self, client: AttachedClient) -> None:
        """Forget the client."""
        self._clients.discard(client)
        self.release(client)

    def hold(self, who: object) -> None:
        """Read no more until ``who`` releases it: the container will wait. Without effect once it has exited."""
        self._holds.add(who)
        if len(self._holds) == 1 and not self._draining:
            for fd in self._outputs.values():
                self._loop.remove_reader(fd)

    def release(self, who: object) -> None:
        """Take back a hold; no error if there is none."""
        if who in self._holds:
            self._holds.discard(who)
            if not self._holds and not self._draining:
                self._watch()

    def write_stdin(self, data: bytes) -> None:
        """Pass ``data`` on to the container; dropped where it has no stdin (any more), as by a broken pipe."""
        if Stream.STDIN not in self._fds or self._stdin_closer is not None:
            return
        self._stdin_waiting += data
        if len(self._stdin_waiting) == len(data):
            self._stdin_writable()

    def close_stdin(self) -> None:
        """End the container's stdin once it has read all of it; clients are told. No error if it is closed."""
        if Stream.STDIN in self._fds and self._stdin_closer is None:
            self._stdin_closer = spawn(self._close_stdin(), name=f"close stdin {self.stdio.container_id}")

    async def drain(self, timeout: float) -> None:
        """The container has exited: read to the end, or until ``timeout`` s if somebody keeps the FIFO open; log it."""
        if not self._draining:
            self._start_draining()
        try:
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        except TimeoutError:
            _log.warning("%s: somebody still holds its output open", self.stdio.container_id)
            for stream in list(self._outputs):
                self._end_of(stream)
        if self._log is not None:
            await self._log.flush()

    async def close(self, *, ended: bool) -> None:
        """Close everything; ``ended`` says that the container is gone too, else another keeper will go on."""
        for stream, fd in self._outputs.items():
            self._loop.remove_reader(fd)
            self._read(stream, fd)
        for stream, splitter in self._splitters.items():
            self._write_log(stream, splitter.end() if ended else splitter.take())
        if ended:
            self._end_clients()
        await cancel(self._stdin_closer)
        self._close_fds()
        if self._log is not None:
            await self._log.close()

    def remove_fifos(self) -> None:
        """Unlink the FIFOs."""
        for path in (self.stdio.stdout, self.stdio.stderr, self.stdio.stdin):
            if path is not None:
                Path(path).unlink(missing_ok=True)

    @property
    def _outputs(self) -> dict[Stream, int]:
        return {stream: fd for stream, fd in self._fds.items() if stream is not Stream.STDIN}

    def _watch(self) -> None:
        for stream, fd in self._outputs.items():
            self._loop.add_reader(fd, self._read, stream, fd)

    def _read(self, stream: Stream, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._end_of(stream)
            return
        for client in tuple(self._clients):
            client.send(stream, data)
        if self._log is not None:
            self._write_log(stream, self._splitters[stream].feed(data))

    def _write_log(self, stream: Stream, entries: list[bytes]) -> None:
        """Each entry gets a time of its own, so that who merges or deduplicates logs can tell them apart."""
        if self._log is None or not entries:
            return
        when = max(self._now_ns(), self._last_ns + 1)
        self._last_ns = when + len(entries)
        self._log.append([encode(entry, stream, when + number) for number, entry in enumerate(entries)])

    def _log_pressure(self, pressed: bool) -> None:
        if pressed:
            self.hold(self._log)
        else:
            self.release(self._log)

    def _start_draining(self) -> None:
        """Give up the writing ends. What a dead container left is two pipes' worth: no client may hold that up."""
        self._draining = True
        for stream, fd in self._outputs.items():
            # Opened while a writer (ourselves) is there: only then does poll report the hang-up (pipe(7), fs/pipe.c).
            reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._loop.remove_reader(fd)
            os.close(fd)
            self._fds[stream] = reader
        self._watch()
        if not self._outputs:
            self._finish()

    def _end_of(self, stream: Stream) -> None:
        fd = self._fds.pop(stream)
        self._loop.remove_reader(fd)
        os.close(fd)
        self._write_log(stream, self._splitters[stream].end())
        if not self._outputs:
            self._finish()

    def _finish(self) -> None:
        self._ended.set()
        self._end_clients()

    def _end_clients(self) -> None:
        for client in tuple(self._clients):
            client.end()
        self._clients.clear()

    def _stdin_writable(self) -> None:
        fd = self._fds[Stream.STDIN]
        try:
            written = os.write(fd, self._stdin_waiting)
        except BlockingIOError:
            written = 0
        del self._stdin_waiting[:written]
        if self._stdin_waiting:
            self._loop.add_writer(fd, self._stdin_writable)
        else:
            self._loop.remove_writer(fd)
        for client in tuple(self._clients):
            client.stdin_room(len(self._stdin_waiting) < _MAX_STDIN)

    async def _close_stdin(self) -> None:
        """Closing while the shim has not opened its end yet would throw away what waits in the FIFO: look at it."""
        pause = 0.002
        while self._stdin_waiting or _unread(self._fds[Stream.STDIN]):
            await asyncio.sleep(pause)
            pause = min(0.1, pause * 1.5)
        fd = self._fds.pop(Stream.STDIN)
        self._loop.remove_writer(fd)
        os.close(fd)
        for client in tuple(self._clients):
            client.send(Stream.STDIN_CLOSED, b"")

    def _close_fds(self) -> None:
        for fd in self._fds.values():
            self._loop.remove_reader(fd)
            self._loop.remove_writer(fd)
            os.close(fd)
        self._fds.clear()


def _unread(fd: int) -> int:
    """How many bytes wait in the FIFO."""
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0])
