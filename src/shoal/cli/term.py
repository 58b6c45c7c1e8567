"""The terminal: raw mode, its size, the signals that are passed on, the keys that detach.

Source: termios(3), tty_ioctl(4); the Engine API's ``detachKeys``.
"""

import os
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from shoal.errors import InvalidArgument

DETACH = "ctrl-p,ctrl-q"
CONTROLS = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}
# Not passed on: what the kernel never delivers, what children's ends and terminals cause.
KEPT = (signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGKILL, signal.SIGSTOP, signal.SIGWINCH)


@contextmanager
def raw_mode(fd: int) -> Iterator[None]:
    """The terminal passes every byte on as typed, while the block runs (cfmakeraw(3))."""
    before = termios.tcgetattr(fd)
    mode = termios.tcgetattr(fd)
    mode[0] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    mode[1] &= ~termios.OPOST
    mode[2] = (mode[2] & ~(termios.CSIZE | termios.PARENB)) | termios.CS8
    mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    termios.tcsetattr(fd, termios.TCSADRAIN, mode)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def size() -> tuple[int, int]:
    """Rows and columns of the terminal; zeros where stdout is none."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return 0, 0
    return rows, columns


class Signals:
    """Signals as numbers read from a pipe, while it is open: handlers run nowhere else."""

    def __init__(self, numbers: set[int]) -> None:
        self.fd, self._write = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda number, frame: None) for number in numbers}

    def take(self) -> list[int]:
        """The signals that came since the last call."""
        try:
            return list(os.read(self.fd, 4096))
        except BlockingIOError:
            return []

    def close(self) -> None:
        """Restore what was before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self.fd)
        os.close(self._write)


def proxied() -> set[int]:
    """The signals that ``--sig-proxy`` passes on to the container."""
    return {int(number) for number in signal.valid_signals() if number < signal.SIGRTMIN} - set(KEPT)


def signal_name(number: int) -> str:
    """A signal's name without SIG."""
    return signal.Signals(number).name.removeprefix("SIG")


def parse_keys(text: str) -> bytes:
    """``ctrl-p,ctrl-q`` as the bytes that a terminal sends. Raises InvalidArgument."""
    keys = bytearray()
    for key in text.split(","):
        if key.startswith("ctrl-") and len(key) == 6:
            letter = key[5]
            code = ord(letter) - 96 if "a" <= letter <= "z" else CONTROLS.get(letter, -1)
        else:
            code = ord(key) if len(key) == 1 else -1
        if code < 0:
            raise InvalidArgument(f"invalid detach keys (\"{text}\"): unknown character: '{key}'")
        keys.append(code)
    return bytes(keys)


class Escape:
    """Looks for the detach keys in what is typed, and holds back what may be their beginning."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What to send on, and whether the keys were complete."""
        send = bytearray()
        for byte in typed:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(send), True
                continue
            send += self._keys[: self._matched]
            self._matched = 1 if byte == self._keys[0] else 0
            if not self._matched:
                send.append(byte)
        return bytes(send), False
