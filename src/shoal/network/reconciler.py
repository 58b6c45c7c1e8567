"""The one door to the kernel's network: it is told what the node wants and makes it so.

All of it runs on one thread of its own. What was applied is remembered, so that a change of one part is compared with
that part alone; where the kernel turns out to be otherwise, everything is read back and planned anew.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
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
# How long to wait after each look that ended in a failure: the kernel removes a namespace, with what is in it, behind
# the back of whoever told it to.
_PAUSES = (0.05, 0.15, 0.3, 0.0)


class Reconciler:
    """Keeps the kernel's network as the node wants it. Methods may be awaited from any number of tasks."""

    def __init__(self, *, owner: str, base: Path = netns.BASE) -> None:
        self._owner = owner
        self._handles = Handles(base)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._wanted: dict[str, dict[Key, Item]] = {}
        # What the kernel has, as far as it was left so; nothing can be said before the first look, and after a failure.
        self._observed: dict[Key, Item] = {}
        self._is_known = False

    async def start(self, node: NodeNetwork) -> None:
        """Take over what is there already, whoever made it, and bring it to what ``node`` wants. Raises as apply."""
        await self.apply(node, parts(node))

    async def apply(self, node: NodeNetwork, changed: Iterable[str]) -> None:
        """Bring these parts to what ``node`` wants; parts that it does not have are removed.

        The veth pairs of sandboxes that are unplugged are cut off when this returns, and gone 20 ms later
        (:meth:`settle`).

        :raises Internal: the kernel refuses something of these parts; what worked stays, and the next call tries
            again. What is refused of other parts is logged, and tried again too, but is no reason to fail this one.
        """
        names = list(changed)
        await self._run(lambda: self._apply(node, names))

    async def repair(self) -> list[str]:
        """Read everything back, mend what is not as wanted, and say what that was. Raises as apply."""
        return await self._run(lambda: [in_words(operation) for operation in self._synchronise()])

    async def observe(self) -> dict[Key, Item]:
        """What the kernel has of ours, read now."""
        return await self._run(lambda: observe(self._owner, self._handles, self._sysctls()))

    async def run(self, work: Callable[[Handles], T]) -> T:
        """Other reading on the same thread, through the same handles."""
        return await self._run(lambda: work(self._handles))

    async def settle(self) -> None:
        """Return when the kernel has removed all that it was told to."""
        await self._run(self._handles.reaper.wait)

    async def close(self) -> None:
        """Finish what is begun and let go of all sockets; the kernel's network stays as it is."""
        await self._run(self._handles.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _sysctls(self) -> list[Sysctl]:
        return [item for items in self._wanted.values() for item in items.values() if isinstance(item, Sysctl)]

    def _apply(self, node: NodeNetwork, changed: list[str]) -> None:
        before: dict[Key, Item] = {}
        wanted: dict[Key, Item] = {}
        for part in changed:
            before |= self._wanted.pop(part, {})
            if items := by_key(describe(node, part)):
                self._wanted[part] = items
                wanted |= items
        if self._is_known:
            scope = {key: self._observed[key] for key in {**before, **wanted} if key in self._observed}
            operations = plan(wanted, scope)
            failures = self._carry_out(operations)
            if not failures:
                for key in scope:
                    self._observed.pop(key, None)
                self._observed |= wanted
                return
            _log.info("the kernel is not as it was left, reading it back: %s", _first(failures))
        self._synchronise({*before, *wanted})

    def _synchronise(self, concerning: set[Key] | None = None) -> list[Operation]:
        """Read everything back and make it as wanted; what was to be done for that. Raises for what is refused of
        ``concerning``, or of anything where that is None."""
        done: list[Operation] = []
        for pause in _PAUSES:
            self._observed = observe(self._owner, self._handles, self._sysctls())
            wanted = {key: item for items in self._wanted.values() for key, item in items.items()}
            operations = plan(wanted, self._observed)
            done += [operation for operation in operations if operation not in done]
            failures = self._carry_out(operations)
            if not failures:
                self._observed = wanted
                self._is_known = True
                return done
            self._is_known = False
            mine = [f for f in failures if concerning is None or f.operation.item.key in concerning]
            if not mine:
                _log.warning("a part of the network cannot be set up: %s", _first(failures))
                return done
            failures = mine
            time.sleep(pause)
        raise Internal(f"the network could not be set up: {_first(failures)}") from failures[0].error

    def _carry_out(self, operations: list[Operation]) -> list[Failure]:
        for operation in operations:
            _log.debug("%s", in_words(operation))
        return apply(operations, self._handles)


def _first(failures: list[Failure]) -> str:
    return f"{in_words(failures[0].operation)}: {failures[0].error}"
