"""Rolling updates over the real loops: order, parallelism, delay, failure, rollback."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.fakes.swarm import SECOND, Swarm, a_spec, flow, with_image, with_replicas

from shoal.objects.base import parse_time
from shoal.objects.service import RestartPolicy, UpdateConfig
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task


def image_of(task: Task) -> str:
    return (task.spec.container_spec.image if task.spec.container_spec else None) or ""


def watched(swarm: Swarm, before: list[Task], check: Callable[[dict[str, Task]], None]) -> None:
    """Replay the history so far, calling ``check`` with all tasks after each change."""
    now: dict[str, Task] = {task.id: task for task in before}
    for task in swarm.history:
        now[task.id] = task
        check(now)


async def up(swarm: Swarm, replicas: int, update: UpdateConfig | None, image: str = "nginx:1") -> None:
    await swarm.services.create(a_spec(replicas=replicas, image=image, update=update))
    await swarm.clock.settle()
    assert len(swarm.running("web")) == replicas


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
@pytest.mark.parametrize("parallelism", [1, 2, 0])
def test_all_tasks_are_replaced_within_the_limits(order: str, parallelism: int) -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 5, UpdateConfig(parallelism=parallelism, order=order))
        swarm.history.clear()
        before = swarm.running("web")
        await swarm.update("web", with_image("nginx:2"))
        await swarm.clock.advance(30)
        assert swarm.images("web") == ["nginx:2"] * 5
        assert [t.slot for t in swarm.running("web")] == [1, 2, 3, 4, 5]
        assert swarm.update_state("web") == "completed"
        limit = parallelism or 5

        def check(tasks: dict[str, Task]) -> None:
            alive = [t for t in tasks.values() if t.state == TaskState.RUNNING]
            assert len(alive) >= (5 if order == "start-first" else 5 - limit)
            assert len(alive) <= (5 + limit if order == "start-first" else 5)
            fresh = [t for t in tasks.values() if image_of(t) == "nginx:2" and t.desired <= TaskState.RUNNING]
            assert len([t for t in fresh if t.state < TaskState.RUNNING]) <= limit

        watched(swarm, before, check)

    flow(body)


def test_each_renewed_slot_keeps_its_place_for_the_delay() -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 3, UpdateConfig(parallelism=1, delay=10 * SECOND))
        await swarm.update("web", with_image("nginx:2"))
        for renewed in (1, 2, 3):
            assert swarm.images("web").count("nginx:2") == renewed
            await swarm.clock.advance(9.5)
            assert swarm.images("web").count("nginx:2") == renewed
            await swarm.clock.advance(1)
        assert swarm.update_state("web") == "completed"

    flow(body)


def test_it_is_completed_only_after_the_monitoring_period() -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 2, UpdateConfig(parallelism=0, monitor=30 * SECOND))
        await swarm.update("web", with_image("nginx:2"))
        await swarm.clock.advance(29)
        assert swarm.images("web") == ["nginx:2"] * 2 and swarm.update_state("web") == "updating"
        await swarm.clock.advance(2)
        assert swarm.update_state("web") == "completed"
        status = swarm.services.get("web").update_status
        assert status and status.started_at and status.completed_at
        assert parse_time(status.completed_at) - parse_time(status.started_at) >= timedelta(seconds=30)
        assert status.message == "update completed"

    flow(body)


@pytest.mark.parametrize("image", ["fails", "rejected", "exits"])
@pytest.mark.parametrize("order", ["start-first", "stop-first"])
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_failure_pauses_by_default(image: str, order: str, replicas: int) -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, replicas, UpdateConfig(parallelism=1, order=order))
        await swarm.update("web", with_image(image))
        await swarm.clock.advance(60)
        assert swarm.update_state("web") == "paused"
        status = swarm.services.get("web").update_status
        failed = {t.id for t in swarm.history if image_of(t) == image}
        prefix = "update paused due to failure or early termination of task "
        assert status and status.message and status.message.removeprefix(prefix) in failed
        assert swarm.images("web") == ["nginx:1"] * (replicas if order == "start-first" else replicas - 1)
        # A new update goes on from there.
        await swarm.update("web", with_image("nginx:3"))
        await swarm.clock.advance(60)
        assert swarm.images("web") == ["nginx:3"] * replicas and swarm.update_state("web") == "completed"

    flow(body)


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_a_failure_rolls_back_where_that_is_asked_for(replicas: int, order: str) -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, replicas, UpdateConfig(failure_action="rollback", order=order))
        await swarm.update("web", with_image("fails"))
        await swarm.clock.advance(60)
        assert swarm.images("web") == ["nginx:1"] * replicas
        assert swarm.update_state("web") == "rollback_completed"
        service = swarm.services.get("web")
        assert service.spec.task_template.container_spec is not None
        assert service.spec.task_template.container_spec.image == "nginx:1"

    flow(body)


def test_a_share_of_failures_may_be_allowed() -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 4, UpdateConfig(parallelism=1, max_failure_ratio=0.3))
        await swarm.update("web", with_image("nginx:2"))
        first = next(t for t in swarm.running("web") if image_of(t) == "nginx:2")
        await swarm.end(first)
        assert swarm.update_state("web") == "updating"
        await swarm.clock.advance(60)
        assert swarm.images("web") == ["nginx:2"] * 4 and swarm.update_state("web") == "completed"

    flow(body)


@pytest.mark.parametrize("order", ["start-first", "stop-first"])
def test_going_on_despite_failures_keeps_to_the_restart_delay(order: str) -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 2, UpdateConfig(failure_action="continue", order=order, parallelism=1))
        await swarm.update("web", with_image("fails"))
        await swarm.clock.advance(60)
        tried = {t.id for t in swarm.history if image_of(t) == "fails"}
        # One try a slot every five seconds at most.
        assert 5 < len(tried) <= 26
        assert swarm.update_state("web") == "updating"

    flow(body)


def test_rolling_back_by_hand() -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 2, None)
        await swarm.update("web", with_image("nginx:2"))
        await swarm.clock.advance(30)
        service = swarm.services.get("web")
        await swarm.services.update("web", service.spec, service.version.index, rollback=True)
        await swarm.clock.advance(30)
        assert swarm.images("web") == ["nginx:1"] * 2
        assert swarm.update_state("web") == "rollback_completed"

    flow(body)


def test_a_second_update_takes_over_from_the_first() -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 3, UpdateConfig(parallelism=1, delay=10 * SECOND))
        await swarm.update("web", with_image("nginx:2"))
        await swarm.clock.advance(12)
        await swarm.update("web", with_image("nginx:3"))
        await swarm.clock.advance(60)
        assert swarm.images("web") == ["nginx:3"] * 3 and swarm.update_state("web") == "completed"

    flow(body)


def test_scaling_during_an_update_lets_it_go_on() -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 3, UpdateConfig(parallelism=1, delay=10 * SECOND))
        await swarm.update("web", with_image("nginx:2"))
        await swarm.clock.advance(1)
        await swarm.update("web", with_replicas(6))
        await swarm.clock.advance(60)
        assert swarm.images("web") == ["nginx:2"] * 6

    flow(body)


def test_a_task_that_dies_in_an_update_comes_back_as_the_new_one() -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 3, UpdateConfig(parallelism=1, delay=20 * SECOND))
        await swarm.update("web", with_image("nginx:2"))
        old = next(t for t in swarm.running("web") if image_of(t) == "nginx:1")
        await swarm.end(old)
        await swarm.clock.advance(1)
        assert image_of(next(t for t in swarm.tasks("web") if t.slot == old.slot)) == "nginx:2"
        await swarm.clock.advance(60)
        assert swarm.images("web") == ["nginx:2"] * 3

    flow(body)


def test_removed_during_an_update_it_is_gone() -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 4, UpdateConfig(order="start-first"), image="nginx:1")
        await swarm.update("web", with_image("fails"))
        await swarm.services.remove("web")
        await swarm.clock.advance(30)
        assert swarm.store.view.all(Task) == []

    flow(body)


def test_never_two_of_a_slot_with_stop_first() -> None:
    async def body(swarm: Swarm) -> None:
        await up(swarm, 3, UpdateConfig(parallelism=2))
        await swarm.update("web", with_image("nginx:2"))
        await swarm.end(swarm.running("web")[-1])
        await swarm.clock.advance(60)

        def check(tasks: dict[str, Task]) -> None:
            slots = [t.slot for t in tasks.values() if t.state >= TaskState.STARTING and not is_terminal(t.state)]
            assert len(slots) == len(set(slots))

        watched(swarm, [], check)
        assert swarm.images("web") == ["nginx:2"] * 3

    flow(body)


def test_the_last_allowed_attempt_does_not_stop_an_update() -> None:
    async def body(swarm: Swarm) -> None:
        await swarm.services.create(a_spec(replicas=2, image="fails", restart=RestartPolicy(max_attempts=1, delay=0)))
        await swarm.clock.advance(10)
        assert swarm.running("web") == []
        await swarm.update("web", with_image("nginx:2"))
        await swarm.clock.advance(30)
        assert swarm.images("web") == ["nginx:2"] * 2

    flow(body)
