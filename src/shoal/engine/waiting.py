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

    def wait(self, container_id: str, condition: Condition) -> asyncio.Future[ExitResult]:
        """A future for the container's next exit or removal, whichever ``condition`` names."""
        future: asyncio.Future[ExitResult] = asyncio.get_running_loop().create_future()
        waiting = self._removals if condition is Condition.REMOVED else self._exits
        # Those who have gone away meanwhile are dropped here: a container may run for years, and many may ask.
        waiting[container_id] = [other for other in waiting[container_id] if not other.done()] + [future]
        return future

    def exited(self, container_id: str, result: ExitResult) -> None:
        """Wake those who wait for an exit."""
        _resolve(self._exits.pop(container_id, []), result)

    def removed(self, container_id: str, last: ExitResult) -> None:
        """Wake everybody with how it ended ``last``: there will be no exit any more."""
        _resolve(self._exits.pop(container_id, []), last)
        _resolve(self._removals.pop(container_id, []), last)


def _resolve(futures: list[asyncio.Future[ExitResult]], result: ExitResult) -> None:
    for future in futures:
        if not future.done():
            future.set_result(result)
