"""Sessions with the nodes' agents: the differences go out, observed states come in.

What changed in the store marks nodes as dirty; a short pause lets changes that come together go out together. A node's
status is the dispatcher's to write: ready once its session has begun, down when it was not heard for too long.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from shoal.aio.broadcast import Lagged
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import ShoalError, Unavailable
from shoal.manager.admission import check_tunnel, detach_all, member, sane_mtu
from shoal.manager.dispatcher.attachments import attach, detach
from shoal.manager.dispatcher.snapshot import (
    NO_SERVICE,
    Difference,
    difference,
    node_resource,
    render,
    services_by_network,
)
from shoal.manager.dispatcher.streams import NodeStream, Streams
from shoal.manager.dispatcher.withdrawals import PATIENCE, Withdrawals, is_serving
from shoal.manager.rotation import trusted_by
from shoal.objects.base import timestamp
from shoal.objects.cluster import Cluster
from shoal.objects.defaults import HEARTBEAT_NANOSECONDS
from shoal.objects.ids import NodeId, swarm_id
from shoal.objects.network import Network
from shoal.objects.node import Node, NodeStatus
from shoal.objects.secret import Config, Secret
from shoal.objects.service import Service
from shoal.objects.state import TaskState
from shoal.objects.task import Task
from shoal.store.store import Store
from shoal.store.tx import Action, Event, Tx
from shoal.wire.cluster import (
    Applied,
    Assignments,
    AttachNetwork,
    DetachNetwork,
    FromAgent,
    FromManager,
    Heartbeat,
    HeartbeatTaken,
    Hello,
    Leaving,
    NetworkAttached,
    NodeResource,
    ReadLog,
    RelayRead,
    Resource,
    Revision,
    ServiceResource,
    StatusReport,
    StatusTaken,
    StatusUpdate,
    Welcome,
)

_log = logging.getLogger(__name__)

# Long enough for the commits of one burst, short enough not to be felt.
_GATHER = 0.002
_SHORTEST_PERIOD = 1_000_000_000
# Agents are to be heard this often in the period after which silence means that the machine is dead.
_BEATS = 3
# A node whose line was closed is given this many periods: its kernel closed it, so the machine lives, and with it what
# runs there, while shoald is being restarted or upgraded.
_GRACE = 3
# One whose kernel does not answer either, and that does not come to a leader which has taken over from another: that
# takes most of a period in itself, and a node that lives has left the old one within a period, and tries all managers
# several times a second.
_TAKEOVER = 0.6
# What a node says of a task's end is kept so far, in characters.
_LONGEST_TEXT = 4096
# How often in a period it is looked at.
_LOOKS = 10


class Connection(Protocol):
    """The way to one agent."""

    async def send(self, message: FromManager) -> None:
        """Send a message; raises ConnectionError when the agent is gone."""
        ...

    async def close(self, *, removed: bool = False) -> None:
        """End the session from this side; ``removed`` says that the node is a member no longer."""
        ...


class Session:
    """One agent's session: what it was sent, and what it has said to have applied."""

    def __init__(self, node_id: str, connection: Connection, clock: Clock) -> None:
        self.node_id = node_id
        self.session_id = swarm_id()
        self.connection = connection
        self.sent: dict[str, Resource] = {}
        self.version = 0
        self.applied = 0
        self.offered = 0
        self.applied_offer = 0
        self._offers: dict[int, int] = {}
        self._clock = clock
        self.heard = clock.monotonic()
        # How long it may be silent, in seconds, as it was told when it began.
        self.period = 0.0
        self._wanted: tuple[dict[str, Resource], Revision] | None = None
        self._networks: frozenset[str] = frozenset()
        self._sender: asyncio.Task[None] | None = None

    def touch(self) -> None:
        """The agent was heard of."""
        self.heard = self._clock.monotonic()

    def offer(self, rendered: dict[str, Resource], revision: Revision) -> None:
        """Have sent what differs from what was sent before; the first time all of it. It was rendered of ``revision``.

        Returns at once: an agent that is slow to read is told the newest state when it has read the one before, and
        holds up nobody else.
        """
        self.offered += 1
        self._wanted = (rendered, revision)
        self._networks = frozenset(key for key in rendered if key.startswith("network/"))
        if self._sender is None or self._sender.done():
            self._sender = spawn(self._send(), name=f"assignments for {self.node_id}")

    def has_any(self, networks: Iterable[str]) -> bool:
        """Whether the node was offered one of these networks, by their ids."""
        return any(f"network/{network_id}" in self._networks for network_id in networks)

    async def _send(self) -> None:
        while (wanted := self._wanted) is not None:
            (rendered, revision), self._wanted = wanted, None
            offer = self.offered
            full = self.version == 0
            change = difference(self.sent, rendered)
            if not change and not full:
                self._offers[self.version] = offer
                self.note_applied(self.applied)
                continue
            self.sent = rendered
            self.version += 1
            self._offers[self.version] = offer
            try:
                await self.connection.send(_assignments(self.version, change, revision, full=full))
            except ConnectionError:
                _log.info("node %s went away while it was told of changes", self.node_id)
                return

    def note_applied(self, version: int) -> None:
        """The agent has applied that version, and with it what was offered up to then."""
        self.applied = max(self.applied, version)
        for known in [known for known in self._offers if known <= self.applied]:
            self.applied_offer = max(self.applied_offer, self._offers.pop(known))

    async def close(self, *, removed: bool = False) -> None:
        """End the session from this side; ``removed`` tells the node that it is a member no longer."""
        await cancel(self._sender)
        await self.connection.close(removed=removed)


def _assignments(version: int, change: Difference, revision: Revision, *, full: bool) -> Assignments:
    return Assignments(
        version=version, base=version - 1, full=full, put=change.put, remove=change.remove, revision=revision
    )


class Dispatcher:
    """All nodes' sessions, which are the leader's. ``run`` feeds them; ``serve`` is called by the server for each
    connection. ``streams`` are the manager's; ``unreached`` are the nodes that this manager's own does not reach."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        streams: Streams,
        unreached: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._store = store
        self._unreached = unreached
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._streams = streams
        self._services: dict[str, dict[str, ServiceResource]] = {}
        self._nodes: dict[str, NodeResource] = {}
        self._withdrawals: Withdrawals[Session] = Withdrawals()
        self._closed = False
        # Whom the dispatcher before this one had told what is not known here.
        self._settling_until: float | None = clock.monotonic() + PATIENCE

    @property
    def heartbeat_period(self) -> int:
        """How long a node may be silent before it is down, in nanoseconds; a second at least, whatever is asked for."""
        clusters = self._store.view.all(Cluster)
        asked = clusters[0].spec.dispatcher.heartbeat_period if clusters else None
        return max(asked or HEARTBEAT_NANOSECONDS, _SHORTEST_PERIOD)

    @property
    def _revision(self) -> Revision:
        clusters = self._store.view.all(Cluster)
        return Revision(clusters[0].epoch if clusters else 0, self._store.revision)

    async def run(self) -> None:
        """Send every session what changes, until cancelled or the store is closed."""
        with self._store.watch() as events:
            self._render_all()
            while True:
                try:
                    batches = await events.drain()
                    await self._clock.sleep(_GATHER)
                except Lagged:
                    served = self._serving_tasks()
                    self._render_all()
                    for task in filter(None, (self._store.view.get(Task, task_id) for task_id in served)):
                        self._note_withdrawal(task)
                    await self._offer(self._sessions.values())
                else:
                    if not batches:
                        return
                    await self._offer(self._note(event for batch in batches for event in batch))
                    await self._end_removed()

    def _render_all(self) -> None:
        view = self._store.view
        self._nodes = {node.id: node_resource(node) for node in view.all(Node)}
        services = [NO_SERVICE, *view.all(Service)]
        self._services = {service.id: services_by_network(view, service) for service in services}

    def _note(self, events: Iterable[Event]) -> list[Session]:
        """Take down changes; return the sessions that can be concerned: mostly those of the nodes whose tasks changed
        and of the nodes on the networks where a service looks different now."""
        everybody = False
        nodes: set[str] = set()
        changed: set[str] = set()
        for event in events:
            match event.obj:
                case Task() as task:
                    self._note_task(event, task)
                    changed.add(task.service_id or "")
                    nodes.add(task.node_id or "")
                case Service() as changed_service:
                    changed.add(changed_service.id)
                case Network() | Secret() | Config() | Cluster():
                    everybody = True
                case Node() as node:
                    everybody |= self._note_node(node, gone=event.action is Action.DELETE)
                    everybody |= isinstance(event.old, Node) and _standing(event.old) != _standing(node)
        networks = {network_id for service_id in changed for network_id in self._note_service(service_id)}
        return [s for s in self._sessions.values() if everybody or s.node_id in nodes or s.has_any(networks)]

    def _note_task(self, event: Event, task: Task) -> None:
        if event.action is Action.DELETE:
            self._withdrawals.forget(task.id)
            return
        if isinstance(event.old, Task) and is_serving(event.old):
            self._note_withdrawal(task)

    def _note_withdrawal(self, task: Task) -> None:
        """A task that was serving has changed."""
        networks = [attachment.network.id for attachment in task.networks_attachments or ()]
        others = [s for s in self._sessions.values() if s.node_id != task.node_id and s.has_any(networks)]
        self._withdrawals.note(task, others, self._clock.monotonic())

    def _serving_tasks(self) -> set[str]:
        """The tasks that nodes were told to serve."""
        resources = [resource for found in self._services.values() for resource in found.values()]
        return {endpoint.task_id for resource in resources for endpoint in resource.endpoints if endpoint.serving}

    def _as_seen(self, task: Task) -> Task:
        """A task as its own node is to see it: as long as others are told that it serves, it is not to be stopped. The
        store may be ahead of what has been noted."""
        if task.state == TaskState.RUNNING and not is_serving(task):
            if self._settling_until is not None:
                return replace(task, desired_state=TaskState.RUNNING.word)
            told = self._services.get(task.service_id or "", {}).values()
            if any(e.serving and e.task_id == task.id for resource in told for e in resource.endpoints):
                return replace(task, desired_state=TaskState.RUNNING.word)
        return self._withdrawals.seen(task)

    async def _release(self) -> None:
        """Tell the nodes of tasks to which nobody sends any more that they may stop them."""
        if self._settling_until is not None and (
            self._clock.monotonic() >= self._settling_until or self._all_have_applied()
        ):
            self._settling_until = None
            await self._offer(self._sessions.values())
        if self._withdrawals:
            nodes = self._withdrawals.release(self._clock.monotonic(), self._is_present)
            if nodes:
                await self._offer([s for s in self._sessions.values() if s.node_id in nodes])

    def _all_have_applied(self) -> bool:
        """Whether every node that is ready has taken in what this dispatcher has told it."""
        ready = (node.id for node in self._store.view.all(Node) if node.is_ready)
        return all((session := self._sessions.get(key)) is not None and session.applied for key in ready)

    def _is_present(self, session: Session) -> bool:
        return self._sessions.get(session.node_id) is session

    def _note_node(self, node: Node, *, gone: bool) -> bool:
        """Take down what others are told of a node; say whether that has changed."""
        before = self._nodes.pop(node.id, None)
        if not gone:
            now = node_resource(node)
            # The same object as long as nothing has changed, so that differences are found by identity.
            self._nodes[node.id] = before if before == now and before is not None else now
        return before != self._nodes.get(node.id)

    def _note_service(self, service_id: str) -> list[str]:
        """Take down how a service looks on its networks; return those where that has changed."""
        view = self._store.view
        service = view.get(Service, service_id) if service_id else NO_SERVICE
        before = self._services.pop(service_id, {})
        if service is not None:
            self._services[service_id] = services_by_network(view, service)
        now = self._services.get(service_id, {})
        return [network_id for network_id in before | now if before.get(network_id) != now.get(network_id)]

    async def _offer(self, sessions: Iterable[Session]) -> None:
        if not (concerned := list(sessions)):
            return
        by_network: dict[str, list[ServiceResource]] = {}
        for resources in self._services.values():
            for network_id, resource in resources.items():
                by_network.setdefault(network_id, []).append(resource)
        for session in concerned:
            # A snapshot takes about a millisecond: others have their turn in between.
            await asyncio.sleep(0)
            rendered = render(self._store.view, session.node_id, by_network, self._nodes, self._as_seen)
            session.offer(rendered, self._revision)
            self._withdrawals.told(session)

    async def serve(self, node_id: str, connection: Connection, hello: Hello) -> Session:
        """Open a session for a node that has said hello. Raises Forbidden for one that is no member, Removed for one
        that was.

        An older session of the same node is ended: a machine has one agent.
        """
        member(self._store.view, node_id)
        check_tunnel(hello.addr, self._store.view)
        session = Session(node_id, connection, self._clock)
        await self._replace(session)
        period = self.heartbeat_period
        session.period = period / 1e9
        welcome = Welcome(
            session_id=session.session_id,
            heartbeat_period=period // _BEATS,
            revision=self._revision,
        )
        await connection.send(welcome)

        def ready(tx: Tx) -> None:
            if (current := tx.get(Node, node_id)) is not None:
                status = NodeStatus(state="ready", addr=hello.addr)
                told = replace(current, status=status, underlay_mtu=sane_mtu(hello.mtu))
                tx.update(_described(told, hello))

        await self._store.update(ready)
        self._check_open()
        # Another connection of the node may have come as far meanwhile: the last one counts.
        await self._replace(session)
        self._check_open()
        self._sessions[node_id] = session
        present = self._store.view.get(Node, NodeId(node_id))
        news = present is not None and self._note_node(present, gone=False)
        await self._offer(self._sessions.values() if news else [session])
        return session

    def _check_open(self) -> None:
        """Raise Unavailable once this dispatcher is nobody's: its manager does not lead any more."""
        if self._closed:
            raise Unavailable("this manager does not lead the swarm any more")

    async def _end_removed(self) -> None:
        """End the sessions of nodes that are members no longer, which are told so."""
        for session in [s for s in self._sessions.values() if s.node_id not in self._nodes]:
            self.end(session)
            await session.close(removed=True)

    async def _replace(self, session: Session) -> None:
        """End the node's present session, if there is one; its node is not down for that."""
        if (older := self._sessions.pop(session.node_id, None)) is not None:
            self._streams.end(session.node_id)
            await older.close()

    async def receive(self, session: Session, message: FromAgent) -> None:
        """Take in one message of an agent."""
        self._check_open()
        session.touch()
        match message:
            case StatusReport(number=number, updates=updates):
                await self._store.update(lambda tx: self._take(tx, session.node_id, updates))
                await session.connection.send(StatusTaken(number=number))
            case AttachNetwork():
                await session.connection.send(await self._attach(session.node_id, message))
            case DetachNetwork(task_id=task_id):
                await self._store.update(lambda tx: detach(tx, session.node_id, task_id))
            case Applied(version=version):
                session.note_applied(version)
                await self._release()
            case Leaving():
                self.end(session)
                await self._store.update(lambda tx: detach_all(tx, session.node_id))
                await self._down(session.node_id, "it has left the swarm")
            case RelayRead():
                await self._relay(session.node_id, message)
            case Heartbeat():
                await session.connection.send(HeartbeatTaken())
            case Hello():
                await self._store.update(lambda tx: self._describe(tx, session.node_id, message))

    def _describe(self, tx: Tx, node_id: str, hello: Hello) -> None:
        node = tx.get(Node, node_id)
        if node is not None and (told := _described(node, hello)) != node:
            tx.update(told)

    async def open_stream(self, node_id: str, ask: Callable[[str], ReadLog]) -> NodeStream:
        """A stream from that node, which is asked for it with ``ask`` of the stream's id. Raises Unavailable when the
        node has no session, or does not answer."""
        if (session := self._sessions.get(node_id)) is None:
            raise Unavailable(f"node {node_id} is not available")
        return await self._streams.open(node_id, lambda stream_id: session.connection.send(ask(stream_id)))

    async def _relay(self, manager_id: str, message: RelayRead) -> None:
        """Another manager wants a node's log: it hears from the node itself, or from nobody in time."""
        asking = self._store.view.get(Node, manager_id)
        if asking is None or asking.spec.role != "manager":
            _log.warning(
                "node %s is no manager, and asks for the log of a task of node %s", manager_id, message.node_id
            )
        elif (session := self._sessions.get(message.node_id)) is not None:
            with suppress(ConnectionError):
                await session.connection.send(message.wanted)

    async def _attach(self, node_id: str, asked: AttachNetwork) -> NetworkAttached:
        try:
            task_id = await self._store.update(lambda tx: attach(tx, node_id, asked, self._clock.now()))
        except ShoalError as error:
            return NetworkAttached(number=asked.number, error=str(error))
        return NetworkAttached(number=asked.number, task_id=task_id)

    def _take(self, tx: Tx, node_id: str, updates: Iterable[StatusUpdate]) -> None:
        """Write observed states: only of the node's own tasks, only upwards, and only those that are an agent's."""
        now = timestamp(self._clock.now())
        for update in updates:
            task = tx.get(Task, update.task_id)
            if task is None or task.node_id != node_id or not TaskState.is_word(update.status.state):
                continue
            status = replace(
                update.status,
                timestamp=update.status.timestamp or now,
                message=(update.status.message or "")[:_LONGEST_TEXT] or None,
                err=(update.status.err or "")[:_LONGEST_TEXT] or None,
            )
            told = replace(task, status=status)
            if told.state >= max(task.state, TaskState.ASSIGNED) and told.status != task.status:
                tx.update(told)

    def end(self, session: Session) -> None:
        """The session is over. Its node is not down for that: a line that broke, or an agent that was restarted, comes
        back within the time that :meth:`watch_heartbeats` gives it, and no task is moved meanwhile."""
        if self._sessions.get(session.node_id) is session:
            del self._sessions[session.node_id]
            self._streams.end(session.node_id)

    async def _down(self, node_id: str, why: str) -> None:
        def change(tx: Tx) -> None:
            node = tx.get(Node, node_id)
            if node is not None and node_id not in self._sessions:
                tx.update(replace(node, status=replace(node.status, state="down", message=why)))

        try:
            await self._store.update(change)
        except ShoalError as error:
            # It is looked at again in half a period.
            _log.warning("node %s is down, which cannot be written: %s", node_id, error)

    async def watch_heartbeats(self) -> None:
        """End sessions that have gone silent, until cancelled. A node that is ready in the store and has no session,
        such as one that died while no manager ran, is given longer to come back."""
        absent: dict[str, float] = {}
        before = began = self._clock.monotonic()
        has_taken_over = sum(node.manager_status is not None for node in self._store.view.all(Node)) > 1
        while True:
            period = self.heartbeat_period / 1e9
            pause = period / _LOOKS
            await self._clock.sleep(pause)
            now = self._clock.monotonic()
            if (late := now - before - pause) > pause:
                # This manager was not there itself: nobody is dead for that.
                absent = {node_id: since + late for node_id, since in absent.items()}
                for session in self._sessions.values():
                    session.heard += late
            before = now
            await self._release()
            silent = [s for s in self._sessions.values() if s.heard < now - max(s.period, period)]
            for session in silent:
                self.end(session)
                await self._down(session.node_id, "heartbeat failure")
            # Only then, and all at once: a farewell to who does not hear it takes its time.
            await asyncio.gather(*(session.close() for session in silent), return_exceptions=True)
            ready = {node.id for node in self._store.view.all(Node) if node.is_ready}
            absent = {node_id: absent.get(node_id, now) for node_id in ready - self._sessions.keys()}
            for node_id, since in absent.items():
                is_dead = has_taken_over and since <= began + pause * 2 and node_id in self._unreached()
                if since < now - period * (_TAKEOVER if is_dead else _GRACE):
                    await self._down(node_id, "heartbeat failure")

    async def close(self) -> None:
        """End every session, without calling the nodes down, and begin no more: the manager goes, they stay."""
        self._closed = True
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            self._streams.end(session.node_id)
        # All at once: a farewell to who does not hear it takes its time.
        await asyncio.gather(*(session.close() for session in sessions), return_exceptions=True)


def _described(node: Node, hello: Hello) -> Node:
    return replace(node, description=hello.description, rotation=hello.rotation)


def _standing(node: Node) -> tuple[object, ...]:
    """What a node is in the swarm; of a manager, where it is reached, if it is one yet, and whether others may have
    their turn to change what they trust."""
    status = node.manager_status
    if status is None:
        return (node.spec.role,)
    return node.spec.role, status.addr, status.reachability == "unknown", node.is_ready, trusted_by(node), node.rotation
