"""This node as one of the swarm's managers.

A manager that is the only one keeps the state in a file. As soon as another node is to be one too, the state moves to
an etcd that shoald runs and looks after, and stays there. Like containerd, that etcd outlives shoald: a majority of the
managers' machines is what it takes, whatever happens to their shoalds.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from shoal.aio.broadcast import Lagged
from shoal.aio.clock import Clock, SteadyClock
from shoal.aio.tasks import cancel, carry_through, spawn
from shoal.daemon import membership
from shoal.daemon.addresses import split
from shoal.daemon.membership import Membership
from shoal.daemon.place import StatePlace
from shoal.daemon.renewal import Renewal
from shoal.daemon.swarm_events import report
from shoal.engine.events import Events
from shoal.errors import ShoalError, Unavailable
from shoal.kernel.routes import host_routes
from shoal.manager.cluster import as_worker, in_a_new_epoch, the_cluster
from shoal.manager.found import issue
from shoal.manager.manager import Manager
from shoal.manager.seats import MANAGER
from shoal.objects.ids import NodeId
from shoal.objects.node import Node
from shoal.pki import contexts, files
from shoal.pki.files import NodeFiles
from shoal.pki.identity import addresses
from shoal.store.store import Store
from shoal.store.tx import Tx
from shoal.wire.cluster import ReadLog

_log = logging.getLogger(__name__)
# Before a move that failed is tried again, in seconds.
_AGAIN = 2.0
# How often it is looked whether this manager has its seat, in seconds.
_LOOK = 2.0


@dataclass(frozen=True)
class Surroundings:
    """What the rest of the node does for its manager part: ``relay`` has the leader ask a node for a log, ``unreached``
    are the nodes that this one does not reach, ``remember`` keeps what this node is, in memory; ``unseated`` is called
    when the other managers have taken this one's seat in the quorum."""

    unreached: Callable[[], Collection[str]]
    relay: Callable[[str, ReadLog], Awaitable[None]]
    remember: Callable[[Membership], None]
    unseated: Callable[[], None]
    events: Events


class Managing:
    """Nothing of it runs before :meth:`start`; one at a time of the methods that change that."""

    def __init__(self, *, folder: Path, place: StatePlace, around: Surroundings, clock: Clock) -> None:
        self._folder = folder
        self._certificates = folder / membership.CERTIFICATES
        self._place = place
        self._around = around
        self._clock = clock
        self._store: Store | None = None
        self._member: Membership | None = None
        self._reporter: asyncio.Task[None] | None = None
        self._sharer: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.manager: Manager | None = None

    async def start(self, member: Membership, renewal: Renewal) -> None:
        """Be the manager that this node is. Raises ShoalError when that cannot be: Damaged where it will not be later
        either."""
        clock = SteadyClock(self._clock)
        store, quorum = await self._place.open(member, clock)
        self._store, self._member = store, member
        try:
            with contextlib.suppress(ShoalError):  # files that cannot be read, which the check says more of
                await renewal.look()
            await asyncio.to_thread(membership.check, member, self._folder, store.view)
            manager = Manager(
                store=store,
                quorum=quorum,
                clock=clock,
                node_id=member.node_id,
                advertise=member.advertise,
                tls=renewal.server(),
                identify=contexts.peer_identity,
                relay=self._around.relay,
                unreached=self._around.unreached,
                check_more=lambda kind: self._place.check_more(self._member or member, kind),
                networks_in_use=host_routes(),
            )
            host, port = split(member.listen, 0)
            await manager.start(host, port)
        except BaseException:
            await store.close()
            await self._place.disconnect()
            self._store = None
            raise
        self.manager = manager
        self._reporter = spawn(report(store, self._around.events), name="swarm events")
        if not member.store:
            self._sharer = spawn(self._share_in_time(manager, renewal), name="move of the state to etcd")
        self._watcher = spawn(self._watch_seat(), name="seat in the quorum")

    async def stop(self) -> None:
        """shoald ends, or the manager is to be another: etcd goes on."""
        await self._halt()
        await self._place.leave()

    async def end(self, member: Membership | None) -> None:
        """This node, which was ``member``, is a manager no longer: nothing of the state stays here."""
        await self._halt()
        if member is not None:
            await self._place.destroy(member)

    async def _halt(self) -> None:
        await cancel(self._watcher, self._sharer, self._reporter)
        if self.manager is not None:
            await self.manager.stop()
        self.manager = self._store = self._watcher = self._sharer = self._reporter = None

    async def _watch_seat(self) -> None:
        """Until it is lost: a member of etcd that was removed only ends, again and again."""
        while not await self._place.was_removed():
            await self._clock.sleep(_LOOK)
        _log.warning("the other managers have taken this one's seat in the quorum")
        self._around.unseated()

    async def issue(self, now: datetime) -> NodeFiles:
        """A certificate for this node by the authority in the store. Raises Unavailable where that is not open."""
        if self._store is None or self._member is None:
            raise Unavailable("the swarm's state is not open here")
        return issue(the_cluster(self._store.view), NodeId(self._member.node_id), self._member.advertise, now)

    @property
    def has_authority(self) -> bool:
        """Whether certificates can be issued here."""
        return self._store is not None

    async def take_over(self, member: Membership) -> None:
        """Go on alone with what this manager has of the state, when the others are lost (``--force-new-cluster``). They
        are workers from here on, and the state is a new epoch's."""
        await self._place.be_alone(member)
        store, _ = await self._place.open(member, SteadyClock(self._clock))
        try:
            now = self._clock.now()
            await store.update(lambda tx: _leave_out_others(tx, member, now))
        finally:
            await store.close()
            await self._place.disconnect()

    async def _share_in_time(self, manager: Manager, renewal: Renewal) -> None:
        """Move the state as soon as there is to be another manager."""
        with manager.store.watch() as events:
            while not _others(manager):
                with contextlib.suppress(Lagged):
                    if not await events.drain():
                        return
        while True:
            try:
                async with self._place.starting:
                    await carry_through(self._share(manager, renewal), name="move of the state to etcd")
            except ShoalError as error:
                _log.error("the swarm's state cannot be moved to etcd, which is tried again: %s", error)
            except Exception:  # noqa: BLE001 (tried until it succeeds; each failure is logged in full)
                _log.exception("the swarm's state cannot be moved to etcd, which is tried again")
            else:
                return
            await self._clock.sleep(_AGAIN)

    async def _share(self, manager: Manager, renewal: Renewal) -> None:
        old = self._member
        assert old is not None
        held = await asyncio.to_thread(files.load, self._certificates)
        if split(old.advertise, 0)[0] not in addresses(held.certificate):
            await renewal.renew()  # it is of a time when nobody asked for it there
        backend, quorum = await self._place.share(old)
        began = self._clock.monotonic()
        shared: Membership | None = None

        async def settle() -> None:
            nonlocal shared
            shared = await self._place.settle(old)

        try:
            await manager.share(backend, quorum, settle=settle)
        except BaseException:
            if shared is None:
                await backend.close()
                await self._place.unshare(old)
            raise
        finally:
            if shared is not None:
                self._member = shared
                self._around.remember(shared)
        took = self._clock.monotonic() - began
        _log.info("the swarm's state is in etcd from here on; nothing could be changed for %.2f s", took)
        await self._place.drop_file()


def _others(manager: Manager) -> bool:
    """Whether there is to be another manager beside this one."""
    return any(n.spec.role == MANAGER and n.id != manager.node_id for n in manager.store.view.all(Node))


def _leave_out_others(tx: Tx, member: Membership, now: datetime) -> None:
    """This manager is the only one, and where ``member`` says; its state is put in the place of any other."""
    for obj in in_a_new_epoch([the_cluster(tx)], now):
        tx.update(obj)
    for node in tx.all(Node):
        status = node.manager_status
        if node.id == member.node_id and status is not None:
            tx.update(replace(node, manager_status=replace(status, addr=member.advertise)))
        elif node.spec.role == MANAGER or status is not None:
            tx.update(as_worker(node))
