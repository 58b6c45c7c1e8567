"""What the engine asks of a container runtime, and the words for it.

A container is a specification and a root file system under an id; its task is the running side, there between
``create_task`` and ``delete_task``; a process is the task's own (``exec_id`` empty) or one that was put in by ``exec``.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from enum import Enum
from typing import Protocol

import msgspec

from shoal.container.cgroups import Usage
from shoal.container.oci import OciSpec, Process, Resources
from shoal.container.rootfs import RootMount, SnapshotUsage


class Stdio(msgspec.Struct, frozen=True):
    """Where a process's input and output are: paths of FIFOs, which the caller makes; an empty one is /dev/null.

    Who reads a FIFO has it open before the process is made, and holds a writing end too if it is to survive a writer's
    absence. With a terminal, ``stderr`` is empty: everything comes on ``stdout``.
    """

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


class ProcessStatus(Enum):
    """How far a process is."""

    UNKNOWN = "unknown"
    CREATED = "created"
    RUNNING = "running"
    STOPPED = "stopped"
    PAUSED = "paused"
    PAUSING = "pausing"


class ExitStatus(msgspec.Struct, frozen=True):
    """How a process ended: its exit code, or 128 and the signal that killed it."""

    code: int
    at: datetime


class ProcessState(msgspec.Struct, frozen=True):
    """A process as the runtime sees it; ``exit`` is there once it has stopped."""

    pid: int
    status: ProcessStatus
    exit: ExitStatus | None = None


class ContainerState(msgspec.Struct, frozen=True):
    """A container, and its task's process if it has a task."""

    id: str
    labels: Mapping[str, str]
    process: ProcessState | None


class ProcessStarted(msgspec.Struct, frozen=True):
    """A container's first process runs."""

    container_id: str
    pid: int


class ProcessExited(msgspec.Struct, frozen=True):
    """A process ended; ``exec_id`` is empty for the container's first."""

    container_id: str
    exec_id: str
    pid: int
    exit: ExitStatus


class OutOfMemory(msgspec.Struct, frozen=True):
    """The kernel killed something in the container for want of memory."""

    container_id: str


class EventsBegin(msgspec.Struct, frozen=True):
    """The stream of events begins, for the first time or again: what happened before is seen by ``list`` alone."""


RuntimeEvent = ProcessStarted | ProcessExited | OutOfMemory | EventsBegin


class Runtime(Protocol):
    """Makes containers, runs tasks in them. Every method raises NotFound for what is not there, Unavailable while the
    runtime does not answer, FailedPrecondition when the state does not allow it, Internal with the runtime's own words
    otherwise."""

    async def create(
        self, container_id: str, spec: OciSpec, *, parent: str, labels: Mapping[str, str], image: str = ""
    ) -> None:
        """Make a container with a writable snapshot on top of the chain ``parent`` (empty: on nothing). On failure
        nothing is left. Raises Conflict when the id is taken."""
        ...

    async def remove(self, container_id: str) -> None:
        """Remove a container without a task, and its snapshot; what is gone already is no error."""
        ...

    async def create_task(self, container_id: str, stdio: Stdio, *, spec: OciSpec | None = None) -> int:
        """Prepare the first process, up to but not including its program; returns its pid. ``spec`` replaces the
        container's. Now its namespaces are there to be worked on."""
        ...

    async def start(self, container_id: str, exec_id: str = "") -> int:
        """Run the program; returns the pid."""
        ...

    async def kill(self, container_id: str, signal: int, *, exec_id: str = "", everything: bool = False) -> None:
        """Send a signal to the process, or to every process of the container. NotFound when it has ended."""
        ...

    async def wait(self, container_id: str, exec_id: str = "") -> ExitStatus:
        """Return once the process has ended, at once if it has; outlasts a restart of the runtime."""
        ...

    async def delete_task(self, container_id: str, exec_id: str = "") -> ExitStatus | None:
        """Clear an ended process away, the task with its first; None when it is gone already."""
        ...

    async def exec(self, container_id: str, exec_id: str, process: Process, stdio: Stdio) -> None:
        """Add a process to a running task; ``start`` runs it. Raises Conflict when the exec's id is taken."""
        ...

    async def pause(self, container_id: str) -> None:
        """Freeze every process."""
        ...

    async def resume(self, container_id: str) -> None:
        """Thaw them."""
        ...

    async def resize(self, container_id: str, *, height: int, width: int, exec_id: str = "") -> None:
        """Tell the terminal its size in characters."""
        ...

    async def close_stdin(self, container_id: str, exec_id: str = "") -> None:
        """Let the process see the end of its input, once all writers have closed."""
        ...

    async def update(self, container_id: str, resources: Resources) -> None:
        """Change the running task's limits."""
        ...

    async def state(self, container_id: str, exec_id: str = "") -> ProcessState:
        """Raises NotFound when there is no task."""
        ...

    async def list(self) -> list[ContainerState]:
        """Every container."""
        ...

    async def pids(self, container_id: str) -> tuple[int, ...]:
        """The processes in the container, in the host's numbers."""
        ...

    async def usage(self, container_id: str) -> Usage:
        """What the running container has used."""
        ...

    async def rootfs(self, container_id: str) -> tuple[RootMount, ...]:
        """The mounts that show its root file system."""
        ...

    async def disk_usage(self, container_id: str) -> SnapshotUsage:
        """What the container itself has written."""
        ...

    def events(self) -> AsyncIterator[RuntimeEvent]:
        """What happens, from now on and for ever: a lost connection is made again, and ``EventsBegin`` says so."""
        ...
