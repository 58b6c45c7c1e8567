"""This node as one of the swarm's managers: where its part of the state is, and the manager that runs over it.

A manager that is the only one keeps the state in a file. As soon as another node is to be one too, the state moves to
an etcd that shoald runs and looks after, and stays there. Like containerd, that etcd outlives shoald: a majority of the
managers' machines is what it takes, whatever happens to their shoalds.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from shoal.agent import joining
from shoal.aio.broadcast import Lagged
from shoal.aio.clock import Clock, SteadyClock
from shoal.aio.tasks import cancel, carry_through, spawn
from shoal.daemon import membership
from shoal.daemon.addresses import PEER_OFFSET, split
from shoal.daemon.membership import ETCD, Membership
from shoal.daemon.renewal import Renewal
from shoal.daemon.swarm_events import report
from shoal.durable.objectfile import mark_of
from shoal.engine.events import Events
from shoal.errors import Damaged, ShoalError, Unavailable
from shoal.kernel.routes import host_routes
from shoal.manager.cluster import as_worker, in_a_new_epoch, the_cluster
from shoal.manager.found import issue
from shoal.manager.manager import ALONE, Manager, Quorum
from shoal.manager.seats import MANAGER
from shoal.objects.base import parse_time
from shoal.objects.ids import NodeId
from shoal.objects.node import Node
from shoal.pki import contexts, files
from shoal.pki.files import CERTIFICATE_FILE, KEY_FILE, ROOT_FILE, NodeFiles
from shoal.pki.identity import MANAGER_NAME, addresses
from shoal.store.backends.etcd import EtcdBackend
from shoal.store.backends.sqlite import SQLiteBackend
from shoal.store.etcd.address import TLS, Address
from shoal.store.etcd.calls import RANGE
from shoal.store.etcd.client import Etcd
from shoal.store.etcd.election import EtcdElection
from shoal.store.etcd.members import Member, Members
from shoal.store.etcd.pb.rpc_pb2 import RangeRequest
from shoal.store.etcd.server import EtcdServer, check_installed, peer_url_of
from shoal.store.store import Store
from shoal.store.tx import Tx
from shoal.wire.cluster import ReadLog

_log = logging.getLogger(__name__)
# Between two looks whether this node is among the quorum's members, or is not any more; and for how long, in seconds.
_LOOK, _INVITATION = 0.2, 15.0
# Before a move that failed is tried again, in seconds.
_AGAIN = 2.0


@dataclass(frozen=True)
class Surroundings:
    """What the rest of the node does for its manager part: ``managers`` are the other managers as far as is known,
    ``relay`` has the leader ask a node for a log, ``unreached`` are the nodes that this one does not reach,
    ``remember`` keeps what this node is, in memory."""

    managers: Callable[[], Sequence[str]]
    unreached: Callable[[], Collection[str]]
    relay: Callable[[str, ReadLog], Awaitable[None]]
    remember: Callable[[Membership], None]
    events: Events


class _Seats(Members):
    """The quorum's seats as a manager thinks of them (:class:`shoal.manager.seats.Seats`)."""

    def __init__(self, etcd: Etcd) -> None:
        super().__init__(etcd)
        self._connection = etcd

    def url_of(self, advertise: str) -> str:
        """Where the member of a manager is that nodes reach at ``address:port``."""
        return _peer_url(advertise)

    async def list(self) -> list[Member]:
        """All members, as the quorum knows them: who is not among them has no seat for certain."""
        # The member that is asked is as far as the others once it has answered a question that takes a quorum.
        await self._connection.ask_patiently(RANGE, RangeRequest(key=b"members"))
        return await super().list()


class Managing:
    """Nothing of it runs before :meth:`start`; one at a time of the methods that change that."""

    def __init__(self, *, folder: Path, data_root: Path, exec_root: Path, around: Surroundings, clock: Clock) -> None:
        self._folder = folder
        self._data_root = data_root
        self._state = exec_root / "etcd"
        self._certificates = files.certificates_folder(data_root)
        self._around = around
        self._clock = clock
        self._store: Store | None = None
        self._member: Membership | None = None
        self._etcd: EtcdServer | None = None
        self._connections: list[Etcd] = []
        self._reporter: asyncio.Task[None] | None = None
        self._sharer: asyncio.Task[None] | None = None
        self.manager: Manager | None = None

    async def start(self, member: Membership, renewal: Renewal) -> None:
        """Be the manager that this node is. Raises ShoalError when that cannot be: Damaged where it will not be later
        either."""
        # Delays count from moments in the store: a machine's clock that was set back must not hold them up.
        clock = SteadyClock(self._clock)
        try:
            store, quorum = await self._opened(member, clock)
        except BaseException:
            await self._disconnect()
            raise
        self._store, self._member = store, member
        try:
            if written := [obj.updated_at for obj in store.snapshot()[1] if obj.updated_at]:
                clock.advance_to(parse_time(max(written)))
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
                check_more=self._check_more,
                networks_in_use=host_routes(),
            )
            host, port = split(member.listen, 0)
            await manager.start(host, port)
        except BaseException:
            await store.close()
            await self._disconnect()
            self._store = None
            raise
        self.manager = manager
        self._reporter = spawn(report(store, self._around.events), name="swarm events")
        if not member.store:
            self._sharer = spawn(self._share_in_time(manager, renewal), name="move of the state to etcd")

    async def stop(self) -> None:
        """shoald ends, or the manager is to be another: etcd goes on."""
        await cancel(self._sharer, self._reporter)
        if self.manager is not None:
            await self.manager.stop()
        await self._disconnect()
        if self._etcd is not None:
            await self._etcd.detach()
        self.manager = self._store = self._etcd = self._sharer = self._reporter = None

    async def end(self) -> None:
        """This node is a manager no longer: nothing of the state stays here."""
        etcd = self._etcd
        if etcd is None and self._member is not None and self._member.store == ETCD:
            etcd = self._server(self._member)
        self._etcd = None
        await self.stop()
        if etcd is not None:
            await etcd.destroy()

    async def issue(self, now: datetime) -> NodeFiles:
        """A certificate for this node by the authority in the store. Raises Unavailable where that is not open."""
        if self._store is None or self._member is None:
            raise Unavailable("the swarm's state is not open here")
        return issue(the_cluster(self._store.view), NodeId(self._member.node_id), self._member.advertise, now)

    @property
    def has_authority(self) -> bool:
        """Whether certificates can be issued here."""
        return self._store is not None

    async def is_seatless(self, member: Membership) -> bool:
        """Whether this node has no seat in the quorum, as the other managers say. Raises Unavailable when none does."""
        return member.store != ETCD or _peer_url(member.advertise) not in await self._members(member)

    async def take_over(self, member: Membership) -> None:
        """Go on alone with what this manager has of the state, when the others are lost (``--force-new-cluster``). They
        are workers from here on, and the state is a new epoch's."""
        if member.store == ETCD:
            etcd = self._server(member)
            await etcd.start(force_new=True)
            await etcd.detach()
        clock = SteadyClock(self._clock)
        store, _ = await self._opened(member, clock)
        try:
            now = self._clock.now()
            await store.update(lambda tx: _leave_out_others(tx, member, now))
        finally:
            await store.close()
            await self._disconnect()

    def _check_more(self) -> None:
        """Raise Unavailable where the state could not be shared with another manager."""
        if self._member is not None and not self._member.store:
            check_installed()

    async def _opened(self, member: Membership, clock: Clock) -> tuple[Store, Quorum]:
        """The state, wherever this manager has it."""
        database = self._folder / membership.DATABASE
        if member.store:
            # Of a move that came to its end.
            await asyncio.to_thread(_remove_database, database)
            return await self._shared(member, clock)
        if not database.exists():
            raise Damaged(f"{database} is missing, which holds the swarm's state")
        if (self._folder / ETCD).exists():
            # Of a move that did not come to its end.
            await self._server(member).destroy()
        return await Store.open(backend=SQLiteBackend(database, root=self._data_root), clock=clock), ALONE

    async def _shared(self, member: Membership, clock: Clock) -> tuple[Store, Quorum]:
        etcd = self._etcd = self._etcd or self._server(member)
        try:
            if etcd.pid is None:
                await etcd.start(cluster=None if (etcd.data / "member").exists() else await self._invited(member))
            backend, quorum = self._connected(etcd.address, member)
            return await Store.open(backend=backend, clock=clock), quorum
        except Unavailable:
            if await etcd.removed():
                _log.warning("the other managers have taken this one's seat in the quorum: it asks for a new one")
                await self._disconnect()
                await etcd.destroy()
                self._etcd = None
            raise

    def _connected(self, address: Address, member: Membership) -> tuple[EtcdBackend, Quorum]:
        """A backend, and what comes with it; the backend's connection is its own."""
        etcd = Etcd(address)
        self._connections.append(etcd)
        election = EtcdElection(etcd=etcd, prefix=address.prefix, candidate=member.node_id, clock=self._clock)
        quorum = Quorum(election, _Seats(etcd))
        return EtcdBackend(etcd=Etcd(address), prefix=address.prefix), quorum

    async def _disconnect(self) -> None:
        for connection in self._connections:
            await connection.close()
        self._connections.clear()

    def _server(self, member: Membership) -> EtcdServer:
        host, port = split(member.listen, 0)
        return EtcdServer(
            name=member.node_id,
            data=self._folder / ETCD,
            state=self._state,
            listen=host,
            advertise=split(member.advertise, 0)[0],
            port=port + PEER_OFFSET,
            certificates=TLS(
                self._certificates / ROOT_FILE, self._certificates / CERTIFICATE_FILE, self._certificates / KEY_FILE
            ),
            peers=MANAGER_NAME,
            clock=self._clock,
        )

    async def _members(self, member: Membership) -> dict[str, str]:
        """The quorum's members, by peer URL, as another manager says. Raises ShoalError."""
        others = [address for address in self._around.managers() if address != member.advertise]
        return await joining.quorum(others, self._certificates)

    async def _invited(self, member: Membership) -> dict[str, str]:
        """The quorum's members, by name, once this node is one of them. Raises ShoalError when that takes too long."""
        own = _peer_url(member.advertise)
        deadline = self._clock.monotonic() + _INVITATION
        while True:
            members = await self._members(member)
            if own in members:
                # Others' names do not matter to etcd, only that there is one each.
                return {f"other-{number}": url for number, url in enumerate(members) if url != own}
            if self._clock.monotonic() > deadline:
                raise Unavailable("the other managers have no seat in the quorum for this one, so far")
            await self._clock.sleep(_LOOK)

    async def _share_in_time(self, manager: Manager, renewal: Renewal) -> None:
        """Move the state as soon as there is to be another manager."""
        with manager.store.watch() as events:
            while not _others(manager):
                with contextlib.suppress(Lagged):
                    if not await events.drain():
                        return
        while True:
            try:
                await carry_through(self._share(manager, renewal), name="move of the state to etcd")
            except ShoalError as error:
                _log.error("the swarm's state cannot be moved to etcd, which is tried again: %s", error)
            else:
                return
            await self._clock.sleep(_AGAIN)

    async def _share(self, manager: Manager, renewal: Renewal) -> None:
        assert self._member is not None
        member = replace(self._member, store=ETCD)
        held = await asyncio.to_thread(files.load, self._certificates)
        if split(member.advertise, 0)[0] not in addresses(held.certificate):
            await renewal.renew()  # it is of a time when nobody asked for it there
        etcd = self._server(member)
        await etcd.destroy()  # of an earlier attempt
        await etcd.start()
        backend, quorum = self._connected(etcd.address, member)
        began = self._clock.monotonic()

        settled = False

        async def settle() -> None:
            nonlocal settled
            await asyncio.to_thread(membership.write, self._folder, member)
            settled = True

        try:
            await manager.share(backend, quorum, settle=settle)
        except BaseException:
            if not settled:
                await backend.close()
                await self._disconnect()
                # What may be on disk by now says that the state is there, so that has to be taken back first.
                await asyncio.to_thread(membership.write, self._folder, self._member)
                await etcd.destroy()
            raise
        self._etcd, self._member = etcd, member
        self._around.remember(member)
        took = self._clock.monotonic() - began
        _log.info("the swarm's state is in etcd from here on; nothing could be changed for %.2f s", took)
        await asyncio.to_thread(_remove_database, self._folder / membership.DATABASE)


def _others(manager: Manager) -> bool:
    """Whether there is to be another manager beside this one."""
    return any(n.spec.role == MANAGER and n.id != manager.node_id for n in manager.store.view.all(Node))


def _peer_url(advertise: str) -> str:
    host, port = split(advertise, 0)
    return peer_url_of(host, port + PEER_OFFSET)


def _remove_database(database: Path) -> None:
    for path in (
        database,
        *(database.with_name(f"{database.name}-{end}") for end in ("wal", "shm")),
        mark_of(database),
    ):
        path.unlink(missing_ok=True)


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
