"""The one door to the kernel's network: it is told what the node wants and makes it so.

All of it runs on one thread of its own. What was applied is remembered, so that a change of one part is compared with
that part alone; where the kernel turns out to be otherwise, everything is read back and planned anew.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from shoal.errors import Internal
from shoal.kernel import netns
from shoal.network.apply import Failure, apply
from shoal.network.describe import describe, parts
from shoal.network.handles import Handles
from shoal.network.items import Item, Key, Sysctl
from shoal.network.node import NodeNetwork
from shoal.network.observe import observe
from shoal.network.plan import Operation, by_key, plan
from shoal.network.plan import describe as in_words

T = TypeVar("T")
_log = logging.getLogger(__name__)
_TRIES = 3


class Reconciler:
    """Keeps the kernel's network as the node wants it. Methods may be awaited from any number of tasks."""

    def __init__(self, *, owner: str, base: Path = netns.BASE) -> None:
        self._owner = owner
        self._handles = Handles(base)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._wanted: dict[str, dict[Key, Item]] = {}
        self._observed: dict[Key, Item] = {}

    async def start(self, node: NodeNetwork) -> None:
        """Take over what is there already, whoever made it, and bring it to what ``node`` wants."""
        await self._run(self._look)
        await self.apply(node, parts(node))

    async def apply(self, node: NodeNetwork, changed: Iterable[str]) -> None:
        """Bring these parts to what ``node`` wants; parts that it does not have are removed.

        :raises Internal: the kernel refuses; what worked stays, and the next call tries again.
        """
        described = {part: by_key(describe(node, part)) for part in changed}
        await self._run(lambda: self._apply(described))

    async def repair(self) -> list[str]:
        """Read everything back, mend what is not as wanted, and say what that was."""
        return await self._run(self._repair)

    async def observe(self) -> dict[Key, Item]:
        """What the kernel has of ours, read now."""
        return await self._run(lambda: observe(self._owner, self._handles, self._sysctls()))

    async def run(self, work: Callable[[Handles], T]) -> T:
        """Other reading on the same thread, through the same handles."""
        return await self._run(lambda: work(self._handles))

    async def close(self) -> None:
        """Let go of all sockets; the kernel's network stays as it is."""
        await self._run(self._handles.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _sysctls(self) -> list[Sysctl]:
        return [item for items in self._wanted.values() for item in items.values() if isinstance(item, Sysctl)]

    def _look(self) -> None:
        self._observed = observe(self._owner, self._handles, self._sysctls())

    def _apply(self, described: Mapping[str, dict[Key, Item]]) -> None:
        before: dict[Key, Item] = {}
        for part, items in described.items():
            before |= self._wanted.get(part, {})
            if items:
                self._wanted[part] = items
            else:
                self._wanted.pop(part, None)
        wanted = {key: item for items in described.values() for key, item in items.items()}
        # Before anything was applied there is only what was found: all of it is compared then.
        scope = {**before, **wanted} if self._applied_once else self._observed
        failures = self._carry_out(wanted, {key: self._observed[key] for key in scope if key in self._observed})
        for _ in range(_TRIES - 1):
            if not failures:
                return
            _log.info("the kernel is not as it was left, reading it back: %s", _first(failures))
            self._look()
            failures = self._carry_out(self._everything(), self._observed)
        if failures:
            raise Internal(f"the network could not be set up: {_first(failures)}") from failures[0].error

    _applied_once = False

    def _everything(self) -> dict[Key, Item]:
        return {key: item for items in self._wanted.values() for key, item in items.items()}

    def _carry_out(self, wanted: dict[Key, Item], observed: dict[Key, Item]) -> list[Failure]:
        operations = plan(wanted, observed)
        for operation in operations:
            _log.debug("%s", in_words(operation))
        failures = apply(operations, self._handles)
        self._remember(wanted, observed, operations, failures)
        return failures

    def _remember(
        self,
        wanted: dict[Key, Item],
        observed: dict[Key, Item],
        operations: list[Operation],
        failures: list[Failure],
    ) -> None:
        self._applied_once = True
        failed = {failure.operation.item.key for failure in failures}
        for key in list(observed):
            if key not in wanted and key not in failed:
                self._observed.pop(key, None)
        self._observed.update({key: item for key, item in wanted.items() if key not in failed})

    def _repair(self) -> list[str]:
        self._look()
        operations = plan(self._everything(), self._observed)
        if operations:
            self._remember(self._everything(), self._observed, operations, apply(operations, self._handles))
        return [in_words(operation) for operation in operations]


def _first(failures: list[Failure]) -> str:
    return f"{in_words(failures[0].operation)}: {failures[0].error}"
