"""Tasks that are named, kept until they end, and never die silently."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_log = logging.getLogger(__name__)
_running: set[asyncio.Task[Any]] = set()


def spawn(coro: Coroutine[Any, Any, T], *, name: str) -> "asyncio.Task[T]":
    """Start ``coro`` as a task called ``name``; its death by an exception is logged with the traceback."""
    task = _start(coro, name)
    task.add_done_callback(_log_death)
    return task


def _start(coro: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
    task = asyncio.get_running_loop().create_task(coro, name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


def _log_death(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("task %s died", task.get_name(), exc_info=error)


async def cancel(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancel ``tasks`` and wait until each has ended; what they raise meanwhile has been logged already."""
    alive = [t for t in tasks if t is not None and not t.done()]
    for task in alive:
        task.cancel()
    if alive:
        await asyncio.wait(alive)


async def carry_through(coro: Coroutine[Any, Any, T], *, name: str) -> T:
    """Await ``coro`` to its end even if the caller is cancelled meanwhile, however often; only then is the caller.

    For what must not be left half done: a commit, the start of a process. What it raises is the caller's to deal with,
    and logged only where the caller, cancelled, does not get it.
    """
    task = _start(coro, name)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        _log_death(task)
        raise cancelled
    return await task
