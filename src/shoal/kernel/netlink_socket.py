"""A netlink socket in a namespace: dumps, questions and batches of changes, with their errors.

The kernel answers a request before the send returns, so nothing here waits for anything but the kernel itself.
"""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shoal.kernel import netlink_codec as nl
from shoal.kernel import netns
from shoal.kernel.faults import KernelError, KernelInternal, fault, from_os

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK, _STRICT_CHECK = 10, 11, 12
_SO_RCVBUFFORCE = 33
_SIOCGSKNS = 0x894C
_RECEIVE = 32768  # the most that the kernel puts into one datagram of a dump
_BATCH = 128  # changes a send: their acknowledgements must fit the receive buffer all at once
_DUMP_TRIES = 8
_ERRMSG_TEXT = 1  # NLMSGERR_ATTR_MSG


@dataclass(frozen=True, slots=True)
class Change:
    """One message that changes something; ``text`` says what, for errors and dry runs."""

    type: int
    flags: int
    body: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What became of one change of a batch that did not work."""

    position: int
    change: Change
    error: KernelError


def open_socket(protocol: int, path: Path | None, *, receive_buffer: int = 1 << 20) -> socket.socket:
    """A bound netlink socket that belongs to the namespace (None: the thread's) for good. Raises NotFound."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        sock.bind((0, 0))
        return sock

    try:
        sock = netns.run_in(path, make)
        sock.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        sock.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
    except OSError as error:
        raise from_os(error, f"open a netlink socket in {path or 'this namespace'}") from error
    return sock


class NetlinkSocket:
    """Request and answer over one socket; ``protocol`` is NETLINK_ROUTE or NETLINK_NETFILTER."""

    def __init__(self, protocol: int, path: Path | None) -> None:
        self._socket = open_socket(protocol, path)
        self._sequence = 0
        # An answer that was dropped must become an error, not a thread that hangs (struct timeval: 5 s).
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, (5).to_bytes(8, "little") + bytes(8))
        if protocol == NETLINK_ROUTE:
            self._socket.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)

    def close(self) -> None:
        """Let the namespace go; closing twice is fine."""
        self._socket.close()

    @contextmanager
    def namespace(self) -> Iterator[int]:
        """A file descriptor of the socket's namespace, for the block, whether or not it has a name (SIOCGSKNS)."""
        try:
            fd = fcntl.ioctl(self._socket, _SIOCGSKNS)
        except OSError as error:
            raise from_os(error, "find a socket's namespace") from error
        try:
            yield fd
        finally:
            os.close(fd)

    def dump(self, type_: int, body: bytes) -> list[nl.Frame]:
        """All objects that the request names, from one consistent moment. Raises what :func:`faults.fault` makes."""
        for _ in range(_DUMP_TRIES):
            found, interrupted = self._dump(type_, body)
            if not interrupted:
                return found
        raise KernelInternal("the kernel's tables change faster than they can be read", errno.EAGAIN)

    def ask(self, type_: int, body: bytes, doing: str) -> nl.Frame:
        """The one answer to a question. Raises what :func:`faults.fault` makes of a refusal."""
        sequence = self._send([(type_, nl.NLM_F_REQUEST, body)])
        while True:
            for frame in nl.frames(self._receive()):
                if frame.sequence != sequence:
                    continue
                if frame.type == nl.NLMSG_ERROR:
                    raise _refusal(frame, doing)
                return frame

    def apply(self, changes: Sequence[Change]) -> None:
        """Try every change, in order, and raise the first failure's error; those after a failure are tried too."""
        failures = self.attempt(changes)
        if failures:
            raise failures[0].error

    def attempt(self, changes: Sequence[Change]) -> list[Failure]:
        """Try every change, in order, whatever becomes of those before it; what failed, in order."""
        failures: list[Failure] = []
        for start in range(0, len(changes), _BATCH):
            batch = changes[start : start + _BATCH]
            last = self._send([(c.type, c.flags | nl.NLM_F_REQUEST | nl.NLM_F_ACK, c.body) for c in batch])
            first = last - len(batch) + 1
            waiting = len(batch)
            while waiting:
                for frame in nl.frames(self._receive()):
                    if frame.type != nl.NLMSG_ERROR or not first <= frame.sequence <= last:
                        continue
                    waiting -= 1
                    if nl.to_s32(frame.body):
                        change = batch[frame.sequence - first]
                        failures.append(Failure(start + frame.sequence - first, change, _refusal(frame, change.text)))
        return failures

    def _dump(self, type_: int, body: bytes) -> tuple[list[nl.Frame], bool]:
        sequence = self._send([(type_, nl.NLM_F_REQUEST | nl.NLM_F_DUMP, body)])
        found: list[nl.Frame] = []
        interrupted = False
        while True:
            for frame in nl.frames(self._receive()):
                if frame.sequence != sequence:
                    continue
                interrupted |= bool(frame.flags & nl.NLM_F_DUMP_INTR)
                if frame.type == nl.NLMSG_ERROR or (frame.type == nl.NLMSG_DONE and nl.to_s32(frame.body)):
                    raise _refusal(frame, "read the kernel's tables")
                if frame.type == nl.NLMSG_DONE:
                    return found, interrupted
                found.append(frame)

    def _send(self, requests: Sequence[tuple[int, int, bytes]]) -> int:
        """Send requests in one datagram; the sequence number of the last."""
        if self._sequence > 0xF0000000:
            self._sequence = 0
        parts = []
        for type_, flags, body in requests:
            self._sequence += 1
            parts.append(nl.pack_message(type_, flags, self._sequence, body))
        try:
            self._socket.send(b"".join(parts))
        except OSError as error:
            raise from_os(error, "ask the kernel") from error
        return self._sequence

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(_RECEIVE)
        except OSError as error:
            raise from_os(error, "hear from the kernel") from error


def _refusal(frame: nl.Frame, doing: str) -> KernelError:
    """The error in an NLMSG_ERROR or NLMSG_DONE, with the kernel's extended text where it gives one."""
    detail = ""
    if frame.flags & nl.NLM_F_ACK_TLVS:
        # after the number an NLMSG_ERROR repeats the request's head, an NLMSG_DONE does not
        extended = nl.attributes(frame.body, 20 if frame.type == nl.NLMSG_ERROR else 4)
        detail = nl.to_string(extended.get(_ERRMSG_TEXT, b"")).rstrip(".")
    return fault(-nl.to_s32(frame.body), doing, detail)
