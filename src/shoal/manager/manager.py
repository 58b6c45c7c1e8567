"""A manager: the store, the loops over it, the dispatcher's port, and the controls that the API calls."""

import asyncio
import ipaddress
import ssl
from collections.abc import Callable, Sequence
from typing import Any

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.manager import loop
from shoal.manager.admission import Admission
from shoal.manager.allocator.allocator import Allocator
from shoal.manager.control.cluster import ClusterControl
from shoal.manager.control.networks import NetworkControl
from shoal.manager.control.nodes import NodeControl
from shoal.manager.control.services import ServiceControl
from shoal.manager.control.tasks import TaskControl
from shoal.manager.dispatcher.dispatcher import Dispatcher
from shoal.manager.dispatcher.server import DispatcherServer
from shoal.manager.logs import Logs
from shoal.manager.orchestrator.orchestrator import Orchestrator
from shoal.manager.scheduler.scheduler import Scheduler
from shoal.pki.identity import NodeIdentity
from shoal.store.store import Store


class Manager:
    """Runs while this node is a manager; owns the store that it is given."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        node_id: str,
        tls: ssl.SSLContext,
        identify: Callable[[ssl.SSLObject], NodeIdentity],
        networks_in_use: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
    ) -> None:
        self.store = store
        self.node_id = node_id
        self.cluster = ClusterControl(store)
        self.nodes = NodeControl(store, node_id, clock)
        self.networks = NetworkControl(store)
        self.services = ServiceControl(store)
        self.tasks = TaskControl(store)
        self._clock = clock
        self._in_use = networks_in_use
        self._dispatcher = Dispatcher(store=store, clock=clock)
        self.logs = Logs(store=store, nodes=self._dispatcher, clock=clock)
        self._server = DispatcherServer(
            dispatcher=self._dispatcher, admission=Admission(store, clock), tls=tls, identify=identify
        )
        self._loops: list[asyncio.Task[Any]] = []

    async def start(self, host: str, port: int) -> None:
        """Listen for nodes and start the loops. Raises Conflict when the port is taken."""
        await self._server.start(host, port)
        view, clock = self.store.view, self._clock
        stations: dict[str, loop.Station] = {
            "orchestrator": Orchestrator(view),
            "allocator": Allocator(view, self._in_use),
            "scheduler": Scheduler(view),
        }
        self._loops = [spawn(loop.run(s, self.store, clock, name=name), name=name) for name, s in stations.items()]
        self._loops.append(spawn(self._dispatcher.run(), name="dispatcher"))
        self._loops.append(spawn(self._dispatcher.watch_heartbeats(), name="heartbeats"))

    async def stop(self) -> None:
        """End the sessions and the loops, and close the store."""
        self.logs.close()
        await self._server.stop()
        await cancel(*self._loops)
        await self.store.close()
