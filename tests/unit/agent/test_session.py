"""The line to a manager, to one that answers, answers late, hangs up, and talks nonsense."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.fakes.light_engine import eventually
from tests.fakes.swarm_manager import FakeManager, fake_manager

from shoal.agent.session import ManagerSession
from shoal.agent.streams import Stream
from shoal.aio.clock import SystemClock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import Forbidden, Internal, Unavailable
from shoal.objects.node import NodeDescription
from shoal.objects.results import LogQuery
from shoal.objects.task import TaskStatus
from shoal.pki import contexts
from shoal.pki.identity import MANAGER_NAME
from shoal.wire.cluster import (
    REMOVED_CODE,
    Applied,
    Assignments,
    AttachNetwork,
    DetachNetwork,
    FromAgent,
    FromManager,
    Heartbeat,
    Hello,
    NetworkAttached,
    ReadLog,
    RelayRead,
    Revision,
    StatusReport,
    StatusTaken,
)


@dataclass
class Bench:
    manager: FakeManager
    assigned: list[int] = field(default_factory=list)
    known: dict[str, TaskStatus] = field(default_factory=dict)
    fails: list[Exception] = field(default_factory=list)
    removed: int = 0
    followed: int = 0
    seen: Revision = Revision()

    def __post_init__(self) -> None:
        self.session = ManagerSession(
            managers=lambda: [self.manager.address],
            tls=contexts.swarm_client(self.manager.certificates),
            server_name=MANAGER_NAME,
            describe=lambda: NodeDescription(hostname="me"),
            followed=lambda: self.followed,
            address="192.0.2.1",
            mtu=1500,
            assign=self._assign,
            known=lambda: self.known,
            removed=self._removed,
            seen=lambda: self.seen,
            send_log=self._send_log,
            clock=SystemClock(),
        )

    async def _send_log(self, asked: ReadLog, stream: Stream) -> None:
        raise AssertionError("nobody asks for a log here")

    async def _removed(self) -> None:
        self.removed += 1

    async def _assign(self, assignments: Assignments) -> None:
        if self.fails:
            raise self.fails.pop(0)
        self.assigned.append(assignments.version)

    def report(self, task_id: str, state: str) -> None:
        """As the worker does it."""
        self.known[task_id] = TaskStatus(state=state)
        self.session.report(task_id, self.known[task_id])

    def told(self) -> dict[str, str]:
        """The last state of each task that the manager was told in this session."""
        return {u.task_id: u.status.state for report in self.manager.of(StatusReport) for u in report.updates}


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    async with fake_manager(folder) as manager:
        made = Bench(manager)
        running = spawn(made.session.run(), name="session")
        try:
            await eventually(lambda: bool(manager.of(Heartbeat)))
            yield made
        finally:
            await cancel(running)


def run(folder: Path, work: Callable[[Bench], Awaitable[None]]) -> None:
    async def main() -> None:
        async with bench(folder) as made:
            await asyncio.wait_for(work(made), 20)  # type: ignore[arg-type]

    asyncio.run(main())


def version(number: int) -> Assignments:
    return Assignments(version=number, base=number - 1, full=False, put=[], remove=[])


def taken(message: FromAgent) -> FromManager | None:
    return StatusTaken(number=message.number) if isinstance(message, StatusReport) else None


def test_versions_in_their_order(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        for number in range(1, 6):
            await made.manager.say(version(number))
        await eventually(lambda: len(made.manager.of(Applied)) == 5)
        assert made.assigned == [applied.version for applied in made.manager.of(Applied)] == [1, 2, 3, 4, 5]
        made.fails = [Internal("no")]
        await made.manager.say(version(6))
        await made.manager.say(version(7))
        await eventually(lambda: made.assigned[-1] == 7)
        await eventually(lambda: len(made.manager.of(Applied)) == 6)
        assert [applied.version for applied in made.manager.of(Applied)] == [1, 2, 3, 4, 5, 7]
        assert made.manager.sessions == 1

    run(tmp_path, work)


def test_it_goes_to_the_leader_that_another_manager_names(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        async with fake_manager(tmp_path) as leader:
            made.manager.elsewhere = leader.address
            await made.manager.hang_up()
            await eventually(lambda: bool(leader.of(Heartbeat)))
            assert made.session.refusal == "" and made.manager.sessions == 2
            await made.session.relay("n2", ReadLog(stream_id="s", task_id="t", query=LogQuery()))
            await eventually(lambda: len(leader.of(RelayRead)) == 1)

    run(tmp_path, work)


def test_two_managers_that_take_each_other_for_the_leader_are_not_asked_without_a_pause(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        made.manager.elsewhere = made.manager.address
        await made.manager.hang_up()
        began = time.monotonic()
        await eventually(lambda: made.manager.sessions >= 8)
        # A hint and a try between two pauses, which grow from 50 ms, half of that at least.
        assert time.monotonic() - began > 0.1
        made.manager.elsewhere = None
        await eventually(lambda: bool(made.manager.of(Heartbeat)))

    run(tmp_path, work)


def test_a_log_is_asked_for_through_the_leader(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        wanted = ReadLog(stream_id="s", task_id="t", query=LogQuery(), manager="192.0.2.1:2377")
        await made.session.relay("n2", wanted)
        await eventually(lambda: made.manager.of(RelayRead) == [RelayRead(node_id="n2", wanted=wanted)])
        made.manager.elsewhere = ""
        await made.manager.hang_up()
        await eventually(lambda: made.manager.sessions >= 2)
        with pytest.raises(ConnectionError):
            await made.session.relay("n2", wanted)

    run(tmp_path, work)


def test_what_was_not_taken_is_told_again_in_its_last_state(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        for state in ("starting", "running"):
            made.report("t1", state)
            await eventually(lambda: made.told().get("t1") == state)  # noqa: B023 - awaited at once
        made.manager.on_message = taken
        await made.manager.hang_up()
        await eventually(lambda: made.manager.sessions == 2)
        await eventually(lambda: "t1" in made.told())
        assert [u.status.state for r in made.manager.of(StatusReport) for u in r.updates] == ["running"]
        made.report("t1", "complete")
        await eventually(lambda: made.told()["t1"] == "complete")
        # One that is gone from the node, and whose end the manager may not have heard of.
        made.manager.on_message = lambda message: None
        made.report("t2", "failed")
        await eventually(lambda: "t2" in made.told())
        made.known.clear()
        await made.manager.hang_up()
        await eventually(lambda: made.manager.sessions == 3 and made.told() == {"t2": "failed"})

    run(tmp_path, work)


def test_reported_while_no_manager_is_there(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        made.manager.welcomes = False
        await made.manager.hang_up()
        await eventually(lambda: made.manager.sessions == 2)
        made.report("t1", "running")
        made.report("t1", "failed")
        await asyncio.sleep(0.05)
        assert made.told() == {}
        made.manager.welcomes = True
        await made.manager.hang_up()
        await eventually(lambda: made.told() == {"t1": "failed"})

    run(tmp_path, work)


@pytest.mark.parametrize("how", ["rubbish", "fault"])
def test_the_line_is_made_again_whatever_broke_it(tmp_path: Path, how: str) -> None:
    async def work(made: Bench) -> None:
        if how == "rubbish":
            await made.manager.say_rubbish()
        else:
            made.fails = [RuntimeError("a fault of ours")]
            await made.manager.say(version(1))
        await eventually(lambda: made.manager.sessions == 2)
        await eventually(lambda: bool(made.manager.of(Heartbeat)))
        await made.manager.say(version(2))
        await eventually(lambda: made.assigned == [2])

    run(tmp_path, work)


def test_attaching(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        def answer(message: FromAgent) -> FromManager | None:
            if not isinstance(message, AttachNetwork):
                return None
            if message.network_id == "closed":
                return NetworkAttached(number=message.number, error="not attachable")
            return NetworkAttached(number=message.number, task_id=f"task-{message.container_id}")

        made.manager.on_message = answer
        found = await asyncio.gather(*(made.session.attach(f"c{n}", "web", "net", ["www"]) for n in range(5)))
        assert found == [f"task-c{n}" for n in range(5)]
        with pytest.raises(Forbidden, match="not attachable"):
            await made.session.attach("c", "web", "closed", [])
        await made.session.detach("task-c1")
        await eventually(lambda: [d.task_id for d in made.manager.of(DetachNetwork)] == ["task-c1"])

    run(tmp_path, work)


def test_an_answer_that_is_lost_with_the_session(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        attaching = spawn(_refused(made), name="attach")
        await eventually(lambda: bool(made.manager.of(AttachNetwork)))
        await made.manager.hang_up()
        await asyncio.wait_for(attaching, 2)

    run(tmp_path, work)


async def _refused(made: Bench) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await made.session.attach("c", "web", "net", [])


def test_leaving_networks_without_a_manager_is_told_later(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        made.manager.welcomes = False
        await made.manager.hang_up()
        await eventually(lambda: made.manager.sessions == 2)
        with pytest.raises(Unavailable, match="no manager"):
            await made.session.attach("c", "web", "net", [])
        await made.session.detach("a1")
        await made.session.detach("a2")
        made.manager.welcomes = True
        await made.manager.hang_up()
        await eventually(lambda: {d.task_id for d in made.manager.of(DetachNetwork)} == {"a1", "a2"})

    run(tmp_path, work)


def test_a_manager_that_falls_silent_is_left(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        await asyncio.sleep(0.1)
        assert made.manager.sessions == 1
        # Its machine has died, or cannot be reached: nothing comes any more, and no end either.
        made.manager.answers = False
        await eventually(lambda: made.manager.sessions == 2)
        made.manager.answers = True
        await eventually(lambda: bool(made.manager.of(Heartbeat)))

    run(tmp_path, work)


def test_a_manager_says_that_the_node_is_none_any_more(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        await made.manager.hang_up(REMOVED_CODE)
        await eventually(lambda: made.removed == 1)
        await asyncio.sleep(0.2)
        assert (made.removed, made.manager.sessions) == (1, 1)

    run(tmp_path, work)


def test_a_manager_whose_state_is_older_is_not_obeyed(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        made.seen = Revision(2, 40)
        for stale in (Revision(2, 39), Revision(1, 90)):
            made.manager.revision = stale
            made.manager.on_message = lambda told: version(1) if isinstance(told, Hello) else None
            sessions = made.manager.sessions
            await made.manager.hang_up()
            await eventually(lambda before=sessions: made.manager.sessions >= before + 2)  # type: ignore[misc]
            assert made.assigned == [] and "is not obeyed" in made.session.refusal
        # An older number of a newer epoch is what somebody wants to go on from.
        made.manager.revision = Revision(3, 1)
        await eventually(lambda: made.assigned == [1])
        assert made.session.refusal == ""

    run(tmp_path, work)


def test_the_manager_is_told_when_this_node_has_changed(tmp_path: Path) -> None:
    async def work(made: Bench) -> None:
        made.followed = 3
        await made.session.tell()
        await eventually(lambda: [hello.rotation for hello in made.manager.of(Hello)] == [0, 3])
        await made.manager.hang_up()
        await eventually(lambda: made.manager.sessions == 2 and bool(made.manager.of(Heartbeat)))
        assert [hello.rotation for hello in made.manager.of(Hello)] == [3]

    run(tmp_path, work)
