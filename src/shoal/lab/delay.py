"""A wire that takes its time, where the kernel has no netem: a program that holds frames in user space.

    python delay.py PORT END NANOSECONDS

It makes two TAP devices in the network namespace where it is started, says ``ready``, and passes frames from one to
the other: those into PORT come out of END after so long, those into END at once. It ends when either is removed, and
takes the other along (Documentation/networking/tuntap.rst).
"""

import errno
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from typing import NoReturn

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_FRAME = 65536 + 14
# What netem holds at most, too. More is lost, as on any wire.
_HELD = 100_000

Queue = deque[tuple[int, bytes]]


def tap(name: str) -> int:
    """The descriptor of a new TAP device, which goes when that is closed."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    return fd


def read(fd: int) -> bytes:
    """A frame; none when there is none now. Raises OSError once the device is gone."""
    try:
        return os.read(fd, _FRAME)
    except BlockingIOError:
        return b""


def write(fd: int, frame: bytes) -> None:
    """Hand a frame on; one that the other side does not take now, being down or full, is lost."""
    try:
        os.write(fd, frame)
    except OSError as error:
        if error.errno == errno.EBADFD:  # the device is gone; else it is down
            raise


def due(held: Queue, now: int) -> list[bytes]:
    """The frames whose time has come, taken out of those that are held."""
    frames = []
    while held and held[0][0] <= now:
        frames.append(held.popleft()[1])
    return frames


def relay(port: int, end: int, nanoseconds: int) -> NoReturn:
    """Pass frames on. Raises OSError (EBADFD) once a device is gone."""
    held: Queue = deque()
    while True:
        wait = max(held[0][0] - time.monotonic_ns(), 0) / 1e9 if held else None
        readable, _, _ = select.select([port, end], [], [], wait)
        for fd in readable:
            # A few at a time, so that what is due does not wait for all that comes.
            for _ in range(64):
                if not (frame := read(fd)):
                    break
                if fd == end:
                    write(port, frame)
                elif len(held) < _HELD:
                    held.append((time.monotonic_ns() + nanoseconds, frame))
        for frame in due(held, time.monotonic_ns()):
            write(end, frame)


def main(port: str, end: str, nanoseconds: str) -> int:
    """The program."""
    try:
        fds = tap(port), tap(end)
    except OSError as error:
        sys.stdout.write(f"/dev/net/tun: {error.strerror}\n")
        return 1
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    # Who started it does not wait for its end.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    try:
        relay(*fds, int(nanoseconds))
    except OSError as error:
        return 0 if error.errno == errno.EBADFD else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
