"""One task's life on this node: takes the steps that the state machine names, one after the other.

A task that ends is its manager's to replace. Where no manager can be reached, it is restarted here, as the service's
policy says, and stays the same task: when a manager is back, nothing has to be replaced.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from shoal.agent.controller import Controller
from shoal.agent.fsm import Step, next_step
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import ShoalError, Unavailable
from shoal.objects.base import timestamp
from shoal.objects.restart import allows, delay_of
from shoal.objects.service import RestartPolicy
from shoal.objects.state import TaskState, is_terminal
from shoal.objects.task import Task, TaskStatus

T = TypeVar("T")
# Between looks for a manager, in seconds.
_LOOK = 0.25
# Between restarts here at least, in seconds, whatever the policy says.
_LEAST = 1.0
_log = logging.getLogger(__name__)


class Runner:
    """Drives one task. ``report`` takes each status as it comes about; a state never goes back. ``is_alone`` says that
    no manager can be reached, ``hand_over`` tells one of a status and whether it took it, ``rests`` is told when the
    task, still RUNNING, serves nobody for a while."""

    def __init__(
        self,
        *,
        task: Task,
        status: TaskStatus | None,
        controller: Controller,
        report: Callable[[str, TaskStatus], Awaitable[None]],
        is_alone: Callable[[], bool],
        hand_over: Callable[[str, TaskStatus], Awaitable[bool]],
        rests: Callable[[str, bool], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._task = task
        self._controller = controller
        self._report = report
        self._is_alone = is_alone
        self._hand_over = hand_over
        self._rests = rests
        self._clock = clock
        self._restarts = 0
        self._desired = task.desired
        self._state = TaskState.of(status.state) if status else TaskState.ASSIGNED
        self._changed = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, or go on from the state that was reported last."""
        self._loop = spawn(self._run(), name=f"task {self._task.full_name}")

    def want(self, desired: TaskState) -> None:
        """The state that is wanted from now on; it only goes up."""
        if desired > self._desired:
            self._desired = desired
            self._changed.set()

    async def leave(self) -> None:
        """Stop driving; the task itself stays as it is."""
        await cancel(self._loop)

    async def remove(self, *, at_once: bool = False) -> None:
        """Stop the task, within its grace period or ``at_once``, and remove all that there is of it. Raises ShoalError;
        it may be called again then."""
        await self.leave()
        if not at_once:
            await self._controller.shutdown()
        await self._controller.remove()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                await self._step()
            except Exception as error:  # noqa: BLE001 (a fault of ours ends the task, which is replaced, and is logged)
                _log.exception("a step of task %s failed", self._task.full_name)
                if not await self._fail(error):
                    await self._clock.sleep(1)

    async def _step(self) -> None:
        match next_step(self._state, self._desired):
            case Step.ACCEPT:
                await self._move(TaskState.ACCEPTED, "accepted")
            case Step.PREPARE:
                await self._prepare()
            case Step.START:
                await self._start()
            case Step.WATCH:
                await self._watch()
            case Step.SHUT_DOWN:
                await self._shut_down()
            case Step.IDLE:
                await self._changed.wait()

    async def _fail(self, error: Exception) -> bool:
        """End a task that something unforeseen befell; whether that worked."""
        if is_terminal(self._state):
            return False
        try:
            await self._controller.shutdown()
            await self._move(TaskState.FAILED, "failed", str(error) or type(error).__name__)
        except Exception as again:  # noqa: BLE001 (whatever it is, ending the task is tried again)
            _log.warning("task %s cannot be ended: %s", self._task.full_name, again)
            return False
        return True

    async def _move(self, state: TaskState, message: str, error: str | None = None) -> None:
        await self._become(self._status(state, message, error))

    def _status(self, state: TaskState, message: str, error: str | None) -> TaskStatus:
        return TaskStatus(
            timestamp=timestamp(self._clock.now()),
            state=state.word,
            message=message,
            err=error,
            container_status=self._controller.container_status(),
            port_status=self._controller.port_status(),
        )

    async def _become(self, status: TaskStatus) -> None:
        self._state = max(TaskState.of(status.state), self._state)
        await self._report(self._task.id, status)

    async def _prepare(self) -> None:
        await self._move(TaskState.PREPARING, "preparing")
        try:
            await self._interruptible(self._controller.prepare())
        except _Interrupted:
            return
        except ShoalError as error:
            await self._move(TaskState.REJECTED, "preparing", str(error))
            return
        await self._move(TaskState.READY, "prepared")

    async def _start(self) -> None:
        await self._move(TaskState.STARTING, "starting")
        try:
            await self._interruptible(self._controller.start())
        except _Interrupted:
            return
        except ShoalError as error:
            await self._controller.shutdown()
            await self._end(TaskState.FAILED, "starting", str(error))
            return
        await self._move(TaskState.RUNNING, "started")

    async def _watch(self) -> None:
        try:
            result = await self._interruptible(self._controller.wait())
        except _Interrupted:
            return
        except Unavailable as error:
            _log.warning("task %s cannot be watched: %s", self._task.full_name, error)
            await self._clock.sleep(1)
            return
        except ShoalError as error:
            await self._controller.shutdown()
            await self._end(TaskState.FAILED, "started", str(error))
            return
        if result.code == 0:
            await self._end(TaskState.COMPLETE, "finished")
        else:
            await self._end(TaskState.FAILED, "started", result.error or f"task: non-zero exit ({result.code})")

    async def _end(self, state: TaskState, message: str, error: str | None = None) -> None:
        """The task has ended by itself: its manager's to replace, or ours to restart."""
        ended = self._status(state, message, error)
        with suppress(_Interrupted):
            if not await self._interruptible(self._restarted_here(ended)):
                await self._become(ended)

    async def _restarted_here(self, ended: TaskStatus) -> bool:
        """Whether a task that has ended by itself runs again, restarted here: so it is where no manager has taken the
        word of its end, and the policy allows it."""
        policy = self._task.spec.restart_policy or RestartPolicy()
        failed = ended.state == TaskState.FAILED.word
        if allows(policy, failed=failed, restarts=self._restarts):
            await self._rests(self._task.id, True)
        while allows(policy, failed=failed, restarts=self._restarts):
            if await self._hand_over(self._task.id, ended):
                break
            due = self._clock.monotonic() + max(delay_of(policy).total_seconds(), _LEAST)
            while (left := due - self._clock.monotonic()) > 0:
                await self._clock.sleep(min(left, _LOOK))
                if not self._is_alone():
                    break
            if not self._is_alone():
                continue
            self._restarts += 1
            try:
                await self._controller.start()
            except ShoalError as error:
                _log.warning("task %s cannot be restarted without a manager: %s", self._task.full_name, error)
                failed = True
                continue
            await self._move(TaskState.RUNNING, "restarted while no manager was in reach")
            await self._rests(self._task.id, False)
            return True
        return False

    async def _shut_down(self) -> None:
        try:
            await self._controller.shutdown()
        except ShoalError as error:
            _log.warning("task %s cannot be stopped: %s", self._task.full_name, error)
            await self._clock.sleep(1)
            return
        await self._move(TaskState.SHUTDOWN, "shutdown")

    async def _interruptible(self, step: Coroutine[Any, Any, T]) -> T:
        """Await a step, but not past the moment when the task is no longer wanted."""
        working = spawn(step, name=f"step of {self._task.full_name}")
        changed = spawn(self._changed.wait(), name="wanted state")
        try:
            while True:
                await asyncio.wait([working, changed], return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    return working.result()
                self._changed.clear()
                if self._desired >= TaskState.SHUTDOWN:
                    await cancel(working)
                    raise _Interrupted
                changed = spawn(self._changed.wait(), name="wanted state")
        finally:
            await cancel(changed, working)


class _Interrupted(Exception):
    """The task is no longer wanted."""
