"""The node's snapshot and what follows from it: the networks, then one runner a task.

A new version is applied in this order: networks first, so that what is withdrawn gets no new connections before it is
stopped, and what starts finds its network; then tasks; then the version is acknowledged. The snapshot and the last
reported states are on disk: a node that boots without a manager goes on with them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator

import msgspec

from shoal.agent.attachments import Attachments
from shoal.agent.controller import Controller
from shoal.agent.networks import cluster_networks
from shoal.agent.runner import Runner
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.engine.cluster import ClusterNetworks
from shoal.errors import ShoalError
from shoal.localdb.localdb import INCOMPLETE, INCOMPLETE_TASKS, Delete, LocalDB, Mark, Put
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus
from shoal.wire.cluster import (
    Assignments,
    ClusterResource,
    NodeResource,
    Resource,
    Revision,
    ServiceResource,
    TaskResource,
)

_log = logging.getLogger(__name__)
RESOURCE, _STATUS, _SEEN = "resource", "task-status", "seen"
# Before the next try to remove a task, in seconds.
_AGAIN = 1.0


class Kept(msgspec.Struct, frozen=True):
    """A resource as it lies in the local database."""

    resource: Resource


# What lies in the local database, by kind.
KINDS: dict[str, type[msgspec.Struct]] = {RESOURCE: Kept, _STATUS: TaskStatus, _SEEN: Revision}


class Worker:
    """Makes this node what its snapshot says. ``tell_networks`` hands the engine the swarm's networks;
    ``remove_others`` removes the containers of all tasks but those named; ``is_alone`` says that no manager can be
    reached, ``hand_over`` tells one of a task's status and whether it took it."""

    def __init__(
        self,
        *,
        node_id: str,
        underlay_mtu: int,
        controller_of: Callable[[Task], Controller],
        tell_networks: Callable[[ClusterNetworks], Awaitable[None]],
        remove_others: Callable[[Collection[str]], Awaitable[None]],
        report: Callable[[str, TaskStatus], None],
        is_alone: Callable[[], bool],
        hand_over: Callable[[str, TaskStatus], Awaitable[bool]],
        db: LocalDB,
        clock: Clock,
    ) -> None:
        self._node_id = node_id
        self._underlay_mtu = underlay_mtu
        self._controller_of = controller_of
        self._tell_networks = tell_networks
        self._remove_others = remove_others
        self._tell = report
        self._is_alone = is_alone
        self._hand_over = hand_over
        self._db = db
        self._clock = clock
        self._resources: dict[str, Resource] = {}
        self._statuses: dict[str, TaskStatus] = {}
        self._runners: dict[str, Runner] = {}
        self._leaving: dict[str, tuple[Runner, asyncio.Task[None]]] = {}
        self._lock = asyncio.Lock()
        self._attachments = Attachments()
        self._is_incomplete = False
        self.lost: frozenset[str] = frozenset()
        self._resting: set[str] = set()
        self.seen = Revision()

    async def declare(self) -> None:
        """Read the snapshot on disk, and say what the swarm's networks were; no task is touched yet."""
        kept = await self._db.load(RESOURCE, Kept)
        self._resources = {key: found.resource for key, found in kept.items()}
        self._statuses = await self._db.load(_STATUS, TaskStatus)
        self.seen = (await self._db.load(_SEEN, Revision)).get(_SEEN, Revision())
        self._is_incomplete = INCOMPLETE_TASKS in await self._db.load(INCOMPLETE, Mark)
        if self._resources:
            await self._tell_networks(self._networks())

    async def start(self) -> None:
        """Go on with the tasks of the snapshot on disk; what else there is of tasks was being removed."""
        given = {r.task.id for r in self._resources.values() if isinstance(r, TaskResource)}
        if not self._is_incomplete:
            await self._remove_others(given)
        await self._drop_statuses(set(self._statuses) - given)
        if self._resources:
            try:
                await self._apply()
            except ShoalError as error:
                _log.warning("the swarm's networks could not be made as wanted: %s", error)

    def _networks(self) -> ClusterNetworks:
        ended = {task_id for task_id, status in self._statuses.items() if is_terminal(TaskState.of(status.state))}
        ended |= self._resting
        return cluster_networks(
            self._resources.values(), self._node_id, self._underlay_mtu, ended=ended, lost=self.lost
        )

    def managers(self) -> dict[str, str]:
        """The swarm's managers by their node's ids, as ``address:port``; none before the first snapshot."""
        return cluster.managers if (cluster := self.cluster) else {}

    def attachable(self) -> dict[str, str]:
        """The names, by id, of the networks that plain containers may join, wherever they are by now."""
        return cluster.attachable if (cluster := self.cluster) else {}

    @property
    def cluster(self) -> ClusterResource | None:
        """What the snapshot says of the swarm; None before the first."""
        found = self._resources.get("cluster")
        return found if isinstance(found, ClusterResource) else None

    def peers(self) -> dict[str, str]:
        """The addresses of the other nodes' ingress sandboxes, by node."""
        return {
            found.node_id: found.ingress_addresses[0].partition("/")[0]
            for found in self._resources.values()
            if isinstance(found, NodeResource) and found.ingress_addresses and found.node_id != self._node_id
        }

    async def lose(self, nodes: frozenset[str]) -> None:
        """Send nothing to the tasks of these nodes, which are out of reach, until others are named."""
        async with self._lock:
            self.lost = nodes
            try:
                await self._tell_networks(self._networks())
            except ShoalError as error:
                _log.warning("the tasks of nodes out of reach cannot be withdrawn here yet: %s", error)

    async def attached(self, task_id: str) -> list[str]:
        """The addresses of a plain container's attachment, once they and its network are here."""
        return await self._attachments.wait(task_id)

    def attachments(self) -> Iterator[tuple[str, str, str]]:
        """All attachments of plain containers here: task, container, network."""
        return self._attachments.all()

    def attachments_of(self, container_id: str, network_id: str | None = None) -> list[str]:
        """The tasks that stand for a plain container's attachments, to that network or to any."""
        return self._attachments.of(container_id, network_id)

    def statuses(self) -> dict[str, TaskStatus]:
        """The last state of each task here, for a manager that may have missed it."""
        return dict(self._statuses)

    async def assign(self, assignments: Assignments) -> None:
        """Take in a new version. Raises ShoalError when the network cannot be made so; the tasks have been told all the
        same, since those that are to stop must."""
        async with self._lock:
            removed = set(assignments.remove)
            if assignments.full:
                removed = set(self._resources) - {resource.key for resource in assignments.put}
            for key in removed:
                self._resources.pop(key, None)
            self._resources |= {resource.key: resource for resource in assignments.put}
            changes: list[Put | Delete] = [Put(RESOURCE, r.key, Kept(r)) for r in assignments.put]
            changes += [Delete(RESOURCE, key) for key in removed]
            if assignments.revision > self.seen:
                self.seen = assignments.revision
                changes.append(Put(_SEEN, _SEEN, self.seen))
            if changes:
                await self._db.keep(changes)
            await self._apply()
            if assignments.full and self._is_incomplete:
                await self._complete()

    async def _complete(self) -> None:
        """The snapshot on disk had lost a part, and here is a whole one: what else there is of tasks can go now."""
        await self._remove_others({r.task.id for r in self._resources.values() if isinstance(r, TaskResource)})
        await self._db.keep([Delete(INCOMPLETE, INCOMPLETE_TASKS)])
        self._is_incomplete = False

    async def _apply(self) -> None:
        failed: ShoalError | None = None
        try:
            await self._tell_networks(self._networks())
        except ShoalError as error:
            failed = error
        given = [r.task for r in self._resources.values() if isinstance(r, TaskResource)]
        tasks = {task.id: task for task in given if task.spec.network_attachment_spec is None}
        self._attachments.offer({t.id: t for t in given if t.spec.network_attachment_spec is not None})
        for task_id in [key for key in self._runners if key not in tasks]:
            runner = self._runners.pop(task_id)
            self._leaving[task_id] = (runner, spawn(self._forget(task_id, runner), name=f"remove task {task_id}"))
        for task_id, task in tasks.items():
            runner = self._runners.get(task_id) or self._begin(task)
            runner.want(task.desired)
        if failed is not None:
            raise failed

    def _begin(self, task: Task) -> Runner:
        runner = Runner(
            task=task,
            status=self._statuses.get(task.id),
            controller=self._controller_of(task),
            report=self._report,
            is_alone=self._is_alone,
            hand_over=self._hand_over,
            rests=self._rests,
            clock=self._clock,
        )
        self._runners[task.id] = runner
        runner.start()
        return runner

    async def _forget(self, task_id: str, runner: Runner) -> None:
        while True:
            try:
                await runner.remove()
                break
            except ShoalError as error:
                _log.warning("task %s cannot be removed yet: %s", task_id, error)
            await self._clock.sleep(_AGAIN)
        await self._drop_statuses([task_id])
        self._resting.discard(task_id)
        del self._leaving[task_id]

    async def _drop_statuses(self, task_ids: Collection[str]) -> None:
        for task_id in task_ids:
            self._statuses.pop(task_id, None)
        if task_ids:
            await self._db.keep([Delete(_STATUS, task_id) for task_id in task_ids])

    async def _report(self, task_id: str, status: TaskStatus) -> None:
        self._statuses[task_id] = status
        if is_terminal(TaskState.of(status.state)):
            await self._withdraw(task_id)
        self._tell(task_id, status)
        await self._db.keep([Put(_STATUS, task_id, status)])

    async def _rests(self, task_id: str, rests: bool) -> None:
        """A task that is about to be restarted here serves nobody, or serves again."""
        if rests:
            self._resting.add(task_id)
        else:
            self._resting.discard(task_id)
        await self._withdraw(task_id)

    async def _withdraw(self, task_id: str) -> None:
        """Let no new connection from here go to a task that has ended, before anybody is told of its end; or, where it
        has been restarted, go there again."""
        services = (r for r in self._resources.values() if isinstance(r, ServiceResource))
        if not any(e.serving and e.task_id == task_id for service in services for e in service.endpoints):
            return
        async with self._lock:
            try:
                await self._tell_networks(self._networks())
            except ShoalError as error:
                _log.warning("task %s has ended and cannot be withdrawn here yet: %s", task_id, error)

    async def leave(self) -> None:
        """shoald ends: let go of the tasks, which stay as they are."""
        await cancel(*(task for _, task in self._leaving.values()))
        await asyncio.gather(*(runner.leave() for runner in self._runners.values()))

    async def clear(self) -> None:
        """The node leaves the swarm: every task is killed and removed, and the snapshot forgotten."""
        async with self._lock:
            await cancel(*(task for _, task in self._leaving.values()))
            runners = [*self._runners.values(), *(runner for runner, _ in self._leaving.values())]
            self._runners, self._leaving = {}, {}
            results = await asyncio.gather(*(r.remove(at_once=True) for r in runners), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    _log.warning("a task cannot be removed: %s", result)
            await self._remove_others(())
            changes: list[Put | Delete] = [Delete(RESOURCE, key) for key in self._resources]
            changes += [Delete(_STATUS, key) for key in self._statuses]
            changes.append(Delete(_SEEN, _SEEN))
            self._resources, self._statuses, self.seen = {}, {}, Revision()
            await self._db.keep(changes)
            await self._tell_networks(ClusterNetworks())


async def forget_all(db: LocalDB) -> None:
    """This node is in no swarm: forget what one may have told it, lest it is taken for the next one's word."""
    changes: list[Put | Delete] = []
    for kind, struct in KINDS.items():
        changes += [Delete(kind, key) for key in await db.load(kind, struct)]
    if changes:
        await db.keep(changes)
