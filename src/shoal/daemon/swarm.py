"""This node's membership in a swarm: founding, leaving, and starting again what it is after a restart.

The state file says which node this is; the certificates lie beside it. A manager runs the control plane and an agent
that dials it like any other node's.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from shoal.agent import joining, logs
from shoal.agent.controller import ContainerController, Controller
from shoal.agent.reach import PeerWatch
from shoal.agent.session import ManagerSession
from shoal.agent.streams import Stream
from shoal.agent.worker import Worker, forget_all
from shoal.aio.clock import Clock, SteadyClock
from shoal.aio.tasks import cancel, spawn
from shoal.container import cgroups
from shoal.daemon import addresses, membership, restoring
from shoal.daemon.addresses import Addresses
from shoal.daemon.backup import Backup
from shoal.daemon.description import describe
from shoal.daemon.membership import Membership
from shoal.daemon.renewal import Renewal
from shoal.daemon.swarm_events import report
from shoal.engine.engine import Engine
from shoal.engine.whole import whole
from shoal.errors import Conflict, Damaged, Forbidden, InvalidArgument, NotFound, ShoalError, Unavailable
from shoal.kernel import netns
from shoal.kernel.echo import EchoSocket
from shoal.kernel.routes import host_routes, mtu_of
from shoal.manager.cluster import the_cluster
from shoal.manager.found import FoundingRequest, found, issue
from shoal.manager.logs import TaskLine
from shoal.manager.manager import Manager
from shoal.network.node import INGRESS_NETNS
from shoal.objects.base import parse_time
from shoal.objects.cluster import ClusterSpec
from shoal.objects.container import Container
from shoal.objects.ids import NodeId
from shoal.objects.network import Network
from shoal.objects.node import NodeDescription
from shoal.objects.results import LogLine, LogQuery
from shoal.objects.service import Service
from shoal.objects.task import Task, TaskStatus
from shoal.pki import contexts, files
from shoal.pki.files import NodeFiles
from shoal.pki.identity import MANAGER_NAME
from shoal.store.backends.sqlite import SQLiteBackend
from shoal.store.store import Store
from shoal.store.tables import Stored
from shoal.store.tx import Tx
from shoal.wire.admission import JoinRequest
from shoal.wire.cluster import Assignments, ReadLog
from shoal.wire.docker.swarm import RemoteManager, SwarmInfo, SwarmInit, SwarmJoin, TokenRotation

_log = logging.getLogger(__name__)

# How long an address for a plain container may take, in seconds.
_ATTACH_SECONDS = 10
# Between tries to start a manager that could not be started, in seconds.
_TRY_AGAIN = 5.0
# How long ``swarm join`` waits for the first snapshot, in seconds, as Docker does.
_JOIN_SECONDS = 20.0
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
_LAST_MANAGER = (
    "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager "
    "erases all current state of the swarm. Use `--force` to ignore this message."
)


class Swarm:
    """The node as a member of a swarm, or of none."""

    def __init__(self, *, folder: Path, data_root: Path, engine: Engine, clock: Clock) -> None:
        self._folder = folder
        self._data_root = data_root
        self._certificates = files.certificates_folder(data_root)
        self._engine = engine
        self._clock = clock
        self._lock = asyncio.Lock()
        self.membership: Membership | None = None
        self.manager: Manager | None = None
        self._worker: Worker | None = None
        self._line: ManagerSession | None = None
        self._reporter: asyncio.Task[None] | None = None
        self._renewal: Renewal | None = None
        self._renewer: asyncio.Task[None] | None = None
        self._failure: ShoalError | None = None
        self._retry: asyncio.Task[None] | None = None
        self._session: asyncio.Task[Any] | None = None
        self._peer_watch: asyncio.Task[None] | None = None

    def control(self) -> Manager:
        """The manager on this node. Raises Unavailable, in Docker's words, where there is none."""
        if self.manager is None:
            if self._failure is not None:
                raise Unavailable(f"the manager on this node does not run: {membership.describe(self._failure)}")
            raise Unavailable(_NO_MANAGER if self.membership is None else _WORKER)
        return self.manager

    async def declare(self) -> None:
        """Read what this node was before shoald ended, and tell the engine of the swarm's networks as they were. Raises
        Damaged."""
        await asyncio.to_thread(membership.sweep, self._folder)
        self.membership = await asyncio.to_thread(membership.read, self._folder)
        if self.membership is None:
            return
        self._worker = self._make_worker(self.membership)
        await self._worker.declare()

    async def start(self) -> None:
        """Be it again. A manager that cannot be (its port is taken, its state cannot be trusted) does not keep the node
        from going on with what it was told last; but for its state, it is tried again."""
        if self.membership is None:
            await self._remove_tasks_but(())
            await forget_all(self._engine.db)
            return
        if self.membership.is_manager:
            try:
                await self._run_manager(self.membership)
            except ShoalError as error:
                self._fail(error)
        await self._run_agent(self.membership)
        if self.membership.is_manager and self._failure is not None and not isinstance(self._failure, Damaged):
            self._retry = spawn(self._try_again(self.membership), name="start of the manager")

    def _fail(self, error: ShoalError) -> None:
        if str(error) != str(self._failure):
            _log.error("no manager here or elsewhere, and the node goes on without one: %s", membership.describe(error))
        self._failure = error

    async def _try_again(self, member: Membership) -> None:
        """Until the manager runs."""
        while True:
            await self._clock.sleep(_TRY_AGAIN)
            try:
                await self._run_manager(member)
            except ShoalError as error:
                self._fail(error)
            else:
                _log.info("the manager runs")
                return

    async def stop(self) -> None:
        """shoald ends: tasks and networks stay as they are."""
        await cancel(self._session, self._peer_watch, self._reporter, self._renewer, self._retry)
        if self._worker is not None:
            await self._worker.leave()
        if self.manager is not None:
            await self.manager.stop()

    async def init(self, request: SwarmInit) -> str:
        """Found a swarm with this node as its manager; returns the node's id. Raises Unavailable when there is one
        already, InvalidArgument for settings that can't be."""
        async with self._lock:
            if self.membership is not None:
                raise Unavailable(_ALREADY)
            return await whole(self._found(request), name="swarm init")

    async def _found(self, request: SwarmInit) -> str:
        member, asked = _plan(request)
        founding = found(asked, self._clock.now())
        member = msgspec.structs.replace(member, node_id=founding.node_id)
        fresh = await asyncio.to_thread(membership.making, self._folder)
        try:
            await asyncio.to_thread(files.save, fresh / membership.CERTIFICATES, founding.files)
            store = await self._open_store(fresh / membership.DATABASE)
            try:
                await store.update(lambda tx: _create_all(tx, founding.objects))
            finally:
                await store.close()
            await asyncio.to_thread(membership.write, fresh, member)
            await self._begin(member)
        except BaseException:
            await self._end()
            raise
        await self._settled(founding.node_id)
        return founding.node_id

    async def restore(self, backup: Backup, request: SwarmInit, *, force: bool) -> None:
        """Found a backup's swarm again, with this node in the place of the manager that wrote it. Raises Unavailable
        when this node is in a swarm, unless ``force`` is given; on that very node its tasks then run on."""
        async with self._lock:
            if self.membership is not None and not force:
                raise Unavailable(f"{_ALREADY} Or use --force to put the backup in its place.")
            await whole(self._restore(backup, request), name="import of a swarm")
            await self._settled(backup.node.id)

    async def _restore(self, backup: Backup, request: SwarmInit) -> None:
        old = self.membership
        if old is not None and old.node_id == backup.node.id:
            await self._restore_in_place(old, backup)
            return
        member, _ = _plan(request)
        member = msgspec.structs.replace(member, node_id=backup.node.id)
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

    async def _restore_in_place(self, member: Membership, backup: Backup) -> None:
        """The swarm as it was, on the node where it was: the containers of its tasks need not know."""
        await cancel(self._session, self._peer_watch, self._reporter, self._renewer, self._retry)
        if self.manager is not None:
            await self.manager.stop()
        self.manager = self._line = None
        try:
            await asyncio.to_thread(restoring.replace, self._folder, backup, self._clock.now())
            await self._run_manager(member)
        except ShoalError as error:
            self._fail(error)
            raise
        finally:
            await self._run_agent(member)

    async def _begin(self, member: Membership) -> None:
        """Be what has been made ready beside the folder."""
        await asyncio.to_thread(membership.appear, self._folder)
        if member.is_manager:
            await self._run_manager(member)
        await self._run_agent(member)
        self.membership = member

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
            if not await self._until_told():
                raise Unavailable(_LATE)

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
        )
        node_id, manager, held = await joining.join(
            [addresses.joined(*remote) for remote in remotes], asked, self._clock.now()
        )
        member = msgspec.structs.replace(_member(node_id, planned), is_manager=False, managers=[manager])
        fresh = await asyncio.to_thread(membership.making, self._folder)
        try:
            await asyncio.to_thread(files.save, fresh / membership.CERTIFICATES, held)
            await asyncio.to_thread(membership.write, fresh, member)
            await self._begin(member)
        except BaseException:
            await self._end()
            raise

    async def _until_told(self) -> bool:
        """Wait for the first snapshot, and for the network that follows from it; whether it came in time."""
        try:
            async with asyncio.timeout(_JOIN_SECONDS):
                while not self._engine.networks.cluster.ingress_addresses:
                    await self._clock.sleep(0.005)
                await self._engine.networks.applied()
        except TimeoutError:
            return False
        return True

    async def leave(self, *, force: bool) -> None:
        """Leave the swarm: tasks, networks and all state of it go from this machine."""
        async with self._lock:
            if self.membership is None:
                raise Unavailable("This node is not part of a swarm")
            if self.membership.is_manager and not force:
                raise Unavailable(_LAST_MANAGER)
            await whole(self._leave(), name="swarm leave")

    async def _leave(self) -> None:
        if self._line is not None:
            # First, so that others send nothing more to what is stopped here.
            await self._line.leave()
        await self._end()

    async def _removed(self) -> None:
        """A manager has taken this node out of the swarm: its tasks have been given to others. What this node was stays
        on disk until somebody leaves the swarm here."""
        _log.error(_REMOVED)
        self._failure = Forbidden(_REMOVED)
        await self._stop_tasks()

    async def _stop_tasks(self) -> None:
        """Nothing of the swarm runs here any more."""
        await self._disconnect_all()
        if self._worker is not None:
            await self._worker.clear()

    async def _end(self) -> None:
        """Be a member no longer, as far as this node had come to be one."""
        await cancel(self._session, self._peer_watch, self._reporter, self._renewer, self._retry)
        if self.manager is not None:
            await self.manager.stop()
        self.manager = self._session = self._reporter = self._retry = self._failure = None
        self._renewal = self._renewer = None
        await self._stop_tasks()
        self._worker = self._line = None
        try:
            await self._engine.local_networks.remove_gateway_bridge()
        except ShoalError as error:
            _log.warning("docker_gwbridge stays: %s", error)
        await self._engine.networks.settle()
        await asyncio.to_thread(cgroups.remove_empty, self._engine.lifecycle.cgroup_parent)
        await self._forget()

    async def _disconnect_all(self) -> None:
        """Take plain containers off the swarm's networks, as Docker does; they run on."""
        local = self._engine.networks.is_local
        for container in self._engine.records.running():
            if container.task_id:
                continue
            for endpoint in container.sandbox.endpoints if container.sandbox else ():
                if local(endpoint.network_id) or endpoint.network_name not in container.networks:
                    continue
                try:
                    await self._engine.attachments.disconnect(
                        endpoint.network_id, endpoint.network_name, container.id, force=True
                    )
                except ShoalError as error:
                    _log.warning("%s stays on %s: %s", container.name, endpoint.network_name, error)

    async def _remove_tasks_but(self, task_ids: Collection[str]) -> None:
        """Remove the containers of all tasks but these."""
        for container in self._engine.containers.list():
            if container.task_id and container.task_id not in task_ids:
                try:
                    await self._engine.containers.remove(container.id, force=True, volumes=True)
                except ShoalError as error:
                    _log.warning("the container %s of a task that is gone stays: %s", container.name, error)

    async def _forget(self) -> None:
        self.membership = None
        await asyncio.to_thread(membership.vanish, self._folder)

    async def _open_store(self, database: Path) -> Store:
        return await Store.open(backend=SQLiteBackend(database, root=self._data_root), clock=self._clock)

    async def _run_manager(self, member: Membership) -> None:
        database = self._folder / membership.DATABASE
        if not database.exists():
            raise Damaged(f"{database} is missing, which holds the swarm's state")
        # Delays count from moments in the store: a machine's clock that was set back must not hold them up.
        clock = SteadyClock(self._clock)
        store = await Store.open(backend=SQLiteBackend(database, root=self._data_root), clock=clock)
        try:
            if written := [obj.updated_at for obj in store.snapshot()[1] if obj.updated_at]:
                clock.advance_to(parse_time(max(written)))

            async def own_certificate(now: datetime) -> NodeFiles:
                return issue(the_cluster(store.view), NodeId(member.node_id), now)

            renewal = Renewal(
                folder=self._certificates,
                issue=own_certificate,
                clock=self._clock,
            )
            with contextlib.suppress(ShoalError):  # files that cannot be read, which the check says more of
                await renewal.look()
            await asyncio.to_thread(membership.check, member, self._folder, store.view)
            manager = Manager(
                store=store,
                clock=clock,
                node_id=member.node_id,
                tls=renewal.server(),
                identify=contexts.peer_identity,
                networks_in_use=host_routes(),
            )
            host, _, port = member.listen.rpartition(":")
            await manager.start(host.strip("[]"), int(port))
        except BaseException:
            await store.close()
            raise
        self.manager, self._failure = manager, None
        self._reporter = spawn(report(store, self._engine.events), name="swarm events")
        self._renewal, self._renewer = renewal, spawn(renewal.run(), name="certificate's renewal")

    def _make_worker(self, member: Membership) -> Worker:
        engine = self._engine

        def controller_of(task: Task) -> Controller:
            return ContainerController(
                task=task,
                containers=engine.containers,
                lifecycle=engine.lifecycle,
                images=engine.node_images,
                health=engine.health,
            )

        return Worker(
            node_id=member.node_id,
            underlay_mtu=mtu_of(member.data_path),
            controller_of=controller_of,
            tell_networks=engine.set_cluster,
            remove_others=self._remove_tasks_but,
            report=self._report,
            is_alone=lambda: self._line is None or self._line.is_lost,
            hand_over=self._hand_over,
            db=engine.db,
            clock=self._clock,
        )

    def _report(self, task_id: str, status: TaskStatus) -> None:
        if self._line is not None:
            self._line.report(task_id, status)

    async def _hand_over(self, task_id: str, status: TaskStatus) -> bool:
        return self._line is not None and await self._line.deliver(task_id, status)

    async def _run_agent(self, member: Membership) -> None:
        if self._worker is None:
            self._worker = self._make_worker(member)
        worker = self._worker
        await self._engine.local_networks.ensure_gateway_bridge()
        try:
            await asyncio.to_thread(membership.check_certificates, member, self._folder)
            if self._renewal is None and not member.is_manager:
                self._renewal = Renewal(
                    folder=self._certificates,
                    issue=lambda now: joining.renew(list(self._managers().values()), self._certificates),
                    clock=self._clock,
                )
                self._renewer = spawn(self._renewal.run(), name="certificate's renewal")
            renewal = self._renewal
            tls = renewal.client() if renewal is not None else contexts.swarm_client(self._certificates)
        except ShoalError as error:
            # Nobody to talk to: the tasks that it was given go on all the same.
            if self._failure is None:
                self._fail(error)
            await worker.start()
            return
        self._line = ManagerSession(
            managers=lambda: list(self._managers(member).values()),
            tls=tls,
            server_name=MANAGER_NAME,
            describe=self.describe,
            address=member.data_path,
            mtu=mtu_of(member.data_path),
            assign=self._assign,
            known=worker.statuses,
            removed=self._removed,
            seen=lambda: worker.seen,
            send_log=self._send_log,
            clock=self._clock,
        )
        await worker.start()
        self._session = spawn(self._line.run(), name="session with the manager")
        watch = PeerWatch(
            peers=worker.peers,
            open_echo=lambda: EchoSocket.open(netns.BASE / INGRESS_NETNS),
            changed=worker.lose,
            clock=self._clock,
        )
        self._peer_watch = spawn(watch.run(), name="reach of other nodes")

    def _managers(self, member: Membership | None = None) -> dict[str, str]:
        """Where the swarm's managers are, by their nodes' ids: a manager calls itself, others whom they know of."""
        member = member or self.membership
        if member is None:
            return {}
        if member.is_manager:
            return {member.node_id: member.advertise}
        known = self._worker.managers() if self._worker is not None else {}
        return known or {str(number): address for number, address in enumerate(member.managers)}

    async def _assign(self, assignments: Assignments) -> None:
        assert self._worker is not None
        try:
            await self._worker.assign(assignments)
        finally:
            await self._detach_strays()

    async def _detach_strays(self) -> None:
        """Give back attachments that no container here has: their request's answer, or word of their end, was lost."""
        assert self._worker is not None and self._line is not None
        for task_id, container_id, network_id in list(self._worker.attachments()):
            if self._engine.lifecycle.is_being_changed(container_id):
                continue
            sandbox = self._engine.networks.sandboxes.get(container_id)
            if sandbox is None or all(endpoint.network_id != network_id for endpoint in sandbox.endpoints):
                await self._line.detach(task_id)

    async def _settled(self, node_id: NodeId) -> None:
        """Wait until this node is ready and its ingress sandbox stands, so that what ``init`` promises is there."""
        manager = self.control()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while not (
                    (node := manager.nodes.get(node_id)).is_ready
                    and node.attachment is not None
                    and self._engine.networks.cluster.ingress_addresses
                ):
                    await self._clock.sleep(0.005)
                # Known is not made yet: the devices are there when whoever works at the network has let go of it.
                await self._engine.networks.applied()

    def networks(self) -> Sequence[Network]:
        """The swarm's networks: all of them on a manager, those that are here on a worker."""
        if self.manager is not None:
            return self.manager.networks.list()
        return list(self._engine.networks.cluster.networks.values())

    def attachable(self, ref: str) -> tuple[str, str] | None:
        """The id and the name of a network that plain containers may join, though it is not on this node yet."""
        known = self._worker.attachable() if self._worker is not None else {}
        return next(((key, name) for key, name in known.items() if ref in (key, name)), None)

    def info(self) -> SwarmInfo:
        """Where this node stands (``/info``)."""
        member = self.membership
        if member is None:
            return SwarmInfo()
        error = membership.describe(self._failure) if self._failure is not None else ""
        error = error or (self._line.refusal if self._line is not None else "")
        managers = [RemoteManager(node_id=key, addr=address) for key, address in self._managers().items()]
        return SwarmInfo(
            node_id=member.node_id,
            node_addr=member.data_path,
            local_node_state="error" if error else "active",
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

    async def logs(self, target: Service | Task, query: LogQuery) -> AsyncIterator[TaskLine]:
        """What a task, or a service's tasks, have written."""
        return self.control().logs.of(target, query)

    def end_logs(self) -> None:
        """shoald ends: whoever follows a log would be waited for."""
        if self.manager is not None:
            self.manager.logs.close()

    async def _send_log(self, asked: ReadLog, stream: Stream) -> None:
        await logs.send_log(asked, stream, read=self._task_log, clock=self._clock)

    async def _task_log(self, task_id: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """The log of a task of this node. Raises NotFound for one that has no container here, or is none."""
        for container in self._engine.records.all():
            if task_id and container.task_id == task_id:
                return await self._engine.streams.logs(container.id, query)
        raise NotFound(f"task {task_id} has no container on this node")

    async def unlock(self, key: str) -> None:
        """Raises Conflict: there is nothing to unlock."""
        raise Conflict("swarm is not locked")

    async def attach(self, container: Container, network_id: str) -> Sequence[str]:
        """A plain container's addresses on a network of the swarm (:class:`shoal.engine.lifecycle.Attacher`)."""
        if self.membership is None:
            raise NotFound(f"network {network_id} not found")
        if self._line is None or self._worker is None:
            raise Unavailable(f"this node is not in touch with its swarm yet: network {network_id} has no addresses")
        settings = next(s for s in container.networks.values() if s.network_id == network_id)
        aliases = [*(settings.aliases or []), container.short_id]
        task_id = await self._line.attach(container.id, container.name, network_id, aliases)
        try:
            async with asyncio.timeout(_ATTACH_SECONDS):
                return await self._worker.attached(task_id)
        except TimeoutError as error:
            await self._line.detach(task_id)
            raise Unavailable(f"the swarm gives {container.name} no address on network {network_id}") from error

    async def detach(self, container_id: str, network_id: str | None = None) -> None:
        """A plain container has left that network, or all of the swarm's."""
        if self._line is not None and self._worker is not None:
            for task_id in self._worker.attachments_of(container_id, network_id):
                await self._line.detach(task_id)

    def describe(self) -> NodeDescription:
        """This machine, for the swarm."""
        return describe(self._engine.facts, files.load(self._certificates))


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
