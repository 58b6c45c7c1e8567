"""Work that is not left half done when whoever asked for it goes away: clients vanish, tasks are given up."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from shoal.aio.tasks import carry_through, spawn
from shoal.errors import ShoalError

T = TypeVar("T")


@dataclass(frozen=True)
class _Failed:
    """How the work ended, where it is the caller's to hear of, not the log's."""

    error: ShoalError


async def whole(work: Coroutine[Any, Any, T], *, name: str) -> T:
    """:func:`carry_through` for what may fail for the caller's own reasons, which are then no matter for the log. A
    lock that the caller holds is held for as long as the work takes."""
    return _result(await carry_through(_outcome(work), name=name))


async def regardless(work: Coroutine[Any, Any, T], *, name: str, under_way: set[asyncio.Task[Any]]) -> T:
    """As :func:`whole`, but a caller that is cancelled goes at once, and the work, which is among those ``under_way``
    until it is done, goes on without it."""
    task = spawn(_outcome(work), name=name)
    under_way.add(task)
    task.add_done_callback(under_way.discard)
    await asyncio.wait([task])
    return _result(task.result())


async def _outcome(work: Coroutine[Any, Any, T]) -> T | _Failed:
    try:
        return await work
    except ShoalError as error:
        return _Failed(error)


def _result(result: T | _Failed) -> T:
    if isinstance(result, _Failed):
        raise result.error
    return result
