"""ICMP echo (RFC 792) out of a network namespace: who answers there is reached, whatever its processes do."""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from shoal.errors import NotFound, Unavailable
from shoal.kernel import netns

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
# Of linux/icmp.h: a mask of the types that are not to be delivered.
_SOL_RAW, _ICMP_FILTER = 255, 1
_HEADER = struct.Struct("!BBHHH")


class EchoSocket:
    """Sends echo requests and takes in the replies to them; never blocks."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._identifier = int.from_bytes(os.urandom(2))
        self._sequence = 0

    @classmethod
    def open(cls, namespace: Path | None) -> "EchoSocket":
        """A socket in that namespace, the own one for None. Raises Unavailable where there is no such namespace."""
        try:
            return netns.run_in(namespace, lambda: cls(_opened()))
        except (OSError, NotFound) as error:
            raise Unavailable(f"cannot send echo requests from {namespace}: {error}") from error

    def send(self, address: str) -> None:
        """Ask that address. What cannot be sent is as good as lost."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        bare = _HEADER.pack(_ECHO_REQUEST, 0, 0, self._identifier, self._sequence)
        packet = _HEADER.pack(_ECHO_REQUEST, 0, _checksum(bare), self._identifier, self._sequence)
        try:
            self._socket.sendto(packet, (address, 0))
        except OSError:
            return

    def answers(self) -> Iterator[str]:
        """The addresses whose replies have come since the last call."""
        while True:
            try:
                packet, (address, _) = self._socket.recvfrom(512)
            except BlockingIOError:
                return
            except OSError:
                # An error that came back for one of the requests.
                continue
            header = (packet[0] & 0x0F) * 4
            if len(packet) < header + _HEADER.size:
                continue
            kind, _, _, identifier, _ = _HEADER.unpack_from(packet, header)
            if kind == _ECHO_REPLY and identifier == self._identifier:
                yield address

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


def _opened() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    sock = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
    sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", ~(1 << _ECHO_REPLY) & 0xFFFFFFFF))
    return sock


def _checksum(data: bytes) -> int:
    """RFC 1071, for an even number of bytes."""
    total = sum(int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
