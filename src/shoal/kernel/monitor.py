"""What changes in a namespace, as it changes: links, addresses, routes, rules, neighbours, FDB entries, nft rules."""

import errno
import socket
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from shoal.kernel import netlink_codec as nl
from shoal.kernel import records as r
from shoal.kernel.faults import from_os
from shoal.kernel.netlink_socket import NETLINK_NETFILTER, NETLINK_ROUTE, open_socket

# RTNLGRP_*: LINK, NEIGH, IPV4_IFADDR, IPV4_ROUTE, IPV4_RULE, IPV6_IFADDR, IPV6_ROUTE, IPV6_RULE
_GROUPS = (1, 3, 5, 7, 8, 9, 11, 19)
_NEIGHBOURS = 3
_NFTABLES = 7  # NFNLGRP_NFTABLES
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_RECEIVE = 32768

Subject = r.Link | r.Address | r.Route | r.Rule | r.Neighbour | r.FdbEntry


class EventKind(Enum):
    """What an event is about. PORT: a bridge's view of one of its ports. OVERRUN: events were lost, read it all."""

    LINK = auto()
    ADDRESS = auto()
    ROUTE = auto()
    RULE = auto()
    NEIGHBOUR = auto()
    FDB = auto()
    PORT = auto()
    OVERRUN = auto()


@dataclass(frozen=True, slots=True)
class Event:
    """Something came, changed, or (``gone``) went; PORT and OVERRUN have no subject."""

    kind: EventKind
    gone: bool = False
    subject: Subject | None = None


class Monitor:
    """Subscribed from the moment it is open; for ``loop.add_reader(monitor.fileno(), ...)``, which calls read.

    The kernel tells of a new alias only while the link is up.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    def open(cls, path: Path | None, receive_buffer: int = 1 << 23, *, neighbours: bool = True) -> "Monitor":
        """Listen in the namespace at ``path`` (None: the thread's own). Raises NotFound.

        The buffer takes about 4 KiB an event; beyond it events are lost, and an OVERRUN says so. Neighbours, and FDB
        entries with them, change by themselves wherever there is traffic.
        """
        sock = open_socket(NETLINK_ROUTE, path, receive_buffer=receive_buffer)
        sock.setblocking(False)
        for group in _GROUPS if neighbours else (group for group in _GROUPS if group != _NEIGHBOURS):
            sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        return cls(sock)

    def close(self) -> None:
        """Stop listening and let the namespace go; closing twice is fine."""
        self._socket.close()

    def fileno(self) -> int:
        """Readable when there are events."""
        return self._socket.fileno()

    def read(self, limit: int = 100) -> list[Event]:
        """What has come so far, from at most ``limit`` datagrams so that the loop goes on; never waits."""
        events: list[Event] = []
        for _ in range(limit):
            try:
                data = self._socket.recv(_RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise from_os(error, "hear from the kernel") from error
                events.append(Event(EventKind.OVERRUN))
                continue
            for frame in nl.frames(data):
                if event := _event(frame):
                    events.append(event)
        return events


class RulesetMonitor:
    """Says that somebody has changed something in a namespace's nft ruleset; what, whoever cares reads."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    @classmethod
    def open(cls, path: Path | None) -> "RulesetMonitor":
        """Listen in the namespace at ``path`` (None: the thread's own). Raises NotFound."""
        sock = open_socket(NETLINK_NETFILTER, path)
        sock.setblocking(False)
        sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES)
        return cls(sock)

    def close(self) -> None:
        """Stop listening and let the namespace go; closing twice is fine."""
        self._socket.close()

    def fileno(self) -> int:
        """Readable when something has changed."""
        return self._socket.fileno()

    def read(self) -> None:
        """Take in what has come so far; never waits."""
        while True:
            try:
                self._socket.recv(_RECEIVE)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise from_os(error, "hear from the kernel") from error


def _event(frame: nl.Frame) -> Event | None:
    # the four types of each kind of object are NEW, DEL, GET, SET, from 16 on; a VXLAN device that misses an entry
    # says so with a GET
    if frame.type & 3 > 1:
        return None
    family, gone = frame.body[0], frame.type & 3 == 1
    match frame.type & ~3:
        case 16 if family == r.AF_BRIDGE:  # its DELLINK means that the link has left the bridge, and lives
            return Event(EventKind.PORT, gone)
        case 16:
            return Event(EventKind.LINK, gone, r.decode_link(frame.body))
        case 20 if r.is_ip(frame.body):
            return Event(EventKind.ADDRESS, gone, r.decode_address(frame.body))
        case 24 if r.is_ip(frame.body):
            return Event(EventKind.ROUTE, gone, r.decode_route(frame.body))
        case 28 if family == r.AF_BRIDGE:
            return Event(EventKind.FDB, gone, r.decode_fdb(frame.body))
        case 28 if r.is_ip(frame.body):
            return Event(EventKind.NEIGHBOUR, gone, r.decode_neighbour(frame.body))
        case 32 if r.is_ip(frame.body):
            return Event(EventKind.RULE, gone, r.decode_rule(frame.body))
        case _:
            return None
