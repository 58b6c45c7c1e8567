"""This node's membership in a swarm: founding, joining, leaving, what it is to be in it, and being it again after a
restart.

The state file says which node this is; the certificates lie beside it. A manager's part is in :mod:`.managing`, that of
a node that runs tasks, which a manager is as well, in :mod:`.agent`.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from shoal.agent import joining
from shoal.agent.worker import forget_all
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.container import cgroups
from shoal.daemon import addresses, membership, restoring
from shoal.daemon.addresses import Addresses
from shoal.daemon.agent import NodeAgent
from shoal.daemon.backup import Backup
from shoal.daemon.description import describe
from shoal.daemon.managing import Managing, Surroundings
from shoal.daemon.membership import ETCD, EXTERNAL, Membership
from shoal.daemon.place import OwnEtcd, StatePlace
from shoal.daemon.renewal import Renewal
from shoal.daemon.trust import Trust
from shoal.engine.engine import Engine
from shoal.engine.whole import whole
from shoal.errors import (
    Conflict,
    Damaged,
    FailedPrecondition,
    Forbidden,
    InvalidArgument,
    NotFound,
    ShoalError,
    Unavailable,
)
from shoal.manager.found import FoundingRequest, found
from shoal.manager.logs import TaskLine
from shoal.manager.manager import Manager
from shoal.objects.cluster import ClusterSpec
from shoal.objects.container import Container
from shoal.objects.network import Network
from shoal.objects.node import Node, NodeDescription
from shoal.objects.results import LogQuery
from shoal.objects.service import Service
from shoal.objects.task import Task
from shoal.pki import files
from shoal.pki.files import NodeFiles
from shoal.pki.identity import MANAGER, WORKER, identity
from shoal.store.tables import Stored
from shoal.store.tx import Tx
from shoal.wire.admission import JoinRequest
from shoal.wire.cluster import ClusterResource
from shoal.wire.docker.swarm import RemoteManager, SwarmInfo, SwarmInit, SwarmJoin, TokenRotation

_log = logging.getLogger(__name__)

# Between tries to start a manager that could not be started, or to become what this node is to be, in seconds.
_TRY_AGAIN, _TURN_AGAIN = 5.0, 0.3
# How long a start waits for a manager that shares the state, whose others may be starting as well, in seconds.
_START = 3.0
# How long ``swarm init`` and ``swarm join`` wait for what they promise, in seconds, as Docker does.
_INIT_SECONDS, _JOIN_SECONDS = 5.0, 20.0
# What the docker client asks for where its user does not say where to listen.
_CLIENTS_LISTEN = "0.0.0.0:2377"
# How long a manager that leaves waits for its seat to be taken from it, in seconds.
_LEAVE_SECONDS = 10.0
_NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
_WORKER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager."
)
_LATE = (
    "Timeout was reached before node joined. The attempt to join the swarm will continue in the background. Use the "
    '"docker info" command to see the current swarm status of your node.'
)
_REMOVED = (
    "this node was removed from its swarm, and its tasks are stopped here: leave the swarm (docker swarm leave), and "
    "join it again if the node shall be back"
)
_ALREADY = 'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'
_STARTING = "the manager on this node is being started"
_LEAVING = "You are attempting to leave the swarm on a node that is participating as a manager. "
_LAST_MANAGER = "Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message."
_LEFT_MANAGERS = (
    "Removing this node leaves {left} managers out of {all}. Without a Raft quorum your swarm will be inaccessible. "
)
_FORCE = (
    "The only way to restore a swarm that has lost consensus is to reinitialize it with `--force-new-cluster`. Use "
    "`--force` to suppress this message."
)


class Swarm:
    """The node as a member of a swarm, or of none."""

    def __init__(
        self,
        *,
        folder: Path,
        data_root: Path,
        exec_root: Path,
        store: OwnEtcd | None = None,
        engine: Engine,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._certificates = files.certificates_folder(data_root)
        self._engine = engine
        self._clock = clock
        self._lock = asyncio.Lock()
        self.membership: Membership | None = None
        self._place = StatePlace(
            folder=folder,
            data_root=data_root,
            state=exec_root / "etcd",
            certificates=self._certificates,
            own=store,
            managers=lambda: list(self._managers().values()),
            clock=clock,
        )
        around = Surroundings(
            unreached=lambda: self._agent.unreached,
            relay=lambda node_id, wanted: self._agent.relay(node_id, wanted),
            remember=self._remember,
            unseated=self._unseated,
            events=engine.events,
        )
        self._managing = Managing(folder=folder, place=self._place, around=around, clock=clock)
        self._agent = NodeAgent(
            engine=engine,
            managers=lambda: list(self._managers().values()),
            describe=self.describe,
            followed=lambda: self._trust.followed,
            heed=self._heed,
            removed=self._removed,
            clock=clock,
        )
        self._trust = Trust(trust_first=self._place.trust, tell=self._agent.tell, clock=clock)
        self._renewal: Renewal | None = None
        self._renewer: asyncio.Task[None] | None = None
        self._failure: ShoalError | None = None
        self._starting: asyncio.Task[None] | None = None
        self._turning: asyncio.Task[None] | None = None
        # What this node is to be, as the leader said last.
        self._role = ""

    @property
    def manager(self) -> Manager | None:
        """The manager on this node, where one runs."""
        return self._managing.manager

    def control(self) -> Manager:
        """The manager on this node. Raises Unavailable, in Docker's words, where there is none."""
        if self.manager is None:
            if self._failure is not None:
                raise Unavailable(f"the manager on this node does not run: {membership.describe(self._failure)}")
            if self.membership is not None and self.membership.is_manager:
                raise Unavailable(_STARTING)
            raise Unavailable(_NO_MANAGER if self.membership is None else _WORKER)
        return self.manager

    async def declare(self) -> None:
        """Read what this node was before shoald ended, and tell the engine of the swarm's networks as they were. Raises
        Damaged."""
        await asyncio.to_thread(membership.sweep, self._folder)
        self.membership = await asyncio.to_thread(membership.read, self._folder)
        if self.membership is not None:
            await self._agent.declare(self.membership)

    async def start(self) -> None:
        """Be it again. A manager that cannot be (its port is taken, its state cannot be trusted) does not keep the node
        from going on with what it was told last; but for its state, it is tried again."""
        member = self.membership
        if member is None:
            await self._agent.remove_tasks_but(())
            await forget_all(self._engine.db)
            return
        self._keep_certificate(member)
        if member.is_manager and not member.store:
            try:
                await self._run_manager(member)
            except ShoalError as error:
                self._fail(error)
        await self._run_agent(member)
        if member.is_manager and self.manager is None and not isinstance(self._failure, Damaged):
            # Managers that share the state need each other: nobody waits for that who need not.
            pause = 0.0 if member.store else _TRY_AGAIN
            self._starting = spawn(self._start_manager(pause), name="start of the manager")
            if member.store:
                await asyncio.wait([self._starting], timeout=_START)

    def _fail(self, error: ShoalError) -> None:
        if str(error) != str(self._failure):
            _log.error("no manager here, and the node goes on without one: %s", membership.describe(error))
        self._failure = error

    async def _start_manager(self, pause: float) -> None:
        """Until the manager runs."""
        while self.membership is not None and self.membership.is_manager:
            await self._clock.sleep(pause)
            pause = _TRY_AGAIN
            try:
                await self._run_manager(self.membership)
            except ShoalError as error:
                self._fail(error)
                if isinstance(error, Damaged):
                    return
            except Exception:  # noqa: BLE001 (tried until it succeeds; each failure is logged in full)
                _log.exception("the manager cannot be started, which is tried again")
            else:
                _log.info("the manager runs")
                return

    async def stop(self) -> None:
        """shoald ends: tasks and networks stay as they are."""
        await cancel(self._turning, self._starting, self._renewer)
        await self._agent.stop()
        await self._trust.stop()
        await self._managing.stop()

    async def init(self, request: SwarmInit) -> str:
        """Found a swarm with this node as its manager; returns the node's id. Raises Unavailable when there is one
        already, InvalidArgument for settings that can't be."""
        async with self._lock:
            if request.force_new_cluster and self.membership is not None:
                if not self.membership.is_manager:
                    raise Unavailable(_NO_MANAGER)
                return await whole(self._take_over(self.membership, request), name="swarm init --force-new-cluster")
            if self.membership is not None:
                raise Unavailable(_ALREADY)
            return await whole(self._found(request), name="swarm init")

    async def _found(self, request: SwarmInit) -> str:
        member, asked = _plan(request)
        founding = found(asked, self._clock.now())
        kind = EXTERNAL if self._place.kind == EXTERNAL else ""
        member = replace(member, node_id=founding.node_id, store=kind)
        is_there = False
        fresh = await asyncio.to_thread(membership.making, self._folder)
        try:
            await asyncio.to_thread(files.save, fresh / membership.CERTIFICATES, founding.files)
            store = await self._place.found(fresh, self._clock)
            try:
                await store.update(lambda tx: _create_all(tx, founding.objects))
                is_there = True
            finally:
                await store.close()
            await asyncio.to_thread(membership.write, fresh, member)
            await self._begin(member)
        except BaseException:
            await self._end()
            if is_there:
                await self._place.erase(member)
            raise
        await self._settled()
        return founding.node_id

    async def _take_over(self, member: Membership, request: SwarmInit) -> str:
        """``--force-new-cluster``: the other managers are lost, and this one goes on with what it has."""
        planned = None
        # The docker client sends where to listen whether or not it was asked to.
        if request.advertise_addr or request.listen_addr not in ("", _CLIENTS_LISTEN):
            planned, _ = _plan(request)
        await self._pause()
        # A move that was under way has ended.
        member = self.membership or member
        if planned is not None:
            member = replace(planned, node_id=member.node_id, store=member.store)
        try:
            await self._managing.take_over(member)
            await asyncio.to_thread(membership.write, self._folder, member)
            self.membership = member
            await self._run_manager(member)
            if planned is not None:
                # Others are to dial it there.
                assert self._renewal is not None
                await self._renewal.renew()
        except ShoalError as error:
            self._fail(error)
            raise
        finally:
            await self._go_on(member)
        return member.node_id

    async def _go_on(self, member: Membership) -> None:
        """After a pause: as before, and with a manager as soon as that can be."""
        await self._run_agent(member)
        if member.is_manager and self.manager is None and not isinstance(self._failure, Damaged):
            self._starting = spawn(self._start_manager(_TRY_AGAIN), name="start of the manager")

    async def restore(self, backup: Backup, request: SwarmInit, *, force: bool) -> None:
        """Found a backup's swarm again, with this node in the place of the manager that wrote it. Raises Unavailable
        when this node is in a swarm, unless ``force`` is given; on that very node its tasks then run on."""
        if self._place.kind == EXTERNAL:
            raise FailedPrecondition(
                "the swarm's state is in an etcd of its users' own: put a backup of that etcd in its place (etcdctl "
                "snapshot restore), or start shoald without --store to found the swarm again"
            )
        async with self._lock:
            if self.membership is not None and not force:
                raise Unavailable(f"{_ALREADY} Or use --force to put the backup in its place.")
            await whole(self._restore(backup, request), name="import of a swarm")
            await self._settled()

    async def _restore(self, backup: Backup, request: SwarmInit) -> None:
        old = self.membership
        if old is not None and old.is_manager and old.store:
            await self._refuse_beside_others(old)
        if old is not None and old.node_id == backup.node.id and old.is_manager:
            await self._restore_in_place(backup)
            return
        member, _ = _plan(request)
        member = replace(member, node_id=backup.node.id)
        if old is not None:
            # First for trial: what cannot be made must not cost what there is.
            await asyncio.to_thread(restoring.make, self._folder, member, backup, self._clock.now())
            await self._end()
        try:
            await asyncio.to_thread(restoring.make, self._folder, member, backup, self._clock.now())
            await self._begin(member)
        except BaseException:
            await self._end()
            raise

    async def _refuse_beside_others(self, member: Membership) -> None:
        """Raise FailedPrecondition where other managers would go on with the state that is to be replaced."""
        others = [address for address in self._managers().values() if address != member.advertise]
        try:
            seats = await joining.quorum(others, self._certificates) if others else {}
        except Unavailable:
            return  # nobody is there
        if len(seats) > 1:
            raise FailedPrecondition(
                f"{len(seats)} managers share the swarm's state, and the others would go on with it: demote them first "
                "(docker node demote), or leave the swarm here (docker swarm leave --force) and import the backup then"
            )

    async def _restore_in_place(self, backup: Backup) -> None:
        """The swarm as it was, on the node where it was: the containers of its tasks need not know."""
        newest = self.manager.store.revision if self.manager is not None else 0
        await self._pause()
        old = member = self.membership
        assert member is not None
        try:
            member = replace(member, store="")
            await asyncio.to_thread(restoring.replace, self._folder, member, backup, self._clock.now(), newest)
            self.membership = member
            await self._managing.end(old)
            await self._run_manager(member)
        except ShoalError as error:
            self._fail(error)
            raise
        finally:
            await self._go_on(member)

    async def _pause(self) -> None:
        """Neither a manager nor in touch with one, while that which it is made of changes."""
        await cancel(self._turning, self._starting)
        await self._agent.part()
        await self._trust.stop()
        await self._managing.stop()

    async def _begin(self, member: Membership) -> None:
        """Be what has been made ready beside the folder."""
        await asyncio.to_thread(membership.appear, self._folder)
        self._keep_certificate(member)
        if member.is_manager and member.store != ETCD:
            await self._run_manager(member)
        await self._run_agent(member)
        self.membership = member
        if member.store == ETCD:
            self._starting = spawn(self._start_manager(0), name="start of the manager")

    async def join(self, request: SwarmJoin) -> None:
        """Become a node of another machine's swarm. Raises Unavailable when this one is in a swarm, when no manager
        answers, or when what the new node is told takes too long; InvalidArgument, Forbidden, Conflict with a manager's
        reason."""
        async with self._lock:
            if self.membership is not None:
                raise Unavailable(_ALREADY)
            if not request.remote_addrs:
                raise InvalidArgument("at least 1 RemoteAddr is required to join")
            await whole(self._join(request), name="swarm join")
            if not await self._until_told(_JOIN_SECONDS):
                why = f" So far: {self._failure}" if self._failure is not None else ""
                raise Unavailable(_LATE + why)

    async def _join(self, request: SwarmJoin) -> None:
        remotes = [addresses.split(text, addresses.PORT) for text in request.remote_addrs or []]
        planned = await asyncio.to_thread(
            addresses.plan,
            listen=request.listen_addr,
            advertise=request.advertise_addr,
            data_path=request.data_path_addr,
            toward=remotes[0][0],
        )
        asked = JoinRequest(
            token=request.join_token,
            csr="",
            addr=planned.data_path,
            hostname=self._engine.facts.hostname,
            availability=request.availability or "active",
            advertise=planned.advertise,
            store=self._place.kind,
            trouble=await asyncio.to_thread(self._place.trouble, planned.listen, planned.advertise),
        )
        admitted, manager, held = await joining.join(
            [addresses.joined(*remote) for remote in remotes], asked, self._clock.now()
        )
        member = _member(admitted.node_id, planned)
        member = replace(member, is_manager=admitted.role == MANAGER, managers=[manager])
        member = replace(member, store=asked.store if member.is_manager else "")
        fresh = await asyncio.to_thread(membership.making, self._folder)
        try:
            await asyncio.to_thread(files.save, fresh / membership.CERTIFICATES, held)
            await asyncio.to_thread(membership.write, fresh, member)
            await self._begin(member)
        except BaseException:
            await self._end()
            raise

    async def _until_told(self, seconds: float) -> bool:
        """Wait for the first snapshot, the network that follows from it, and on a manager for its part in the state;
        whether all came in time."""
        member = self.membership
        try:
            async with asyncio.timeout(seconds):
                while not (
                    self._engine.networks.cluster.ingress_addresses
                    and (member is None or not member.is_manager or self.manager is not None)
                ):
                    await self._clock.sleep(0.005)
                # Known is not made yet: the devices are there when whoever works at the network has let go of it.
                await self._engine.networks.applied()
        except TimeoutError:
            return False
        return True

    async def _settled(self) -> None:
        """Wait until this node is ready and its ingress sandbox stands, so that what ``init`` promises is there."""
        manager = self.control()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_INIT_SECONDS):
                while not ((node := manager.nodes.get("self")).is_ready and node.attachment is not None):
                    await self._clock.sleep(0.005)
                await self._until_told(_INIT_SECONDS)

    async def leave(self, *, force: bool) -> None:
        """Leave the swarm: tasks, networks and all state of it go from this machine. Raises Unavailable in Docker's
        words for a manager, without ``force``."""
        async with self._lock:
            if (member := self.membership) is None:
                raise Unavailable("This node is not part of a swarm")
            if member.is_manager and not force:
                raise Unavailable(_LEAVING + self._cost_of_leaving())
            await whole(self._leave(member), name="swarm leave")

    def _cost_of_leaving(self) -> str:
        if self.manager is None:
            return f"Doing so may lose the consensus of your cluster. {_FORCE}"
        managers = _managers_in(self.manager)
        reachable = sum(n.manager_status is not None and n.manager_status.reachability == "reachable" for n in managers)
        if len(managers) == 1:
            return _LAST_MANAGER
        if reachable - 1 <= (len(managers) - 1) // 2:
            return _LEFT_MANAGERS.format(left=reachable - 1, all=len(managers)) + _FORCE
        return _FORCE

    async def _leave(self, member: Membership) -> None:
        await cancel(self._turning)
        if self.manager is not None and len(_managers_in(self.manager)) > 1:
            # The others are to have their majority without this one.
            try:
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self.manager.resign()
                    while not await self._place.is_seatless(member):
                        await self._clock.sleep(_TURN_AGAIN)
            except (ShoalError, TimeoutError) as error:
                _log.warning("the other managers could not take this one's seat: demote it there (%s)", error)
        # First, so that others send nothing more to what is stopped here.
        await self._agent.leave()
        is_last = self.manager is not None and _managers_in(self.manager) == [self.manager.nodes.get("self")]
        await self._end()
        if is_last:
            await self._place.erase(member)

    async def _removed(self) -> None:
        """A manager has taken this node out of the swarm: its tasks have been given to others. What this node was stays
        on disk until somebody leaves the swarm here."""
        _log.error(_REMOVED)
        self._failure = Forbidden(_REMOVED)
        await self._agent.clear()

    async def _end(self) -> None:
        """Be a member no longer, as far as this node had come to be one."""
        await cancel(self._turning, self._starting, self._renewer)
        await self._agent.part()
        await self._trust.stop()
        await self._managing.end(self.membership)
        self._starting = self._turning = self._renewal = self._renewer = self._failure = None
        await self._agent.end()
        try:
            await self._engine.local_networks.remove_gateway_bridge()
        except ShoalError as error:
            _log.warning("docker_gwbridge stays: %s", error)
        await self._engine.networks.settle()
        await asyncio.to_thread(cgroups.remove_empty, self._engine.lifecycle.cgroup_parent)
        self.membership, self._role = None, ""
        await asyncio.to_thread(membership.vanish, self._folder)

    def _remember(self, member: Membership) -> None:
        self.membership = member

    def _keep_certificate(self, member: Membership) -> None:
        """Renew it in time from here on; a manager does that by itself, others ask one."""

        async def issue(now: datetime) -> NodeFiles:
            if self._managing.has_authority:
                return await self._managing.issue(now)
            return await self._ask_for_certificate(self.membership or member)

        self._renewal = Renewal(
            folder=self._certificates, issue=issue, issuer=lambda: self._agent.issuer, clock=self._clock
        )

    async def _ask_for_certificate(self, member: Membership) -> NodeFiles:
        managers = [address for address in self._managers().values() if self.manager or address != member.advertise]
        return await joining.renew(managers, self._certificates, member.advertise)

    async def _run_manager(self, member: Membership) -> None:
        assert self._renewal is not None
        if member.store == ETCD and not self._place.has_data:
            # Others ask for where it is reached before they have a seat for it.
            await self._renewal.renew()
        await self._managing.start(member, self._renewal)
        self._failure = None

    async def _run_agent(self, member: Membership) -> None:
        assert self._renewal is not None
        tls: ssl.SSLContext | None = None
        try:
            await asyncio.to_thread(membership.check_certificates, member, self._folder)
            tls = self._renewal.client()
        except ShoalError as error:
            if self._failure is None:
                self._fail(error)
        if tls is not None and self._renewer is None:
            self._renewer = spawn(self._renewal.run(), name="certificate's renewal")
        await self._agent.start(member, tls)

    def _unseated(self) -> None:
        """The other managers have taken this one's seat: if it is to be a manager, it begins as a new one."""
        if self._turning is None or self._turning.done():
            self._turning = spawn(self._begin_anew(), name="new seat in the quorum")

    async def _begin_anew(self) -> None:
        async with self._lock:
            member = self.membership
            if member is None or not member.is_manager or not await self._place.was_removed():
                return
            await cancel(self._starting)
            await self._managing.end(member)
            self._starting = spawn(self._start_manager(0), name="start of the manager")
        # Meanwhile the leader may have said that this node is to be a worker.
        await self._turn()

    def _heed(self, told: ClusterResource) -> None:
        """The leader says what this node is to be: it is turned into that, if it is something else."""
        if self._renewal is not None:
            self._trust.heed(told, self._renewal)
        if told.role not in (MANAGER, WORKER):
            return
        self._role = told.role
        if self._is_other(self.membership) and (self._turning is None or self._turning.done()):
            self._turning = spawn(self._turn(), name="change of the node's role")

    def _is_other(self, member: Membership | None) -> bool:
        """Whether a member is something else than this node is to be."""
        return member is not None and member.is_manager != (self._role == MANAGER)

    async def _turn(self) -> None:
        told = ""
        while (member := self.membership) is not None and self._is_other(member):
            try:
                # Before the others have taken its seat they may need this manager for a majority.
                if self._role == MANAGER or await self._place.is_seatless(member):
                    async with self._lock:
                        if self.membership is member and self._is_other(member):
                            await (self._demote if member.is_manager else self._promote)(member)
                        continue
            except ShoalError as error:
                if str(error) != told:
                    _log.warning("this node is to be a %s, and cannot be yet: %s", self._role, error)
                told = str(error)
            await self._clock.sleep(_TURN_AGAIN)

    async def _promote(self, member: Membership) -> None:
        """From here on a manager too, whose certificate says so."""
        assert self._renewal is not None
        if trouble := await asyncio.to_thread(self._place.trouble, member.listen, member.advertise):
            raise Unavailable(trouble)
        await self._renewal.renew()
        held = await asyncio.to_thread(files.load, self._certificates)
        if identity(held.certificate).role != MANAGER:
            raise Unavailable("the managers give it a worker's certificate")
        member = replace(member, is_manager=True, store=self._place.kind)
        await asyncio.to_thread(membership.write, self._folder, member)
        self.membership = member
        self._starting = spawn(self._start_manager(0), name="start of the manager")
        _log.info("this node is a manager from here on")

    async def _demote(self, member: Membership) -> None:
        """A manager no longer."""
        assert self._renewal is not None
        others = [address for address in self._managers().values() if address != member.advertise]
        await cancel(self._starting)
        await self._trust.stop()
        await self._managing.end(self.membership)
        member = replace(member, is_manager=False, store="", managers=others)
        # The others' word, now that this node has no authority any more.
        await self._renewal.renew()
        await asyncio.to_thread(membership.write, self._folder, member)
        self.membership, self._failure = member, None
        _log.info("this node is a worker from here on")

    def _managers(self) -> dict[str, str]:
        """Where the swarm's managers are, by their nodes' ids, the likeliest leader first: as this node's own manager
        knows, or the last snapshot, or as they were when this node joined."""
        if self.manager is not None:
            return self.manager.managers
        if known := self._agent.known_managers:
            return known
        member = self.membership
        if member is None:
            return {}
        if member.is_manager and not member.managers:
            return {member.node_id: member.advertise}
        return {str(number): address for number, address in enumerate(member.managers)}

    def networks(self) -> Sequence[Network]:
        """The swarm's networks: all of them on a manager, those that are here on a worker."""
        if self.manager is not None:
            return self.manager.networks.list()
        return list(self._engine.networks.cluster.networks.values())

    def attachable(self, ref: str) -> tuple[str, str] | None:
        """The id and the name of a network that plain containers may join, though it is not on this node yet."""
        known = self._agent.attachable()
        return next(((key, name) for key, name in known.items() if ref in (key, name)), None)

    def info(self) -> SwarmInfo:
        """Where this node stands (``/info``)."""
        member = self.membership
        if member is None:
            return SwarmInfo()
        if self._failure is not None:
            error = membership.describe(self._failure)
        elif self.manager is not None and self.manager.store.trouble:
            error = self.manager.store.trouble
        else:
            error = self._agent.refusal
        is_pending = member.is_manager and self.manager is None
        managers = [RemoteManager(node_id=key, addr=address) for key, address in self._managers().items()]
        return SwarmInfo(
            node_id=member.node_id,
            node_addr=member.data_path,
            local_node_state="error" if error else "pending" if is_pending else "active",
            control_available=self.manager is not None,
            error=error,
            remote_managers=managers,
        )

    async def update(self, spec: ClusterSpec, version: int, rotation: TokenRotation) -> None:
        """Change the swarm's settings or make new tokens."""
        await self.control().cluster.update(spec, version, rotation)

    async def unlock_key(self) -> str:
        """Empty: managers are not locked."""
        self.control()
        return ""

    async def unlock(self, key: str) -> None:
        """Raises Conflict: there is nothing to unlock."""
        raise Conflict("swarm is not locked")

    async def logs(self, target: Service | Task, query: LogQuery) -> AsyncIterator[TaskLine]:
        """What a task, or a service's tasks, have written."""
        return self.control().logs.of(target, query)

    def end_logs(self) -> None:
        """shoald ends: whoever follows a log would be waited for."""
        if self.manager is not None:
            self.manager.logs.close()

    async def attach(self, container: Container, network_id: str) -> Sequence[str]:
        """A plain container's addresses on a network of the swarm (:class:`shoal.engine.lifecycle.Attacher`)."""
        if self.membership is None:
            raise NotFound(f"network {network_id} not found")
        return await self._agent.attach(container, network_id)

    async def detach(self, container_id: str, network_id: str | None = None) -> None:
        """A plain container has left that network, or all of the swarm's."""
        await self._agent.detach(container_id, network_id)

    def describe(self) -> NodeDescription:
        """This machine, for the swarm."""
        return describe(self._engine.facts, files.load(self._certificates))


def _managers_in(manager: Manager) -> list[Node]:
    return [node for node in manager.nodes.list() if node.spec.role == MANAGER]


def _create_all(tx: Tx, objects: Iterable[Stored]) -> None:
    for obj in objects:
        tx.create(obj)


def _plan(request: SwarmInit) -> tuple[Membership, FoundingRequest]:
    """Where to listen and how to be reached. Raises InvalidArgument in Docker's words."""
    planned = addresses.plan(
        listen=request.listen_addr, advertise=request.advertise_addr, data_path=request.data_path_addr
    )
    if not 1024 <= (request.data_path_port or 4789) <= 49151:
        raise InvalidArgument(f"Datapath port number is not in valid range (1024-49151) : {request.data_path_port}")
    asked = FoundingRequest(
        advertise=planned.advertise,
        availability=request.availability or "active",
        spec=request.spec,
        default_addr_pool=tuple(request.default_addr_pool or ()),
        subnet_size=request.subnet_size or 24,
        data_path_port=request.data_path_port or 4789,
    )
    if asked.availability not in ("active", "pause", "drain"):
        raise InvalidArgument(f'invalid Availability: "{asked.availability}"')
    return _member("", planned), asked


def _member(node_id: str, planned: Addresses) -> Membership:
    return Membership(node_id=node_id, listen=planned.listen, advertise=planned.advertise, data_path=planned.data_path)
