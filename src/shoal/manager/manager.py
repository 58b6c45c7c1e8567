"""A manager: its store, the controls that the API calls, the nodes' port, and, while it leads, what a leader does."""

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime

from msgspec.structs import replace

from shoal.aio.clock import SteadyClock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import ShoalError
from shoal.manager.admission import Admission
from shoal.manager.control.cluster import ClusterControl
from shoal.manager.control.networks import NetworkControl
from shoal.manager.control.nodes import NodeControl
from shoal.manager.control.services import ServiceControl
from shoal.manager.control.tasks import TaskControl
from shoal.manager.dispatcher.dispatcher import Dispatcher
from shoal.manager.dispatcher.server import DispatcherServer, Elsewhere
from shoal.manager.dispatcher.snapshot import managers_of
from shoal.manager.dispatcher.streams import NodeStream, Streams
from shoal.manager.leader import Leader
from shoal.manager.logs import Logs
from shoal.manager.seats import MANAGER, Quorum
from shoal.objects.base import parse_time
from shoal.objects.ids import NodeId
from shoal.objects.node import Node
from shoal.pki.identity import NodeIdentity
from shoal.store.backend import Backend
from shoal.store.election import Leadership
from shoal.store.etcd.members import Member
from shoal.store.store import Store
from shoal.store.tables import Stored
from shoal.wire.cluster import ReadLog

_log = logging.getLogger(__name__)
# Before a leadership that could not be begun, or is not to be had, is tried for again, in seconds.
_AGAIN = 0.2


class Manager:
    """Runs while this node is a manager; owns the store that it is given.

    ``relay`` has the leader ask a node for a stream; ``advertise`` is where nodes reach this manager. ``unreached`` are
    the nodes that this one does not reach; ``check_more`` raises FailedPrecondition where there cannot be another
    manager.
    """

    def __init__(
        self,
        *,
        store: Store,
        quorum: Quorum,
        clock: SteadyClock,
        node_id: str,
        advertise: str,
        tls: ssl.SSLContext,
        identify: Callable[[ssl.SSLObject], NodeIdentity],
        relay: Callable[[str, ReadLog], Awaitable[None]],
        unreached: Callable[[], Collection[str]],
        check_more: Callable[[str | None], None],
        networks_in_use: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
    ) -> None:
        self.store = store
        self.node_id = node_id
        self.cluster = ClusterControl(store, clock)
        self.nodes = NodeControl(store, node_id, clock, check_more=check_more)
        self.networks = NetworkControl(store)
        self.services = ServiceControl(store)
        self.tasks = TaskControl(store)
        self._quorum = quorum
        self._clock = clock
        self._advertise = advertise
        self._relay = relay
        self._unreached = unreached
        self._in_use = networks_in_use
        self._streams = Streams()
        self._leader: Leader | None = None
        self._leading: asyncio.Task[None] | None = None
        self.logs = Logs(store=store, nodes=self, clock=clock)
        self._server = DispatcherServer(
            dispatcher=self._dispatcher,
            streams=self._streams,
            admission=Admission(store, clock, check_more=check_more),
            seats=self._seats,
            tls=tls,
            identify=identify,
        )

    async def start(self, host: str, port: int) -> None:
        """Listen for nodes, and lead when it is this manager's turn. Raises Conflict when the port is taken."""
        await self._server.start(host, port)
        self._leading = spawn(self._lead(), name="leadership")

    async def stop(self) -> None:
        """End the sessions and the loops, and close the store."""
        self.logs.close()
        await cancel(self._leading)
        await self._server.stop()
        await self.store.close()

    async def share(self, backend: Backend, quorum: Quorum, *, settle: Callable[[], Awaitable[None]]) -> None:
        """Move the state to where other managers have it too (:meth:`shoal.store.store.Store.move`). Nobody leads
        meanwhile; what fails leaves everything as it was."""
        await cancel(self._leading)
        try:
            await self.store.move(backend, settle=settle)
            self._quorum = quorum
        finally:
            self._leading = spawn(self._lead(), name="leadership")

    @property
    def is_leader(self) -> bool:
        """Whether the swarm's loops run here."""
        return self._leader is not None

    @property
    def managers(self) -> dict[str, str]:
        """Where nodes reach the swarm's managers, by node; the leader first."""
        return managers_of(self.store.view)

    async def resign(self) -> None:
        """Be a manager no longer, as far as that is this one's to say: its seat is taken from it by the leader."""
        await self.nodes.demote(self.node_id)

    async def _lead(self) -> None:
        """Lead whenever this manager is elected, until cancelled."""
        while True:
            if self._is_wanted():
                try:
                    async with self._quorum.election.lead() as leadership:
                        await self._while_leading(leadership)
                except ShoalError as error:
                    _log.warning("this manager was elected, and cannot lead: %s", error)
                except Exception:  # noqa: BLE001 (somebody has to lead; each failure is logged in full)
                    _log.exception("this manager's leadership failed")
            await self._clock.sleep(_AGAIN)

    async def _while_leading(self, leadership: Leadership) -> None:
        leader = Leader(
            store=self.store.fenced(leadership.fence),
            clock=self._clock,
            node_id=self.node_id,
            networks_in_use=self._in_use,
            streams=self._streams,
            unreached=self._unreached,
            quorum=self._quorum,
        )
        ending = spawn(self._over(leadership), name="end of the leadership")
        try:
            await leader.start()
            # Delays count from moments in the store, which another manager's clock may have written.
            if written := await asyncio.to_thread(_last_written, self.store.snapshot()[1]):
                self._clock.advance_to(written)
            self._leader = leader
            await ending
        finally:
            self._leader = None
            await cancel(ending)
            await leader.stop()

    async def _over(self, leadership: Leadership) -> None:
        """Until the leadership is lost, or this node is to be no manager any more: somebody else is to see it out."""
        losing = spawn(leadership.over(), name="loss of the leadership")
        try:
            while not losing.done() and self._is_wanted():
                await asyncio.wait([losing], timeout=_AGAIN)
        finally:
            await cancel(losing)

    def _is_wanted(self) -> bool:
        """Whether this node is to be a manager, as far as the store says."""
        node = self.store.view.get(Node, NodeId(self.node_id))
        return node is None or node.spec.role == MANAGER

    def _dispatcher(self) -> Dispatcher:
        """The nodes' sessions. Raises Elsewhere at a manager that does not lead."""
        if self._leader is not None:
            return self._leader.dispatcher
        nodes = self.store.view.all(Node)
        led = [n.manager_status.addr for n in nodes if n.manager_status and n.manager_status.leader]
        raise Elsewhere(next((address for address in led if address and address != self._advertise), ""))

    async def _seats(self) -> Sequence[Member]:
        """The quorum's members; nobody's where there is no quorum (yet)."""
        return await self._quorum.seats.list() if self._quorum.seats is not None else []

    async def open_stream(self, node_id: str, ask: Callable[[str], ReadLog]) -> NodeStream:
        """A stream from a node to this manager, which the leader has to ask the node for
        (:class:`shoal.manager.logs.Nodes`)."""
        if self._leader is not None:
            return await self._leader.dispatcher.open_stream(node_id, ask)
        return await self._streams.open(
            node_id, lambda stream_id: self._relay(node_id, replace(ask(stream_id), manager=self._advertise))
        )


def _last_written(objects: Iterable[Stored]) -> datetime | None:
    """When the last of them was written."""
    written = max((obj.updated_at for obj in objects if obj.updated_at), default="")
    return parse_time(written) if written else None
