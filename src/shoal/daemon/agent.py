"""This node as one that runs the swarm's tasks: its worker, its line to the leader, and plain containers' places on the
swarm's networks."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Any

from shoal.agent import logs
from shoal.agent.controller import ContainerController, Controller
from shoal.agent.reach import PeerWatch
from shoal.agent.session import ManagerSession
from shoal.agent.streams import Stream
from shoal.agent.worker import Worker
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.daemon.membership import Membership
from shoal.engine.engine import Engine
from shoal.errors import NotFound, ShoalError, Unavailable
from shoal.kernel import netns
from shoal.kernel.echo import EchoSocket
from shoal.kernel.routes import mtu_of
from shoal.network.node import INGRESS_NETNS
from shoal.objects.container import Container
from shoal.objects.node import NodeDescription
from shoal.objects.results import LogLine, LogQuery
from shoal.objects.task import Task, TaskStatus
from shoal.pki.identity import MANAGER_NAME
from shoal.wire.cluster import Assignments, ClusterResource, ReadLog

_log = logging.getLogger(__name__)
# How long an address for a plain container may take, in seconds.
_ATTACH_SECONDS = 10


class NodeAgent:
    """``managers`` are those to dial, the likeliest leader first; ``heed`` hears, with every version, what the leader
    says of the swarm and of this node in it; ``removed`` is called when it is nothing any more."""

    def __init__(
        self,
        *,
        engine: Engine,
        managers: Callable[[], Sequence[str]],
        describe: Callable[[], NodeDescription],
        followed: Callable[[], int],
        heed: Callable[[ClusterResource], None],
        removed: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._engine = engine
        self._managers = managers
        self._describe = describe
        self._followed = followed
        self._heed = heed
        self._removed = removed
        self._clock = clock
        self._worker: Worker | None = None
        self._line: ManagerSession | None = None
        self._tasks: list[asyncio.Task[Any]] = []

    async def declare(self, member: Membership) -> None:
        """Tell the engine of the swarm's networks as they were; no task is touched yet."""
        self._worker = self._make_worker(member)
        await self._worker.declare()

    async def start(self, member: Membership, tls: ssl.SSLContext | None) -> None:
        """Go on with the tasks; without ``tls`` there is nobody to talk to, and they go on all the same."""
        worker = self._worker = self._worker or self._make_worker(member)
        await self._engine.local_networks.ensure_gateway_bridge()
        if tls is None:
            await worker.start()
            return
        self._line = line = ManagerSession(
            managers=self._managers,
            tls=tls,
            server_name=MANAGER_NAME,
            describe=self._describe,
            followed=self._followed,
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
        watch = PeerWatch(
            peers=worker.peers,
            open_echo=lambda: EchoSocket.open(netns.BASE / INGRESS_NETNS),
            changed=worker.lose,
            clock=self._clock,
        )
        self._tasks = [
            spawn(line.run(), name="session with the manager"),
            spawn(watch.run(), name="reach of other nodes"),
        ]

    async def part(self) -> None:
        """End the line to the leader; tasks and networks stay as they are."""
        await cancel(*self._tasks)
        self._tasks = []
        self._line = None

    async def stop(self) -> None:
        """shoald ends: tasks and networks stay as they are."""
        await self.part()
        if self._worker is not None:
            await self._worker.leave()

    async def leave(self) -> None:
        """Say that this node leaves the swarm, if somebody is there to hear it."""
        if self._line is not None:
            await self._line.leave()

    async def clear(self) -> None:
        """Nothing of the swarm runs here any more."""
        await self._disconnect_all()
        if self._worker is not None:
            await self._worker.clear()

    async def end(self) -> None:
        """This node is in no swarm any more."""
        await self.part()
        await self.clear()
        self._worker = None

    @property
    def known_managers(self) -> dict[str, str]:
        """The managers that the last snapshot has, by node."""
        return self._worker.managers() if self._worker is not None else {}

    @property
    def issuer(self) -> str:
        """The root (PEM) of which this node's certificate is to be, as the last snapshot has it; empty for any."""
        return cluster.issuer if self._worker is not None and (cluster := self._worker.cluster) else ""

    async def tell(self) -> None:
        """Describe this node anew; without a session the next one begins with that."""
        if self._line is not None:
            await self._line.tell()

    @property
    def refusal(self) -> str:
        """Why no manager takes this node; empty while one does."""
        return self._line.refusal if self._line is not None else ""

    @property
    def unreached(self) -> Collection[str]:
        """The nodes that do not answer through the tunnels."""
        return self._worker.lost if self._worker is not None else ()

    def attachable(self) -> dict[str, str]:
        """The names, by id, of the networks that plain containers may join."""
        return self._worker.attachable() if self._worker is not None else {}

    async def relay(self, node_id: str, wanted: ReadLog) -> None:
        """Have the leader ask a node for a log. Raises ConnectionError without a line to it."""
        if self._line is None:
            raise ConnectionResetError("there is no session with the leader")
        await self._line.relay(node_id, wanted)

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
            remove_others=self.remove_tasks_but,
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

    async def _assign(self, assignments: Assignments) -> None:
        assert self._worker is not None
        try:
            await self._worker.assign(assignments)
        finally:
            await self._detach_strays()
        if (cluster := self._worker.cluster) is not None:
            self._heed(cluster)

    async def _detach_strays(self) -> None:
        """Give back attachments that no container here has: their request's answer, or word of their end, was lost."""
        assert self._worker is not None and self._line is not None
        for task_id, container_id, network_id in list(self._worker.attachments()):
            if self._engine.lifecycle.is_being_changed(container_id):
                continue
            sandbox = self._engine.networks.sandboxes.get(container_id)
            if sandbox is None or all(endpoint.network_id != network_id for endpoint in sandbox.endpoints):
                await self._line.detach(task_id)

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

    async def remove_tasks_but(self, task_ids: Collection[str]) -> None:
        """Remove the containers of all tasks but these."""
        for container in self._engine.containers.list():
            if container.task_id and container.task_id not in task_ids:
                try:
                    await self._engine.containers.remove(container.id, force=True, volumes=True)
                except ShoalError as error:
                    _log.warning("the container %s of a task that is gone stays: %s", container.name, error)

    async def _send_log(self, asked: ReadLog, stream: Stream) -> None:
        await logs.send_log(asked, stream, read=self._task_log, clock=self._clock)

    async def _task_log(self, task_id: str, query: LogQuery) -> AsyncIterator[LogLine]:
        """The log of a task of this node. Raises NotFound for one that has no container here, or is none."""
        for container in self._engine.records.all():
            if task_id and container.task_id == task_id:
                return await self._engine.streams.logs(container.id, query)
        raise NotFound(f"task {task_id} has no container on this node")

    async def attach(self, container: Container, network_id: str) -> Sequence[str]:
        """A plain container's addresses on a network of the swarm. Raises Unavailable, Forbidden."""
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
