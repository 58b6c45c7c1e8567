import errno
import os
import socket
import threading
import time
from collections import deque

import pytest

from shoal.lab import delay


def test_frames_come_in_order_when_it_is_their_time() -> None:
    held = deque([(10, b"a"), (20, b"b"), (20, b"c"), (30, b"d")])
    assert delay.due(held, 9) == []
    assert delay.due(held, 20) == [b"a", b"b", b"c"]
    assert delay.due(held, 99) == [b"d"] and not held


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends that keep frames apart, as a TAP device does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    theirs.setblocking(False)
    ours.settimeout(10)
    return ours, theirs


def test_one_way_takes_its_time_and_the_other_does_not() -> None:
    port, inner_port = pair()
    end, inner_end = pair()
    descriptors = os.dup(inner_port.fileno()), os.dup(inner_end.fileno())

    def run() -> None:
        with pytest.raises(OSError):
            delay.relay(*descriptors, 200_000_000)

    thread = threading.Thread(target=run)
    thread.start()
    began = time.monotonic()
    for frame in (b"one", b"two"):
        port.send(frame)
    end.send(b"back")
    assert port.recv(100) == b"back"
    assert end.recv(100) == b"one" and end.recv(100) == b"two"
    assert time.monotonic() - began >= 0.2
    # A socket that was shut down fails as a device that is gone, with another number.
    inner_port.shutdown(socket.SHUT_RDWR)
    for opened in (port, end, inner_port, inner_end):
        opened.close()
    for descriptor in descriptors:
        os.close(descriptor)
    thread.join(10)
    assert not thread.is_alive()


def test_a_frame_for_a_link_that_is_down_is_lost() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    delay.write(writer, b"frame")
    os.close(writer)
    with pytest.raises(OSError) as raised:
        delay.read(writer)
    assert raised.value.errno == errno.EBADF


def test_no_frame_is_none() -> None:
    ours, theirs = pair()
    assert delay.read(theirs.fileno()) == b""
    ours.close()
    theirs.close()
