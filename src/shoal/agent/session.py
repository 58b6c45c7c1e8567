"""The line to a manager: dialled by the node, made again whenever it is lost, to the next manager and with pauses that
grow.

What has been reported and not taken yet is sent again in the next session, so a manager's restart loses no state.
"""

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import aiohttp
import msgspec

from shoal.agent.dial import dialled
from shoal.agent.streams import Stream, Streams
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import Conflict, Forbidden, ShoalError, Unavailable
from shoal.objects.node import NodeDescription
from shoal.objects.task import TaskStatus
from shoal.wire.cluster import (
    ELSEWHERE_CODE,
    REMOVED_CODE,
    Applied,
    Assignments,
    AttachNetwork,
    DetachNetwork,
    FromAgent,
    Heartbeat,
    Hello,
    Leaving,
    NetworkAttached,
    ReadLog,
    RelayRead,
    Revision,
    StatusReport,
    StatusTaken,
    StatusUpdate,
    Welcome,
    from_manager,
    pack,
)

_log = logging.getLogger(__name__)
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 3.0
_MESSAGE_LIMIT = 256 * 1024 * 1024
# States that come together go out together.
_GATHER = 0.002
# How long a manager may take to answer a question, and to welcome a node, in seconds.
_ANSWER = 5.0
_WELCOME = 10.0
# After so many heartbeats without an answer, and so many seconds, the manager is held for dead.
_MISSED, _LEAST = 3, 2.0
# To part from a manager that does not answer, in seconds.
_PART = 0.5


class _Elsewhere(Exception):
    """This manager does not lead: the one at ``leader`` does, if it is known."""

    def __init__(self, leader: str) -> None:
        super().__init__(leader)
        self.leader = leader


class _Removed(Exception):
    """A manager says that this node is a member no longer."""


class ManagerSession:
    """Keeps a session with the leader among the ``managers`` (``address:port``) open. ``assign`` is called with each
    version, in order; ``removed``, once, when a manager says that this node was taken out of the swarm. ``seen`` is the
    newest state that this node was told of, ``followed`` the rotation of the swarm's root that it has followed.
    ``send_log`` sends a task's log into a stream of this manager's."""

    def __init__(
        self,
        *,
        managers: Callable[[], Sequence[str]],
        tls: ssl.SSLContext,
        server_name: str,
        describe: Callable[[], NodeDescription],
        followed: Callable[[], int],
        address: str,
        mtu: int,
        assign: Callable[[Assignments], Awaitable[None]],
        known: Callable[[], Mapping[str, TaskStatus]],
        removed: Callable[[], Awaitable[None]],
        seen: Callable[[], Revision],
        send_log: Callable[[ReadLog, Stream], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._managers = managers
        self._tls = tls
        self._server_name = server_name
        self._describe = describe
        self._followed = followed
        self._address = address
        self._mtu = mtu
        self._assign = assign
        self._known = known
        self._removed = removed
        self._seen = seen
        self._send_log = send_log
        self._streams = Streams(tls=tls, server_name=server_name)
        self._clock = clock
        self._turn = 0
        self._leader = self._last = ""
        self._pending: dict[str, TaskStatus] = {}
        self._sent: dict[int, dict[str, TaskStatus]] = {}
        self._number = 0
        self._wake = asyncio.Event()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._asked: dict[int, asyncio.Future[NetworkAttached | StatusTaken]] = {}
        self._left: set[str] = set()
        self.refusal = ""
        """Why the last manager that answered and this node have parted; empty while they talk."""

    @property
    def is_lost(self) -> bool:
        """Whether no manager can be reached: none is there, and it was tried."""
        return self._socket is None and self._turn > 0

    def report(self, task_id: str, status: TaskStatus) -> None:
        """A task's state has changed; it goes out soon, and again if the manager is lost before it has it."""
        self._pending[task_id] = status
        self._wake.set()

    async def deliver(self, task_id: str, status: TaskStatus) -> bool:
        """Tell the manager of a task's state now; whether it has it, False where the session ends before it says so."""
        if self._socket is None:
            return False
        updates = [StatusUpdate(task_id=task_id, status=status)]
        try:
            await self._ask(self._socket, StatusReport(number=self._next_number(), updates=updates))
        except ConnectionError:
            return False
        return True

    async def attach(self, container_id: str, name: str, network_id: str, aliases: Sequence[str]) -> str:
        """Ask for a plain container's place on a network; the id of the task that stands for it. Raises Unavailable
        without a manager in reach, Forbidden with the manager's reason."""
        if self._socket is None:
            raise Unavailable("no manager of the swarm can be reached: the network has no addresses to give")
        asked = AttachNetwork(
            number=self._next_number(),
            container_id=container_id,
            name=name,
            network_id=network_id,
            aliases=list(aliases),
        )
        try:
            async with asyncio.timeout(_ANSWER):
                attached = await self._ask(self._socket, asked)
        except (ConnectionError, TimeoutError) as error:
            raise Unavailable("the swarm's manager does not answer") from error
        if not isinstance(attached, NetworkAttached):
            raise Unavailable("the swarm's manager answers something else")
        if attached.error:
            raise Forbidden(attached.error)
        return attached.task_id

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    async def _ask(
        self, socket: aiohttp.ClientWebSocketResponse, question: AttachNetwork | StatusReport
    ) -> NetworkAttached | StatusTaken:
        """Send it, and give the answer that has its number. Raises ConnectionError when the session ends before."""
        answer: asyncio.Future[NetworkAttached | StatusTaken] = asyncio.get_running_loop().create_future()
        self._asked[question.number] = answer
        try:
            await self._send(socket, question)
            return await answer
        finally:
            self._asked.pop(question.number, None)

    def _answer(self, answer: NetworkAttached | StatusTaken) -> None:
        if (waiting := self._asked.get(answer.number)) is not None and not waiting.done():
            waiting.set_result(answer)

    async def detach(self, task_id: str) -> None:
        """A plain container has left its network; without a manager in reach it is told at the next session."""
        self._left.add(task_id)
        await self._tell_left()

    async def _tell_left(self) -> None:
        while self._left and self._socket is not None:
            task_id = next(iter(self._left))
            try:
                await self._send(self._socket, DetachNetwork(task_id=task_id))
            except ConnectionError:
                return
            self._left.discard(task_id)

    async def run(self) -> None:
        """Hold sessions, one after the other, until cancelled, or until this node is a member no longer."""
        pause, led = _FIRST_PAUSE, False
        while True:
            manager = self._next()
            began = self._clock.monotonic()
            try:
                await self._session(manager)
            except _Removed:
                await self._removed()
                return
            except _Elsewhere as elsewhere:
                # Two that take each other for the leader are not asked in turn without a pause.
                if elsewhere.leader and not led:
                    self._leader, led = elsewhere.leader, True
                    continue
            except ShoalError as error:
                self.refusal = f"no session with the manager at {manager}: {error}"
                _log.info("%s", self.refusal)
            except (aiohttp.ClientError, OSError, msgspec.DecodeError, TimeoutError) as error:
                _log.info("no session with the manager at %s: %s", manager, error)
            except Exception:  # noqa: BLE001 (the line is made again whatever broke it; each failure is logged in full)
                _log.exception("the session with the manager at %s failed", manager)
            if self._clock.monotonic() - began > _LAST_PAUSE:
                pause = _FIRST_PAUSE
            led = False
            self._turn += 1
            # Not all nodes at once, when a manager comes back.
            await self._clock.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, self._longest_pause)

    @property
    def _longest_pause(self) -> float:
        """Where there are several managers, one of them leads soon."""
        return _LAST_PAUSE if len(self._managers()) < 2 else _LAST_PAUSE / 10

    def _next(self) -> str:
        """The manager to turn to: the one that another has named as the leader, or whose turn it is, which is not the
        one that was lost just now."""
        leader, self._leader = self._leader, ""
        managers = self._managers()
        others = [address for address in managers if address != self._last] or managers
        self._last = leader or (others[self._turn % len(others)] if others else "")
        return self._last

    async def tell(self) -> None:
        """Describe this node anew, if somebody is there to hear it."""
        if self._socket is not None:
            with suppress(ConnectionError):
                await self._send(self._socket, self._hello())

    def _hello(self) -> Hello:
        return Hello(description=self._describe(), addr=self._address, mtu=self._mtu, rotation=self._followed())

    async def relay(self, node_id: str, wanted: ReadLog) -> None:
        """Have the leader ask that node; for this node's own manager. Raises ConnectionError without a session."""
        if self._socket is None:
            raise ConnectionResetError("there is no session with the leader")
        await self._send(self._socket, RelayRead(node_id=node_id, wanted=wanted))

    async def leave(self) -> None:
        """Say that this node leaves the swarm, if somebody is there to hear it."""
        if self._socket is not None:
            with suppress(ConnectionError):
                await self._send(self._socket, Leaving())

    async def _session(self, manager: str) -> None:
        url = f"https://{manager}/v1/session"
        line = dialled(url, tls=self._tls, server_name=self._server_name, most=_MESSAGE_LIMIT, farewell=_PART)
        async with line as socket:
            await self._converse(manager, socket)

    async def _converse(self, manager: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        await self._send(socket, self._hello())
        # The last state of each counts; what is older and was not taken would only hide it.
        self._pending |= self._known()
        senders: list[asyncio.Task[None]] = []
        told = ""
        # Until it says how often it wants to hear heartbeats, which it answers.
        patience = _WELCOME
        try:
            while True:
                message = await socket.receive(timeout=patience)
                if message.type is aiohttp.WSMsgType.CLOSE:
                    told = message.extra or ""
                if message.type is not aiohttp.WSMsgType.BINARY:
                    break
                match from_manager(message.data):
                    case Welcome(heartbeat_period=period, revision=revision):
                        self._check(revision)
                        patience = max(period / 1e9 * _MISSED, _LEAST)
                        senders.append(spawn(self._beat(socket, period / 1e9), name="heartbeats to the manager"))
                        senders.append(spawn(self._reports(socket), name="reports to the manager"))
                        self._wake.set()
                        self._socket, self.refusal = socket, ""
                        await self._tell_left()
                    case NetworkAttached() as attached:
                        self._answer(attached)
                    case Assignments() as assignments:
                        await self._take(assignments, socket)
                    case ReadLog(stream_id=stream_id) as asked:
                        self._streams.open(asked.manager or manager, stream_id, partial(self._send_log, asked))
                    case StatusTaken(number=number) as taken:
                        self._sent.pop(number, None)
                        self._answer(taken)
        finally:
            self._socket = None
            for waiting in self._asked.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionError("the session is over"))
            await cancel(*senders)
            await self._streams.end()
            for sent in reversed(self._sent.values()):
                self._pending = sent | self._pending
            self._sent.clear()
        if socket.close_code == REMOVED_CODE:
            raise _Removed
        if socket.close_code == ELSEWHERE_CODE:
            raise _Elsewhere(told)
        if told:
            raise Unavailable(told)

    def _check(self, revision: Revision) -> None:
        """Raise Conflict for a manager that knows less than this node was told: its state is an old one, or it is not
        up to date yet."""
        if revision < (seen := self._seen()):
            raise Conflict(
                f"its state is older than what this node was told (revision {revision.number} of epoch "
                f"{revision.epoch}, and here {seen.number} of {seen.epoch}), so it is not obeyed. If the swarm shall "
                "go on from that state: shoal state export FILE, shoal state import --force FILE on that manager"
            )

    async def _take(self, assignments: Assignments, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Apply a version and say so; one that could not be applied whole is not acknowledged."""
        try:
            await self._assign(assignments)
        except ShoalError as error:
            _log.warning("version %d could not be applied: %s", assignments.version, error)
        else:
            await self._send(socket, Applied(version=assignments.version))

    async def _send(self, socket: aiohttp.ClientWebSocketResponse, message: FromAgent) -> None:
        await socket.send_bytes(pack(message))

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse, period: float) -> None:
        while not socket.closed:
            await self._clock.sleep(period)
            try:
                await self._send(socket, Heartbeat())
            except ConnectionError:
                return

    async def _reports(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not socket.closed:
            await self._wake.wait()
            self._wake.clear()
            await self._clock.sleep(_GATHER)
            if not self._pending:
                continue
            updates, self._pending = self._pending, {}
            self._sent[number := self._next_number()] = updates
            report = [StatusUpdate(task_id=task_id, status=status) for task_id, status in updates.items()]
            try:
                await self._send(socket, StatusReport(number=number, updates=report))
            except ConnectionError:
                return
