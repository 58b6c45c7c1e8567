"""Waiting for a container's fate: callers register first and are woken by what happens afterwards."""

import asyncio
from collections import defaultdict
from enum import Enum

from shoal.objects.results import ExitResult


class Condition(Enum):
    """Engine API, ``/containers/{id}/wait``."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


class Waiters:
    """Futures by container; each is done once, with how the container ended."""

    def __init__(self) -> None:
        self._exits: dict[str, list[asyncio.Future[ExitResult]]] = defaultdict(list)
        self._removals: dict[str, list[asyncio.Future[ExitResult]]] = defaultdict(list)
        self._last: dict[str, ExitResult] = {}

    def wait(self, container_id: str, condition: Condition) -> asyncio.Future[ExitResult]:
        """A future for the container's next exit or removal, whichever ``condition`` names."""
        future: asyncio.Future[ExitResult] = asyncio.get_running_loop().create_future()
        waiting = self._removals if condition is Condition.REMOVED else self._exits
        waiting[container_id].append(future)
        return future

    def exited(self, container_id: str, result: ExitResult) -> None:
        """Wake those who wait for an exit."""
        self._last[container_id] = result
        _resolve(self._exits.pop(container_id, []), result)

    def removed(self, container_id: str) -> None:
        """Wake everybody: there will be no exit any more."""
        last = self._last.pop(container_id, ExitResult(code=0))
        _resolve(self._exits.pop(container_id, []), last)
        _resolve(self._removals.pop(container_id, []), last)


def _resolve(futures: list[asyncio.Future[ExitResult]], result: ExitResult) -> None:
    for future in futures:
        if not future.done():
            future.set_result(result)
