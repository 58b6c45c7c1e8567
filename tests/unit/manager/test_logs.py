"""The logs of a service's tasks on several nodes, which answer, break off, come back, and talk nonsense."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace
from tests.fakes.light_engine import eventually

from shoal.aio.clock import SystemClock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import FailedPrecondition, Unavailable
from shoal.manager.logs import Logs, TaskLine
from shoal.objects.ids import NodeId, ServiceId, TaskId
from shoal.objects.results import LogQuery
from shoal.objects.service import Service, ServiceSpec
from shoal.objects.task import Task, TaskStatus
from shoal.store.backends.memory import MemoryBackend
from shoal.store.store import Store
from shoal.store.tx import Tx
from shoal.wire.cluster import FromManager, ReadLog
from shoal.wire.logs import Line, LogLines, pack_lines

WORDS = (
    "rpc error: code = Unknown desc = warning: incomplete log stream. some logs could not be retrieved for the "
    "following reasons: "
)


@dataclass
class FakeLog:
    """One task's log on its node. ``wrote`` wakes those who follow it."""

    lines: list[Line] = field(default_factory=list)
    runs: bool = True
    wrote: asyncio.Event = field(default_factory=asyncio.Event)

    def write(self, *times: int) -> None:
        self.lines += [Line("stdout", time, str(time).encode()) for time in times]
        self.wrote.set()

    def end(self) -> None:
        self.runs = False
        self.wrote.set()


@dataclass
class FakeIncoming:
    log: FakeLog
    asked: ReadLog
    nodes: "FakeNodes"
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    closed: bool = False

    async def messages(self) -> AsyncGenerator[bytes, None]:
        yield pack_lines(LogLines(now=self.nodes.now, lines=[]))
        query, at = self.asked.query, 0
        if query.tail is not None:
            at = max(0, len(self.log.lines) - query.tail)
        while True:
            for line in self.log.lines[at:]:
                at += 1
                if self.broken.is_set():
                    raise Unavailable("it broke")
                if line.time >= (query.since or 0):
                    yield pack_lines(LogLines(now=self.nodes.now, lines=[line]))
            if not (query.follow and self.log.runs):
                return
            yield pack_lines(LogLines(now=self.nodes.now, lines=[]))
            self.log.wrote.clear()
            waits = [spawn(event.wait(), name="wait") for event in (self.log.wrote, self.broken)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancel(*waits)
            if self.broken.is_set():
                raise Unavailable("it broke")

    def close(self) -> None:
        self.closed = True


class FakeNodes:
    """Nodes with logs, by task; ``away`` cannot be reached. ``now`` is the time there."""

    def __init__(self) -> None:
        self.logs: dict[str, FakeLog] = {}
        self.away: set[str] = set()
        self.asked: list[ReadLog] = []
        self.open: list[FakeIncoming] = []
        self.now = 1_000_000

    async def open_stream(self, node_id: str, ask: Callable[[str], FromManager]) -> FakeIncoming:
        await asyncio.sleep(0)
        asked = ask("s")
        assert isinstance(asked, ReadLog)
        if node_id in self.away:
            raise Unavailable(f"node {node_id} is not available")
        self.asked.append(asked)
        self.open.append(FakeIncoming(self.logs[asked.task_id], asked, self))
        return self.open[-1]

    def break_all(self) -> None:
        for stream in self.open:
            stream.broken.set()


SERVICE = Service(id=ServiceId("web"), spec=ServiceSpec(name="web"))


class Rig:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.nodes = FakeNodes()
        self.logs = Logs(store=store, nodes=self.nodes, clock=SystemClock())

    async def task(self, key: str, node: str | None, *times: int, state: str = "running") -> FakeLog:
        """A new task, or an old one's new state."""
        task = Task(
            id=TaskId(key),
            service_id=SERVICE.id,
            node_id=NodeId(node) if node else None,
            status=TaskStatus(state=state),
        )

        def change(tx: Tx) -> None:
            old = tx.get(Task, key)
            tx.create(task) if old is None else tx.update(replace(old, status=task.status))

        log = self.nodes.logs.setdefault(key, FakeLog())
        log.write(*times)
        await self.store.update(change)
        return log

    async def read(self, **query: int) -> list[int]:
        return [line.time async for line in self.logs.of(SERVICE, LogQuery(**query))]

    @asynccontextmanager
    async def following(self, **query: int) -> AsyncIterator[list[int]]:
        found: list[int] = []

        async def read() -> None:
            async with aclosing(self._of(LogQuery(follow=True, **query))) as lines:
                async for line in lines:
                    found.append(line.time)

        reading = spawn(read(), name="follow")
        try:
            yield found
            assert not reading.done()
            self.logs.close()
            await reading
        finally:
            await cancel(reading)

    async def _of(self, query: LogQuery) -> AsyncGenerator[TaskLine, None]:
        async for line in self.logs.of(SERVICE, query):
            yield line


def run(work: Callable[[Rig], Awaitable[None]]) -> None:
    async def main() -> None:
        store = await Store.open(backend=MemoryBackend(), clock=SystemClock())

        await store.update(lambda tx: tx.create(SERVICE))
        rig = Rig(store)
        await asyncio.wait_for(work(rig), 20)  # type: ignore[arg-type]
        assert all(stream.closed for stream in rig.nodes.open)
        await store.close()

    asyncio.run(main())


def test_the_lines_of_all_nodes_in_their_order() -> None:
    async def work(rig: Rig) -> None:
        await rig.task("t1", "n1", 1, 4, 7)
        await rig.task("t2", "n2", 2, 3, 9)
        await rig.task("t3", "n2", 5, state="failed")
        await rig.task("t4", "n1", state="preparing")
        assert await rig.read() == [1, 2, 3, 4, 5, 7, 9]
        assert await rig.read(tail=1) == [5, 7, 9]
        assert {asked.query.tail for asked in rig.nodes.asked[3:]} == {1}
        task = rig.store.view.get(Task, "t2")
        assert task is not None
        found = [line async for line in rig.logs.of(task, LogQuery())]
        assert [(line.time, line.task.id, line.line.data) for line in found] == [
            (2, "t2", b"2"),
            (3, "t2", b"3"),
            (9, "t2", b"9"),
        ]

    run(work)


def test_what_cannot_be_read_is_said_at_the_end_in_dockers_words() -> None:
    async def work(rig: Rig) -> None:
        await rig.task("t1", "n1", 1)
        await rig.task("t2", "n2", 2)
        await rig.task("t3", "n2", 3)
        await rig.task("t4", None, state="pending")
        rig.nodes.away = {"n2"}
        found: list[int] = []
        with pytest.raises(Unavailable) as caught:
            async for line in rig.logs.of(SERVICE, LogQuery()):
                found.append(line.time)
        assert found == [1]
        assert str(caught.value) == f"{WORDS}task t4 has not been scheduled, node n2 is not available"

    run(work)


@pytest.mark.parametrize(
    "nonsense", [b"\xc1rubbish", pack_lines(LogLines(now=1, lines=[Line("stdout", 2**63, b"")])), b"\x81\xa3now\x01"]
)
def test_a_node_that_talks_nonsense_spoils_its_own_part_only(nonsense: bytes) -> None:
    async def work(rig: Rig) -> None:
        class Nonsense(FakeIncoming):
            async def messages(self) -> AsyncGenerator[bytes, None]:
                yield nonsense

        await rig.task("t1", "n1", 1)
        await rig.task("t2", "n2", 2)
        honest = rig.nodes.open_stream

        async def open_stream(node_id: str, ask: Callable[[str], FromManager]) -> FakeIncoming:
            made = await honest(node_id, ask)
            if node_id == "n2":
                made = rig.nodes.open[-1] = Nonsense(made.log, made.asked, rig.nodes)
            return made

        rig.nodes.open_stream = open_stream  # type: ignore[method-assign]
        found: list[int] = []
        with pytest.raises(Unavailable, match="node n2 sent what is no log"):
            async for line in rig.logs.of(SERVICE, LogQuery()):
                found.append(line.time)
        assert found == [1]

    run(work)


def test_following_goes_on_where_the_line_broke() -> None:
    async def work(rig: Rig) -> None:
        one = await rig.task("t1", "n1", 1, 4)
        two = await rig.task("t2", "n2", 2, 3)
        async with rig.following() as found:
            await eventually(lambda: found == [1, 2, 3, 4])
            one.write(5)
            await eventually(lambda: found[4:] == [5])
            rig.nodes.away = {"n1"}
            rig.nodes.break_all()
            one.write(6, 8)
            two.write(7)
            await eventually(lambda: found[5:] == [7])
            rig.nodes.away = set()
            await eventually(lambda: found[6:] == [6, 8])
            two.write(9)
            await eventually(lambda: found[8:] == [9])

    run(work)


@pytest.mark.parametrize(("tail", "at_first"), [(0, []), (1, [2])])
def test_following_the_end_of_a_log_over_a_break_repeats_and_loses_nothing(tail: int, at_first: Sequence[int]) -> None:
    async def work(rig: Rig) -> None:
        log = await rig.task("t1", "n1", 1, 2)
        async with rig.following(tail=tail) as found:
            await eventually(lambda: bool(rig.nodes.open) and found == list(at_first))
            await eventually(lambda: rig.nodes.open[0].log.wrote.is_set() is False)
            rig.nodes.break_all()
            log.write(2_000_000)
            await eventually(lambda: found == [*at_first, 2_000_000])

    run(work)


def test_tasks_that_come_are_followed_from_their_beginning() -> None:
    async def work(rig: Rig) -> None:
        one = await rig.task("t1", "n1", 1, 2)
        waiting = await rig.task("t2", "n2", state="preparing")
        async with rig.following(tail=1) as found:
            await eventually(lambda: found == [2])
            waiting.write(3, 4)
            await rig.task("t2", "n2", state="starting")
            await eventually(lambda: found[1:] == [3, 4])
            await rig.task("t3", "n1", 5, 6)
            await eventually(lambda: found[3:] == [5, 6])
            one.write(7)
            await eventually(lambda: found[5:] == [7])

    run(work)


def test_a_task_that_has_ended_is_read_to_its_end_and_not_asked_for_again() -> None:
    async def work(rig: Rig) -> None:
        one = await rig.task("t1", "n1", 1)
        two = await rig.task("t2", "n2", 2)
        async with rig.following() as found:
            await eventually(lambda: found == [1, 2])
            one.end()
            one.write(3)
            await eventually(lambda: found == [1, 2, 3])
            await rig.task("t1", "n1", state="complete")
            # It is asked once more after its end, for what may have come in between.
            await eventually(lambda: sum(asked.task_id == "t1" for asked in rig.nodes.asked) >= 2)
            asked = len(rig.nodes.asked)
            two.write(4)
            await eventually(lambda: found == [1, 2, 3, 4])
            assert len(rig.nodes.asked) <= asked + 1

    run(work)


def test_a_log_that_cannot_be_read_is_not_asked_for_forever() -> None:
    async def work(rig: Rig) -> None:
        one = await rig.task("t1", "n1", 1)
        honest, refused = rig.nodes.open_stream, 0

        async def open_stream(node_id: str, ask: Callable[[str], FromManager]) -> FakeIncoming:
            nonlocal refused
            if node_id == "n2":
                refused += 1
                raise FailedPrecondition("node n2: configured logging driver does not support reading")
            return await honest(node_id, ask)

        rig.nodes.open_stream = open_stream  # type: ignore[method-assign]
        await rig.task("t2", "n2", 2)
        async with rig.following() as found:
            await eventually(lambda: found == [1])
            rig.nodes.break_all()
            one.write(3)
            await eventually(lambda: found == [1, 3])
            assert refused == 1

    run(work)
