"""What shoald and its keeper say to each other over ``keeper.sock``, and what the keeper writes to its state folder.

A message is a 4-byte big-endian length and that many bytes of MessagePack: a :class:`Request` one way, a
:class:`Reply` with the same id the other. Requests of one connection run side by side; every command may be sent
again (they say what should be, not what should change), so a client repeats what a dying keeper left unanswered.

After the reply to :class:`Attach` the connection changes its language: frames with an 8-byte header follow, the
stream's number, three zeros and a big-endian length, as in Docker's own multiplexed streams ("Stream format" of
``POST /containers/{id}/attach``), so that stdout and stderr frames can be handed to an API client as they are.
"""

import struct
from enum import IntEnum, StrEnum

from msgspec import Struct

LENGTH = struct.Struct(">I")
MAX_MESSAGE = 64 << 20
FRAME = struct.Struct(">BxxxI")

VIP_TTL = 600  # a service's address outlives its tasks; Docker gives the same
TASK_TTL = 5  # a task's or container's address goes with it


class Stream(IntEnum):
    """The first byte of a frame. 0 to 2 are Docker's; the others never leave the node."""

    STDIN = 0  # to the container; an empty frame closes it, where the container was opened with stdin_once
    STDOUT = 1
    STDERR = 2
    END = 4  # all output has been sent; the connection is closed after it
    STDIN_CLOSED = 5  # all of stdin has been read and the keeper's end is closed: time for containerd's CloseIO


class LogDriver(StrEnum):
    """Where a container's output is kept."""

    JSON_FILE = "json-file"
    NONE = "none"


class LogOptions(Struct, frozen=True):
    """One container's log. ``max_size`` is in bytes, -1 for no limit; ``max_file`` counts the current file too."""

    path: str = ""
    driver: LogDriver = LogDriver.JSON_FILE
    max_size: int = -1
    max_file: int = 1


class Stdio(Struct, frozen=True):
    """One container's, or exec session's, streams: paths of FIFOs, which the keeper makes where they are missing.

    ``stdin_once``: stdin ends when the first attached client ends its own (never with a TTY, as in Docker).
    """

    container_id: str
    stdout: str
    stderr: str | None = None  # None with a TTY
    stdin: str | None = None
    tty: bool = False
    stdin_once: bool = False
    log: LogOptions = LogOptions(driver=LogDriver.NONE)


class Record(Struct, frozen=True):
    """A name and its addresses, of either family. ``shuffle``: each answer starts with another one of them."""

    name: str
    addresses: tuple[str, ...]
    shuffle: bool = False
    ttl: int = VIP_TTL


class Pointer(Struct, frozen=True):
    """The way back, from an address to its name."""

    address: str
    name: str


class NetworkRecords(Struct, frozen=True):
    """What everybody on one network may ask for."""

    records: tuple[Record, ...] = ()
    pointers: tuple[Pointer, ...] = ()


class Upstream(Struct, frozen=True):
    """A resolver that is asked, from the host's namespace, for what no network knows."""

    address: str
    port: int = 53


class Zone(Struct, frozen=True):
    """What one sandbox may ask for: its own names (links, aliases), then its networks' in this order, then upstream."""

    networks: tuple[str, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    records: tuple[Record, ...] = ()
    pointers: tuple[Pointer, ...] = ()


class Sandbox(Struct, frozen=True):
    """One sandbox that is answered: where, and what. Port 0 lets the kernel choose (once: it is kept)."""

    sandbox_id: str
    netns_path: str
    zone: Zone
    address: str = "127.0.0.11"
    udp_port: int = 53
    tcp_port: int = 53


class Command(Struct, frozen=True, tag=True):
    """Base of all commands."""


class Hello(Command, frozen=True):
    """Who are you; answered by :class:`Status`."""


class Shutdown(Command, frozen=True):
    """End. The state folder stays, so the next keeper goes on."""


class Open(Command, frozen=True):
    """Make and read a container's FIFOs from now on."""

    stdio: Stdio


class Drain(Command, frozen=True):
    """The container's process has exited: read to the end of its output, at most ``timeout`` s, then answer."""

    container_id: str
    timeout: float


class Close(Command, frozen=True):
    """Forget the container, remove its FIFOs; the log stays."""

    container_id: str


class Attach(Command, frozen=True):
    """Turn this connection into a container's live streams.

    ``lossless``: the container waits when this client does not keep up, as under Docker, and nothing is missing from
    a long pipe; without it a client that falls 4 MiB behind is dropped.
    """

    container_id: str
    stdin: bool
    stdout: bool
    stderr: bool
    lossless: bool


class Serve(Command, frozen=True):
    """Answer names in a sandbox; answered by :class:`Ports`."""

    sandbox: Sandbox


class SetZones(Command, frozen=True):
    """New zones for sandboxes that are served."""

    zones: dict[str, Zone]


class SetNetworks(Command, frozen=True):
    """All records of these networks; None forgets a network."""

    networks: dict[str, NetworkRecords | None]


class Stop(Command, frozen=True):
    """Close a sandbox's sockets (they would keep its namespace alive) and forget it."""

    sandbox_id: str


AnyCommand = Hello | Shutdown | Open | Drain | Close | Attach | Serve | SetZones | SetNetworks | Stop


class Result(Struct, frozen=True, tag=True):
    """Base of all answers that carry something."""


class Status(Result, frozen=True):
    """The keeper and what it holds."""

    pid: int
    version: str
    containers: tuple[str, ...] = ()
    sandboxes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


class Ports(Result, frozen=True):
    """Where a sandbox's names are answered."""

    udp: int
    tcp: int


class Failure(Result, frozen=True):
    """A :mod:`shoal.errors` kind by its class name, and its text."""

    kind: str
    message: str


class Request(Struct, frozen=True):
    """One command; the reply carries the same id."""

    id: int
    command: AnyCommand


class Reply(Struct, frozen=True):
    """The answer to the request of that id; no result means done."""

    id: int
    result: Status | Ports | Failure | None = None
