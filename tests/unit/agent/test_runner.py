"""One task's runner: up through the states, down from each of them, and what goes wrong on the way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes.clock import FakeClock
from tests.fakes.controller import FakeController

from shoal.agent.runner import Runner
from shoal.errors import FailedPrecondition, NotFound, Unavailable
from shoal.objects.ids import TaskId
from shoal.objects.service import RestartPolicy, TaskSpec
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus


@dataclass
class Bench:
    """A runner, with what it has reported."""

    desired: TaskState = TaskState.RUNNING
    status: TaskStatus | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    controller: FakeController = field(default_factory=FakeController)
    reports: list[TaskStatus] = field(default_factory=list)
    policy: RestartPolicy | None = None
    alone: bool = False
    rests: list[bool] = field(default_factory=list)
    handed: list[str] = field(default_factory=list)
    lost_in_between: bool = False

    def __post_init__(self) -> None:
        task = Task(id=TaskId("t1"), desired_state=self.desired.word, spec=TaskSpec(restart_policy=self.policy))
        self.runner = Runner(
            task=task,
            status=self.status,
            controller=self.controller,
            report=self._report,
            is_alone=lambda: self.alone,
            hand_over=self._hand_over,
            rests=self._rests,
            clock=self.clock,
        )

    async def _hand_over(self, task_id: str, status: TaskStatus) -> bool:
        self.handed.append(status.state)
        await asyncio.sleep(0)
        if self.lost_in_between:
            self.alone = True
        return not self.alone

    async def _rests(self, task_id: str, rests: bool) -> None:
        self.rests.append(rests)

    async def _report(self, task_id: str, status: TaskStatus) -> None:
        assert task_id == "t1"
        self.reports.append(status)

    @property
    def states(self) -> list[str]:
        return [report.state for report in self.reports]


UP = ["accepted", "preparing", "ready", "starting", "running"]


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 20))  # type: ignore[arg-type]


def test_up_and_to_the_end() -> None:
    async def work() -> None:
        for code, last in ((0, "complete"), (3, "failed")):
            bench = Bench()
            bench.runner.start()
            await bench.clock.settle()
            assert bench.states == UP
            bench.controller.end(code)
            await bench.clock.settle()
            assert bench.states == [*UP, last]
            assert bench.reports[-1].err == (f"task: non-zero exit ({code})" if code else None)
            bench.runner.want(TaskState.SHUTDOWN)
            await bench.clock.settle()
            assert bench.states == [*UP, last]
            await bench.runner.remove()
            assert bench.controller.removed

    run(work)


def test_ready_is_where_it_waits() -> None:
    async def work() -> None:
        bench = Bench(desired=TaskState.READY)
        bench.runner.start()
        await bench.clock.settle()
        assert bench.states == UP[:3]
        bench.runner.want(TaskState.RUNNING)
        await bench.clock.settle()
        assert bench.states == UP
        bench.runner.want(TaskState.READY)
        await bench.clock.settle()
        assert bench.states == UP
        await bench.runner.leave()
        assert bench.controller.running

    run(work)


@pytest.mark.parametrize("step", ["prepare", "start", "wait"])
def test_shut_down_in_the_middle_of_a_step(step: str) -> None:
    async def work() -> None:
        bench = Bench()
        bench.controller.held[step] = asyncio.Event()
        bench.runner.start()
        await bench.clock.settle()
        assert bench.controller.calls[step] == 1
        bench.runner.want(TaskState.SHUTDOWN)
        await bench.clock.settle()
        assert bench.states[-1] == "shutdown"
        assert not bench.controller.running
        await bench.runner.leave()

    run(work)


@pytest.mark.parametrize(("step", "last"), [("prepare", "rejected"), ("start", "failed"), ("wait", "failed")])
@pytest.mark.parametrize(
    "error", [NotFound("No such image: x"), RuntimeError("a fault of ours")], ids=["known", "other"]
)
def test_a_step_that_fails(step: str, last: str, error: Exception) -> None:
    async def work() -> None:
        bench = Bench()
        bench.controller.fails[step] = error
        bench.runner.start()
        await bench.clock.settle()
        assert bench.states[-1] == (last if isinstance(error, NotFound) else "failed")
        assert bench.reports[-1].err == str(error)
        assert not bench.controller.running
        await bench.runner.leave()

    run(work)


def test_a_watch_that_cannot_be_held_is_taken_up_again() -> None:
    async def work() -> None:
        bench = Bench()
        bench.controller.fails["wait"] = Unavailable("no containerd")
        bench.runner.start()
        await bench.clock.advance(2)
        assert bench.states == UP
        bench.controller.end(0)
        await bench.clock.settle()
        assert bench.states[-1] == "complete"
        await bench.runner.leave()

    run(work)


def test_a_shutdown_that_fails_is_tried_again() -> None:
    async def work() -> None:
        bench = Bench()
        bench.runner.start()
        await bench.clock.settle()
        bench.controller.fails["shutdown"] = Unavailable("no containerd")
        bench.runner.want(TaskState.SHUTDOWN)
        await bench.clock.settle()
        assert bench.states == UP
        await bench.clock.advance(2)
        assert bench.states[-1] == "shutdown"
        await bench.runner.leave()

    run(work)


@pytest.mark.parametrize("state", [*UP])
def test_taken_up_where_it_was(state: str) -> None:
    async def work() -> None:
        bench = Bench(status=TaskStatus(state=state))
        bench.controller.prepared = TaskState.of(state) >= TaskState.READY
        bench.runner.start()
        await bench.clock.settle()
        assert bench.states[-1:] in (["running"], [])
        assert min((TaskState.of(s) for s in bench.states), default=TaskState.RUNNING) >= TaskState.of(state)
        assert bench.controller.calls["wait"] == 1
        assert bench.controller.calls["prepare"] == (TaskState.of(state) < TaskState.READY)
        await bench.runner.leave()

    run(work)


_EVENTS = st.sampled_from(["ready", "running", "shutdown", "remove", "ends", "fails", "step", "time", "restart"])

_STEPS = st.sampled_from(["prepare", "start", "wait", "shutdown"])
_ERRORS = st.sampled_from([Unavailable("x"), NotFound("y"), ValueError("z")])


@settings(max_examples=60, deadline=None)
@given(events=st.lists(_EVENTS, max_size=8), fails=st.dictionaries(_STEPS, _ERRORS))
def test_states_only_go_up(events: list[str], fails: dict[str, Exception]) -> None:
    async def work() -> None:
        bench = Bench(desired=TaskState.READY)
        bench.controller.fails = dict(fails)
        bench.runner.start()
        for event in events:
            match event:
                case "ends" | "fails":
                    if bench.controller.running:
                        bench.controller.end(event == "fails")
                case "step":
                    await asyncio.sleep(0)
                case "time":
                    await bench.clock.advance(1.5)
                case "restart":
                    await bench.runner.leave()
                    again = Bench(desired=bench.runner._desired, status=bench.reports[-1] if bench.reports else None)
                    again.controller, again.reports = bench.controller, bench.reports
                    again.runner._controller = bench.controller
                    bench = again
                    bench.runner.start()
                case _:
                    bench.runner.want(TaskState.of(event))
        bench.runner.want(TaskState.SHUTDOWN)
        await bench.clock.advance(10)
        states = [TaskState.of(state) for state in bench.states]
        assert states == sorted(states)
        assert is_terminal(states[-1])
        assert sum(is_terminal(state) for state in states) == 1
        assert not bench.controller.running
        await bench.runner.leave()

    run(work)


def test_without_a_manager_it_is_restarted_here_and_stays_the_same_task() -> None:
    async def work() -> None:
        bench = Bench(alone=True)
        bench.runner.start()
        await bench.clock.settle()
        for round_ in range(3):
            bench.controller.end(1)
            await bench.clock.settle()
            assert bench.states == [*UP, *["running"] * round_] and bench.rests[-1]
            await bench.clock.advance(4.5)
            assert not bench.controller.running
            bench.controller.ended.clear()
            await bench.clock.advance(1)
            assert bench.controller.running and not bench.rests[-1]
        assert bench.states == [*UP, "running", "running", "running"]
        await bench.runner.leave()

    run(work)


def test_a_manager_that_comes_back_before_is_told_of_the_end() -> None:
    async def work() -> None:
        bench = Bench(alone=True)
        bench.runner.start()
        await bench.clock.settle()
        bench.controller.end(1)
        await bench.clock.advance(3)
        bench.alone = False
        await bench.clock.advance(0.5)
        assert bench.states == [*UP, "failed"] and not bench.controller.running

    run(work)


@pytest.mark.parametrize(
    ("policy", "code", "restarts"),
    [
        (RestartPolicy(condition="none"), 1, 0),
        (RestartPolicy(condition="on-failure"), 0, 0),
        (RestartPolicy(condition="on-failure", delay=0), 1, 3),
        (RestartPolicy(condition="any", delay=0), 0, 3),
        (RestartPolicy(max_attempts=2, delay=0), 1, 2),
    ],
)
def test_the_policy_counts_without_a_manager_too(policy: RestartPolicy, code: int, restarts: int) -> None:
    async def work() -> None:
        bench = Bench(alone=True, policy=policy)
        bench.runner.start()
        await bench.clock.settle()
        for _ in range(3):
            if bench.states[-1] != "running":
                break
            bench.controller.end(code)
            bench.controller.ended = asyncio.Event()
            await bench.clock.advance(1.5)
        assert bench.states.count("running") == restarts + 1
        assert (bench.states[-1] == "running") == (restarts == 3)
        await bench.runner.leave()

    run(work)


def test_shut_down_while_it_waits_for_its_restart() -> None:
    async def work() -> None:
        bench = Bench(alone=True)
        bench.runner.start()
        await bench.clock.settle()
        bench.controller.end(1)
        await bench.clock.advance(1)
        bench.runner.want(TaskState.SHUTDOWN)
        await bench.clock.advance(10)
        assert bench.states[-1] == "shutdown" and not bench.controller.running

    run(work)


def test_a_manager_that_dies_before_it_takes_the_word_of_an_end_leaves_the_task_to_its_node() -> None:
    async def work() -> None:
        bench = Bench(lost_in_between=True)
        bench.runner.start()
        await bench.clock.settle()
        bench.controller.end(1)
        bench.controller.ended = asyncio.Event()
        await bench.clock.advance(6)
        assert bench.handed == ["failed"] and bench.states == [*UP, "running"] and bench.controller.running
        bench.alone = bench.lost_in_between = False
        bench.controller.ended.set()
        bench.controller.code = 1
        await bench.clock.advance(6)
        assert bench.handed == ["failed", "failed"] and bench.states[-1] == "failed"

    run(work)


def test_an_unhealthy_task_is_restarted_without_a_manager_too() -> None:
    async def work() -> None:
        bench = Bench(alone=True)
        bench.controller.fails["wait"] = FailedPrecondition("task: unhealthy container")
        bench.runner.start()
        await bench.clock.advance(6)
        assert bench.states == [*UP, "running"] and bench.controller.running
        await bench.runner.leave()

    run(work)
