"""Who is out of reach, with echoes that a test answers."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.fakes.clock import FakeClock

from shoal.agent.reach import INTERVAL, SILENCE, Heard, PeerWatch
from shoal.aio.tasks import cancel, spawn
from shoal.errors import Unavailable


def test_silence_counts_from_the_last_answer_and_for_a_new_one_from_the_first_look() -> None:
    heard, now = Heard(), 100.0
    assert heard.look({"a", "b"}, now) == frozenset()
    while now < 110:
        now += INTERVAL
        heard.note(["a"], now)
        assert heard.look({"a", "b"}, now) == (frozenset("b") if now - 100 >= SILENCE else frozenset())
    heard.note(["b"], now)
    assert heard.look({"a", "b"}, now) == frozenset()


def test_nobody_is_lost_because_nobody_listened() -> None:
    heard = Heard()
    heard.look({"a"}, 100.0)
    heard.note({"a"}, 100.2)
    assert heard.look({"a"}, 160.0) == frozenset()
    assert heard.look({"a"}, 160.0 + INTERVAL) == frozenset()


def test_who_is_forgotten_and_comes_back_is_new() -> None:
    heard = Heard()
    for step in range(20):
        heard.look({"a"}, 100 + step * INTERVAL)
    assert heard.look(set(), 110.0) == frozenset()
    assert heard.look({"a"}, 110.5) == frozenset()


@dataclass
class FakeEcho:
    """A wire on which those ``there`` answer at once."""

    there: set[str]
    asked: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    closed: bool = False

    def send(self, address: str) -> None:
        assert not self.closed
        self.asked.append(address)
        self.waiting += [address] * (address in self.there)

    def answers(self) -> Iterator[str]:
        answers, self.waiting = self.waiting, []
        return iter(answers)

    def close(self) -> None:
        self.closed = True


@dataclass
class Bench:
    clock: FakeClock
    peers: dict[str, str] = field(default_factory=lambda: {"n2": "10.255.0.3", "n3": "10.255.0.4"})
    there: set[str] = field(default_factory=lambda: {"10.255.0.3", "10.255.0.4"})
    told: list[frozenset[str]] = field(default_factory=list)
    sockets: list[FakeEcho] = field(default_factory=list)
    no_sandbox: bool = False

    def open_echo(self) -> FakeEcho:
        if self.no_sandbox:
            raise Unavailable("no such namespace")
        self.sockets.append(FakeEcho(self.there))
        return self.sockets[-1]

    async def changed(self, lost: frozenset[str]) -> None:
        self.told.append(lost)

    async def pass_by(self, seconds: float) -> None:
        for _ in range(round(seconds / INTERVAL)):
            await self.clock.advance(INTERVAL)
            await asyncio.sleep(0.002)  # a socket is opened in a thread


def watched(work: "object") -> Bench:
    bench = Bench(FakeClock())

    async def main() -> None:
        watch = PeerWatch(
            peers=lambda: bench.peers, open_echo=bench.open_echo, changed=bench.changed, clock=bench.clock
        )
        running = spawn(watch.run(), name="watch")
        await asyncio.sleep(0.01)
        try:
            await work(bench)  # type: ignore[operator]
        finally:
            await cancel(running)

    asyncio.run(main())
    assert all(socket.closed for socket in bench.sockets)
    return bench


def test_a_node_that_falls_silent_is_lost_in_time_and_found_again_at_once() -> None:
    async def work(bench: Bench) -> None:
        await bench.pass_by(10)
        assert bench.told == [] and len(bench.sockets) == 1
        bench.there.discard("10.255.0.4")
        await bench.pass_by(SILENCE - INTERVAL)
        assert bench.told == []
        await bench.pass_by(3 * INTERVAL)
        assert bench.told == [frozenset({"n3"})]
        bench.there.add("10.255.0.4")
        await bench.pass_by(3 * INTERVAL)
        assert bench.told == [frozenset({"n3"}), frozenset()]

    watched(work)


def test_a_sandbox_that_was_made_anew_gets_a_new_socket() -> None:
    async def work(bench: Bench) -> None:
        await bench.pass_by(2)
        # The old socket is in a namespace that leads nowhere any more.
        bench.sockets[0].there = set()
        await bench.pass_by(SILENCE + 4 * INTERVAL)
        assert len(bench.sockets) > 1 and bench.told[-1] == frozenset()

    watched(work)


def test_without_a_sandbox_everybody_is_out_of_reach() -> None:
    async def work(bench: Bench) -> None:
        bench.no_sandbox = True
        bench.peers = {"n2": "10.255.0.3"}
        await bench.pass_by(SILENCE + 2 * INTERVAL)
        assert bench.told == []  # the socket that there is still serves
        bench.peers = {}
        await bench.pass_by(1)
        bench.peers = {"n2": "10.255.0.3"}
        await bench.pass_by(SILENCE + 2 * INTERVAL)
        assert bench.told == [frozenset({"n2"})]
        bench.no_sandbox = False
        await bench.pass_by(2)
        assert bench.told[-1] == frozenset()

    watched(work)
