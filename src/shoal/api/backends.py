"""What the routes of the system, the swarm and its networks need of the daemon.

``ref`` is an id, a name or the beginning of an id. Errors are the kinds of :mod:`shoal.errors` with Docker's texts.
The manager's controls satisfy the Protocols of :class:`Controls` as they are; the daemon adapts the others.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from shoal.aio.broadcast import Subscription
from shoal.objects.cluster import Cluster, ClusterSpec
from shoal.objects.container import EndpointSettings
from shoal.objects.events import EventMessage
from shoal.objects.node import Node, NodeSpec
from shoal.objects.results import LogLine, LogQuery
from shoal.objects.service import Service, ServiceSpec
from shoal.objects.task import Task
from shoal.wire.docker.auth import AuthAnswer, AuthConfig
from shoal.wire.docker.networks import NetworkAnswer, NetworkCreate, NetworkCreated
from shoal.wire.docker.swarm import StateImported, SwarmInfo, SwarmInit, SwarmJoin, TokenRotation
from shoal.wire.docker.system import DiskUsage, DistributionInspect, Info, Version


class EventSource(Protocol):
    """Where events come from (``shoal.engine.events.Events`` is one)."""

    def since(self, moment: datetime) -> Sequence[EventMessage]:
        """The remembered events from ``moment`` on, the oldest first."""
        ...

    def subscribe(self) -> AbstractContextManager[Subscription[EventMessage]]:
        """Everything from now on; ended when the daemon stops."""
        ...


class SystemBackend(Protocol):
    """The engine as a whole, and its machine."""

    @property
    def events(self) -> EventSource: ...

    def version(self) -> Version: ...

    async def info(self) -> Info:
        """All but the swarm's part."""
        ...

    async def disk_usage(self, kinds: Collection[str]) -> DiskUsage:
        """What takes how much room; ``kinds`` out of container, image, volume and build-cache, the others are None."""
        ...

    async def authenticate(self, auth: AuthConfig) -> AuthAnswer:
        """Try credentials at their registry. Raises Unauthorized, or Unavailable when it does not answer."""
        ...

    async def distribution(self, ref: str, auth: AuthConfig | None) -> DistributionInspect:
        """What a registry has under an image's name. Raises InvalidArgument, NotFound, Unauthorized, Unavailable."""
        ...


class ClusterBackend(Protocol):
    """The swarm object."""

    def get(self) -> Cluster: ...


class NodeBackend(Protocol):
    """The swarm's nodes; ``self`` as a name is this one."""

    def list(self) -> list[Node]: ...

    def get(self, text: str) -> Node: ...

    async def update(self, text: str, spec: NodeSpec, version: int) -> None: ...

    async def remove(self, text: str, *, force: bool) -> None: ...


class ServiceBackend(Protocol):
    """The swarm's services."""

    def list(self, *, status: bool = False) -> list[Service]: ...

    def get(self, text: str) -> Service: ...

    async def create(self, spec: ServiceSpec) -> Service: ...

    async def update(self, text: str, spec: ServiceSpec, version: int, *, rollback: bool = False) -> None: ...

    async def remove(self, text: str) -> Service: ...


class TaskBackend(Protocol):
    """The services' tasks."""

    def list(self) -> list[Task]: ...

    def get(self, text: str) -> Task: ...


class Controls(Protocol):
    """What only a manager has (``shoal.manager.manager.Manager`` is one)."""

    @property
    def cluster(self) -> ClusterBackend: ...
    @property
    def nodes(self) -> NodeBackend: ...
    @property
    def services(self) -> ServiceBackend: ...
    @property
    def tasks(self) -> TaskBackend: ...


class SwarmLogLine(Protocol):
    """A line that a task has written, and which task that is."""

    @property
    def line(self) -> LogLine: ...
    @property
    def task(self) -> Task: ...


class SwarmBackend(Protocol):
    """This node's part in a swarm."""

    def control(self) -> Controls:
        """The manager's controls. Raises Unavailable with Docker's text on a node that is no manager."""
        ...

    def info(self) -> SwarmInfo:
        """Where this node stands; nodes, managers and cluster are left to the API."""
        ...

    async def init(self, request: SwarmInit) -> str:
        """Found a swarm; returns this node's id. Raises Unavailable when it is in one, InvalidArgument."""
        ...

    async def join(self, request: SwarmJoin) -> None: ...

    async def leave(self, *, force: bool) -> None:
        """Raises Unavailable with Docker's text: no swarm, or a manager without ``force``."""
        ...

    async def update(self, spec: ClusterSpec, version: int, rotation: TokenRotation) -> None:
        """Raises Unavailable on a node that is no manager, InvalidArgument."""
        ...

    async def unlock_key(self) -> str:
        """Empty where managers are not locked. Raises Unavailable on a node that is no manager."""
        ...

    async def unlock(self, key: str) -> None:
        """Raises Conflict when the swarm is not locked, InvalidArgument for a wrong key."""
        ...

    async def logs(self, target: Service | Task, query: LogQuery) -> AsyncIterator[SwarmLogLine]:
        """What a task, or every task of a service, has written, wherever it runs; with ``query.follow`` also what
        they write from now on, and the service's later tasks. ``query.tail`` counts for each task. Raises Unavailable
        after the lines when there are some that nobody can get at."""
        ...


class StateBackend(Protocol):
    """The swarm's state as one file."""

    def export_state(self) -> AsyncIterator[bytes]:
        """A backup at one revision. Raises Unavailable on a node that is no manager."""
        ...

    async def import_state(
        self, pieces: AsyncIterator[bytes], *, force: bool, listen: str, advertise: str
    ) -> StateImported:
        """Found a backup's swarm again; addresses as for ``init``. Raises InvalidArgument for a file that is none,
        Unavailable for a node in a swarm without ``force``."""
        ...


class NetworkBackend(Protocol):
    """This node's own networks and the swarm's, as one."""

    async def list(self) -> Sequence[NetworkAnswer]:
        """All of them, without containers, peers and services."""
        ...

    async def in_use(self) -> Collection[str]:
        """The ids of the networks that containers of this node are on."""
        ...

    async def get(self, ref: str, *, scope: str, verbose: bool) -> NetworkAnswer:
        """One, with all that is known of it. ``scope`` is local, swarm or empty for either; ``verbose`` asks a manager
        for the services on it too."""
        ...

    async def create(self, request: NetworkCreate) -> NetworkCreated: ...

    async def remove(self, ref: str) -> None: ...

    async def connect(self, ref: str, container: str, settings: EndpointSettings | None) -> None: ...

    async def disconnect(self, ref: str, container: str, *, force: bool) -> None: ...

    async def prune(self, filters: Mapping[str, Sequence[str]]) -> Sequence[str]:
        """Remove what nothing uses; returns names. ``filters`` has until, label and label!. Raises InvalidArgument."""
        ...
