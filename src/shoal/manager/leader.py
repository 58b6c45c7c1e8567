"""What runs at one manager at a time: the loops, the sessions with the nodes, and who has a seat in the quorum.

All of it is made anew for each leadership and handed a store with that leadership's fence, so that nothing of it can
change the swarm any more once another manager leads.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Collection, Sequence
from typing import Any

from msgspec.structs import replace

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.manager import loop
from shoal.manager.allocator.allocator import Allocator
from shoal.manager.dispatcher.dispatcher import Dispatcher
from shoal.manager.dispatcher.streams import Streams
from shoal.manager.orchestrator.orchestrator import Orchestrator
from shoal.manager.rotation import Rotation
from shoal.manager.scheduler.scheduler import Scheduler
from shoal.manager.seats import Quorum, SeatKeeper
from shoal.objects.node import Node
from shoal.store.store import Store
from shoal.store.tx import Tx


class Leader:
    """One leadership's work; ``store`` is fenced with it. ``quorum`` says who has it too."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        node_id: str,
        networks_in_use: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
        streams: Streams,
        unreached: Callable[[], Collection[str]],
        quorum: Quorum,
    ) -> None:
        self._store = store
        self._clock = clock
        self._node_id = node_id
        self._in_use = networks_in_use
        self._quorum = quorum
        self._tasks: list[asyncio.Task[Any]] = []
        self.dispatcher = Dispatcher(store=store, clock=clock, streams=streams, unreached=unreached)

    async def start(self) -> None:
        """Begin. Raises Deposed, Unavailable where this leadership is over already, or cannot be told to the others."""
        # The first write: from here on the view has all that went before this leadership.
        await self._store.update(self._announce)
        view, clock = self._store.view, self._clock
        stations: dict[str, loop.Station] = {
            "orchestrator": Orchestrator(view),
            "allocator": Allocator(view, self._in_use),
            "scheduler": Scheduler(view),
            "rotation of the root": Rotation(view),
        }
        self._tasks = [spawn(loop.run(s, self._store, clock, name=name), name=name) for name, s in stations.items()]
        self._tasks.append(spawn(self.dispatcher.run(), name="dispatcher"))
        self._tasks.append(spawn(self.dispatcher.watch_heartbeats(), name="heartbeats"))
        keeper = SeatKeeper(store=self._store, quorum=self._quorum, node_id=self._node_id, clock=clock)
        self._tasks.append(spawn(keeper.run(), name="seats in the quorum"))

    def _announce(self, tx: Tx) -> None:
        for node in tx.all(Node):
            if (status := node.manager_status) is None:
                continue
            leads = True if node.id == self._node_id else None
            reachability = "reachable" if leads else status.reachability
            told = replace(status, leader=leads, reachability=reachability)
            # The own one in any case: there has to be something to commit.
            if told != status or leads:
                tx.update(replace(node, manager_status=told))

    async def stop(self) -> None:
        """End the loops and the sessions; the nodes go on, and look for the next leader."""
        await cancel(*self._tasks)
        await self.dispatcher.close()
