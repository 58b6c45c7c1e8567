"""What a node's engine answers to the API, where it is neither an object nor a mere text.

The engine makes these, the API's routes read them; neither knows the other.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from shoal.objects.container import Pascal


class Created(Pascal, frozen=True):
    """A container was made; the warnings are for the user."""

    id: str
    warnings: list[str] = msgspec.field(default_factory=list)


class ExitResult(msgspec.Struct, frozen=True):
    """How a container's process ended; ``error`` says why it could not be waited for any longer."""

    code: int
    error: str | None = None


class LogQuery(msgspec.Struct, frozen=True):
    """Which of a container's log lines: times in ns since 1970, both included; ``tail`` None is all of them."""

    stdout: bool = True
    stderr: bool = True
    follow: bool = False
    since: int | None = None
    until: int | None = None
    tail: int | None = None


class LogLine(Protocol):
    """A log entry. ``time`` in ns since 1970; data that does not end with a newline goes on in this stream's next."""

    @property
    def stream(self) -> Literal["stdout", "stderr"]: ...
    @property
    def time(self) -> int: ...
    @property
    def data(self) -> bytes: ...


class DiskUse(Protocol):
    """Bytes and operations on one block device, since the container started."""

    @property
    def major(self) -> int: ...
    @property
    def minor(self) -> int: ...
    @property
    def read_bytes(self) -> int: ...
    @property
    def write_bytes(self) -> int: ...
    @property
    def reads(self) -> int: ...
    @property
    def writes(self) -> int: ...


class CgroupUsage(Protocol):
    """What a container's cgroup has used; times in nanoseconds, sizes in bytes, a limit of 0 is none."""

    @property
    def cpu_total(self) -> int: ...
    @property
    def cpu_user(self) -> int: ...
    @property
    def cpu_system(self) -> int: ...
    @property
    def throttle_periods(self) -> int: ...
    @property
    def throttled_periods(self) -> int: ...
    @property
    def throttled_time(self) -> int: ...
    @property
    def per_cpu(self) -> Sequence[int]: ...
    @property
    def memory(self) -> int: ...
    @property
    def memory_max(self) -> int: ...
    @property
    def memory_limit(self) -> int: ...
    @property
    def memory_failures(self) -> int: ...
    @property
    def memory_detail(self) -> Mapping[str, int]: ...
    @property
    def pids(self) -> int: ...
    @property
    def pids_limit(self) -> int: ...
    @property
    def disks(self) -> Sequence[DiskUse]: ...


class InterfaceCounters(msgspec.Struct, frozen=True):
    """What went through one of a sandbox's interfaces (Engine API, ``ContainerNetworkStats``)."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0


class StatsSample(msgspec.Struct, frozen=True):
    """A container's use of the machine at one moment.

    ``system_cpu``: what all the machine's CPUs have worked and idled since boot, in ns. ``memory_total``: the
    machine's, in bytes, which is the limit of a container that has none. ``usage`` is None where nothing runs.
    """

    read: datetime
    usage: CgroupUsage | None = None
    system_cpu: int = 0
    online_cpus: int = 0
    memory_total: int = 0
    networks: dict[str, InterfaceCounters] = {}


class Change(Pascal, frozen=True):
    """A path that a container changed: ``kind`` 0 modified, 1 added, 2 deleted."""

    path: str
    kind: int


class PathStat(msgspec.Struct, frozen=True, rename="camel"):
    """A file in a container; ``mode`` in the bits of Go's ``fs.FileMode``, ``mtime`` RFC 3339."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str = ""


class PruneResult(msgspec.Struct, frozen=True):
    """Ids (or names) of what was removed, and the bytes that this freed."""

    deleted: list[str]
    space: int = 0
