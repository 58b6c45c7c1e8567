"""Who has a seat in the quorum: the managers that nodes are to be, and the members that etcd has, brought together.

A seat is had in two steps: a new manager first follows as a learner, which counts for no majority, and is promoted once
it has all that there is. So a machine that never comes up costs nobody the quorum.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from msgspec.structs import replace

from shoal.aio.broadcast import Lagged
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import ShoalError, Unavailable
from shoal.objects.node import ManagerStatus, Node
from shoal.store.election import Election, Unopposed
from shoal.store.etcd.members import Member
from shoal.store.store import Store
from shoal.store.tx import Tx

_log = logging.getLogger(__name__)
# Between two looks when nothing has happened, and before what failed is tried again, in seconds.
_LOOK, _AGAIN = 1.0, 0.25
MANAGER = "manager"


class Seats(Protocol):
    """The quorum's members. Every call raises ShoalError; Unavailable for what may be possible later."""

    async def list(self) -> Sequence[Member]: ...

    async def add_learner(self, peer_url: str) -> Member: ...

    async def promote(self, id: int) -> None: ...

    async def remove(self, id: int) -> None: ...

    def url_of(self, advertise: str) -> str:
        """Where the member of a manager is that nodes reach at ``address:port``."""
        ...


@dataclass(frozen=True)
class Quorum:
    """Whom a manager shares the state with, if with anybody: how one of them comes to lead, and their seats; no seats
    where the state is in its users' own care."""

    election: Election
    seats: Seats | None = None
    is_shared: bool = True


ALONE = Quorum(Unopposed(), is_shared=False)


class Deed(Enum):
    """What is to be done about a seat."""

    ADD = "add"
    PROMOTE = "promote"
    REMOVE = "remove"


@dataclass(frozen=True)
class Step:
    """The next thing to do; ``seat`` is None where one is to be added for ``url``."""

    deed: Deed
    url: str
    seat: Member | None = None


def holds(seat: Member, node_id: str, url: str) -> bool:
    """Whether a seat is that node's, which is at ``url``. A name that is there already is another machine's: what it
    has voted for in its time, a new one in its place does not know."""
    return seat.peer_url == url and seat.name in ("", node_id)


def plan(nodes: Sequence[Node], seats: Sequence[Member], urls: Mapping[str, str], own_id: str) -> list[Step]:
    """What to do, in this order, each as far as it succeeds. ``urls`` are the peer URLs of the managers that there are
    to be, by node; ``own_id`` is the leader's, which has its seat and takes it from nobody. Pure.

    There is room for one learner at a time: one whose machine is down makes room for another that waits.
    """
    ready = {node.id for node in nodes if node.id in urls and node.is_ready}
    holders = {seat.id: next((key for key, url in urls.items() if holds(seat, key, url)), None) for seat in seats}
    waiting = sorted(ready - set(holders.values()) - {own_id})
    steps = [
        Step(Deed.REMOVE, seat.peer_url, seat)
        for seat in seats
        if seat.name != own_id
        and ((holder := holders[seat.id]) is None or (seat.is_learner and holder not in ready and waiting))
    ]
    removed = {step.seat.id for step in steps if step.seat is not None}
    left = [seat for seat in seats if seat.id not in removed]
    learners = [seat for seat in left if seat.is_learner]
    steps += [Step(Deed.PROMOTE, seat.peer_url, seat) for seat in learners if seat.name]
    # Where somebody is that has to go first, two would be told apart by nothing.
    free = [key for key in waiting if all(seat.peer_url != urls[key] for seat in seats)]
    if free and not learners:
        steps.append(Step(Deed.ADD, urls[free[0]]))
    return steps


class SeatKeeper:
    """Does it, at the leader, where the quorum has seats; and writes down which managers are within reach."""

    def __init__(self, *, store: Store, quorum: Quorum, node_id: str, clock: Clock) -> None:
        self._store = store
        self._quorum = quorum
        self._node_id = node_id
        self._clock = clock
        self._told = ""

    async def run(self) -> None:
        """Until cancelled."""
        woken = asyncio.Event()
        listener = spawn(self._listen(woken), name="nodes' news")
        try:
            while True:
                woken.clear()
                pause = _LOOK
                try:
                    if await self._look():
                        pause = _AGAIN
                    self._told = ""
                except ShoalError as error:
                    if str(error) != self._told:
                        # Who has just come is let in when all have been in touch for some seconds.
                        level = logging.INFO if isinstance(error, Unavailable) else logging.WARNING
                        _log.log(level, "the quorum is not as it is to be, which is tried again: %s", error)
                    self._told, pause = str(error), _AGAIN
                except Exception:  # noqa: BLE001 (seats are looked after whatever fails; each is logged in full)
                    _log.exception("the seats in the quorum could not be looked at")
                alarm = spawn(self._ring(pause, woken), name="look at the seats")
                await woken.wait()
                await cancel(alarm)
        finally:
            await cancel(listener)

    async def _ring(self, seconds: float, woken: asyncio.Event) -> None:
        await self._clock.sleep(seconds)
        woken.set()

    async def _listen(self, woken: asyncio.Event) -> None:
        with self._store.watch() as events:
            while True:
                try:
                    batches = await events.drain()
                except Lagged:
                    woken.set()
                    continue
                if not batches:
                    return
                if any(isinstance(event.obj, Node) for batch in batches for event in batch):
                    woken.set()

    async def _look(self) -> bool:
        """Take the steps that there are; whether there were any."""
        nodes = self._store.view.all(Node)
        managers = {
            str(node.id): node.manager_status.addr
            for node in nodes
            if node.spec.role == MANAGER and node.manager_status and node.manager_status.addr
        }
        if self._quorum.seats is None:
            await self._store.update(lambda tx: self._note(tx, None))
            return False
        urls = {key: self._quorum.seats.url_of(address) for key, address in managers.items()}
        seats = await self._quorum.seats.list()
        # First: steps may fail for long, and users look at who is there.
        await self._store.update(lambda tx: self._note(tx, seats))
        steps = plan(nodes, seats, urls, self._node_id)
        for step in steps:
            await self._take(self._quorum.seats, step)
        return bool(steps)

    async def _take(self, seats: Seats, step: Step) -> None:
        match step.deed, step.seat:
            case Deed.ADD, _:
                await seats.add_learner(step.url)
                _log.info("the manager at %s gets a seat in the quorum", step.url)
            case Deed.PROMOTE, Member() as seat:
                await seats.promote(seat.id)
                _log.info("the manager at %s has its seat in the quorum", step.url)
            case Deed.REMOVE, Member() as seat:
                await seats.remove(seat.id)
                _log.info("the manager at %s has no seat in the quorum any more", step.url)

    def _note(self, tx: Tx, seats: Sequence[Member] | None) -> None:
        """Write down who is within reach: a manager with a vote, whose node is; all of them, where nobody needs one.
        Who is to be none and has no seat any more is none."""
        for node in tx.all(Node):
            if (status := node.manager_status) is None or not status.addr:
                continue
            told: ManagerStatus | None = status
            seat = self._seat_of(node, status.addr, seats)
            if node.spec.role != MANAGER:
                told = None if seat is None else status
            elif node.id == self._node_id:
                told = replace(status, reachability="reachable")
            elif self._quorum.is_shared:
                there = node.is_ready and (seats is None or (seat is not None and not seat.is_learner))
                told = replace(status, reachability="reachable" if there else _without(status))
            if told != status:
                tx.update(replace(node, manager_status=told))

    def _seat_of(self, node: Node, address: str, seats: Sequence[Member] | None) -> Member | None:
        if self._quorum.seats is None:
            return None
        url = self._quorum.seats.url_of(address)
        return next((seat for seat in seats or () if holds(seat, node.id, url)), None)


def _without(status: ManagerStatus) -> str:
    """What a manager is that is not there: one that never was is not known yet."""
    return "unknown" if status.reachability == "unknown" else "unreachable"
