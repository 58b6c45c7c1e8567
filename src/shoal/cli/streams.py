"""Joins this process's standard streams to a container's, over a hijacked connection, in one loop."""

import contextlib
import errno
import os
import select
import signal
import socket
import sys
from collections.abc import Callable

from shoal.cli.context import Context
from shoal.cli.term import DETACH, Escape, Signals, parse_keys, proxied, raw_mode, signal_name, size
from shoal.client.engine import Engine
from shoal.client.hijack import STDERR, Demultiplexer, Hijacked
from shoal.errors import ShoalError

CHUNK = 32768
BACKLOG = 1 << 20


class Session:
    """One attachment: what is typed goes to the socket, what comes goes to stdout and stderr.

    ``resize`` and ``kill`` are called with the new size and with a signal's name; both may be None.
    """

    def __init__(
        self,
        ctx: Context,
        hijacked: Hijacked,
        *,
        tty: bool,
        stdin: bool,
        detach_keys: str = "",
        resize: Callable[[int, int], None] | None = None,
        kill: Callable[[str], None] | None = None,
    ) -> None:
        self._ctx = ctx
        self._socket = hijacked.socket
        self._received = hijacked.received
        self._tty = tty
        self._stdin = stdin
        self._resize = resize
        self._kill = kill
        # The keys count only where somebody types.
        keys = parse_keys(detach_keys or str(ctx.config.get("detachKeys", "")) or DETACH)
        self._escape = Escape(keys) if tty and stdin else None
        self._demultiplexer = None if tty else Demultiplexer()
        self._pending = bytearray()
        self._half_closed = False
        numbers = {signal.SIGWINCH} if resize else set()
        # With a terminal in raw mode, Ctrl-C is a byte; signals from elsewhere are still passed on.
        self._signals = Signals(numbers | (proxied() if kill else set()))
        self.detached = False

    def run(self) -> None:
        """Copy until the container's streams end, or the user detaches."""
        fd = sys.stdin.fileno() if self._stdin else -1
        with contextlib.ExitStack() as stack:
            stack.callback(self._signals.close)
            stack.callback(self._socket.close)
            if self._tty and self._stdin and os.isatty(fd):
                stack.enter_context(raw_mode(fd))
            if self._received:
                self._deliver(self._received)
            self._loop(fd)

    def _loop(self, fd: int) -> None:
        self._socket.setblocking(False)
        sock = self._socket.fileno()
        reading = fd >= 0
        while not self.detached:
            poll = select.poll()
            poll.register(self._signals.fd, select.POLLIN)
            poll.register(sock, select.POLLIN | (select.POLLOUT if self._pending else 0))
            if reading and len(self._pending) < BACKLOG:
                poll.register(fd, select.POLLIN)
            events = dict(poll.poll())
            if self._signals.fd in events:
                self._handle_signals()
            if fd in events and reading:
                reading = self._read_stdin(fd)
            if self._pending:
                self._flush()
            elif not reading and fd >= 0:
                self._half_close()
            if events.get(sock, 0) & ~select.POLLOUT and not self._read_socket():
                return

    def _read_stdin(self, fd: int) -> bool:
        try:
            typed = os.read(fd, CHUNK)
        except OSError as error:
            # A terminal that hung up reads as an error; a background process's as EIO.
            if error.errno != errno.EIO:
                raise
            typed = b""
        if typed and self._escape:
            typed, self.detached = self._escape.feed(typed)
            self._pending += typed
            return True
        self._pending += typed
        return bool(typed)

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._pending[:CHUNK])
        except BlockingIOError:
            return
        except OSError:
            # The process has closed its stdin; its output still counts.
            sent = len(self._pending)
        del self._pending[:sent]

    def _half_close(self) -> None:
        if not self._half_closed:
            self._half_closed = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def _read_socket(self) -> bool:
        try:
            data = self._socket.recv(CHUNK)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        if data:
            self._deliver(data)
        return bool(data)

    def _deliver(self, data: bytes) -> None:
        if self._demultiplexer is None:
            self._ctx.write(data)
            return
        for stream, piece in self._demultiplexer.feed(data):
            self._ctx.write(piece, stderr=stream >= STDERR)

    def _handle_signals(self) -> None:
        for number in self._signals.take():
            # A container that has just ended cannot be told; that is no news to the user.
            with contextlib.suppress(ShoalError):
                if number == signal.SIGWINCH and self._resize:
                    self._resize(*size())
                elif self._kill:
                    self._kill(signal_name(number))


def resizer(engine: Engine, path: str) -> Callable[[int, int], None]:
    """What tells the daemon the terminal's size (``POST path?h=…&w=…``)."""

    def resize(rows: int, columns: int) -> None:
        if rows and columns:
            engine.post(path, {"h": rows, "w": columns})

    return resize


def check_tty(*, attach_stdin: bool, tty: bool) -> str:
    """Why a TTY cannot be had: stdin is asked for and is no terminal. Empty when it can."""
    return "the input device is not a TTY" if tty and attach_stdin and not sys.stdin.isatty() else ""
