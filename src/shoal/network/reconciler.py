"""The one door to the kernel's network: it is told what the node wants and makes it so.

All of it runs on one thread of its own. What was applied is remembered, so that a change of one part is compared with
that part alone; where the kernel turns out to be otherwise, everything is read back and planned anew. What somebody
else does to it is heard of, and mended.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from shoal.errors import Internal, ShoalError
from shoal.kernel import netns
from shoal.network.apply import Failure, apply
from shoal.network.describe import describe, parts
from shoal.network.handles import Handles
from shoal.network.items import Item, Key, Namespace, Sysctl, satisfies
from shoal.network.node import NodeNetwork
from shoal.network.observe import observe, read_sysctls
from shoal.network.plan import Operation, by_key, plan
from shoal.network.plan import describe as in_words
from shoal.network.repairs import Repair, repairs
from shoal.network.watch import Watch

T = TypeVar("T")
_log = logging.getLogger(__name__)
# How long to wait after each look that ended in a failure: the kernel removes a namespace, with what is in it, behind
# the back of whoever told it to.
_PAUSES = (0.05, 0.15, 0.3, 0.0)
# How often to look while somebody takes names away at the same time.
_LOOKS = 3


class Reconciler:
    """Keeps the kernel's network as the node wants it. Methods may be awaited from any number of tasks."""

    def __init__(self, *, owner: str, base: Path = netns.BASE) -> None:
        self._handles = Handles(owner, base)
        self._watch = Watch(self._handles)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._wanted: dict[str, dict[Key, Item]] = {}
        # What the kernel has, as far as it was left so; nothing can be said before the first look, and after a failure.
        self._observed: dict[Key, Item] = {}
        self._is_known = False
        # How often the kernel was read back, for whoever wants to know what that costs.
        self.looks = 0

    @property
    def is_known(self) -> bool:
        """Whether the kernel was left as wanted; else :meth:`repair` has something to try again."""
        return self._is_known

    def fileno(self) -> int:
        """Readable when something has happened that :meth:`mend` should look into."""
        return self._watch.fileno()

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

    async def mend(self) -> list[Repair]:
        """Look where the kernel says that something has happened, bring that to what is wanted, and say what was
        otherwise. Raises as apply."""
        return await self._run(self._mend)

    async def mend_settings(self) -> list[Repair]:
        """The same for the sysctls, of whose changes the kernel says nothing."""
        return await self._run(self._mend_settings)

    async def repair(self) -> list[Repair]:
        """Read everything back, mend what is not as wanted, and say what that was. Raises as apply."""
        return await self._run(self._synchronise)

    async def observe(self) -> dict[Key, Item]:
        """What the kernel has of ours, read now."""
        return await self._run(lambda: observe(self._handles, self._all_wanted()))

    async def run(self, work: Callable[[Handles], T]) -> T:
        """Other reading on the same thread, through the same handles."""
        return await self._run(lambda: work(self._handles))

    async def settle(self) -> None:
        """Return when the kernel has removed all that it was told to."""
        await self._run(self._handles.reaper.wait)

    async def close(self) -> None:
        """Finish what is begun and let go of all sockets; the kernel's network stays as it is."""
        await self._run(self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        self._watch.close()
        self._handles.close()

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _all_wanted(self) -> dict[Key, Item]:
        return {key: item for items in self._wanted.values() for key, item in items.items()}

    def _apply(self, node: NodeNetwork, changed: list[str]) -> None:
        before: dict[Key, Item] = {}
        wanted: dict[Key, Item] = {}
        for part in changed:
            before |= self._wanted.pop(part, {})
            if items := by_key(describe(node, part)):
                self._wanted[part] = items
                wanted |= items
        for key in before.keys() - wanted.keys():
            if isinstance(item := before[key], Namespace):
                self._watch.forget(item.name)
        if not self._is_known or not self._apply_difference(before, wanted):
            self._synchronise({*before, *wanted})
        self._watch.follow(wanted.values())

    def _apply_difference(self, before: dict[Key, Item], wanted: dict[Key, Item]) -> bool:
        """Go by what was left the last time; whether that was right."""
        scope = {key: self._observed[key] for key in {**before, **wanted} if key in self._observed}
        failures = self._carry_out(plan(wanted, scope))
        if failures:
            _log.info("the kernel is not as it was left, reading it back: %s", _first(failures))
            return False
        for key in scope:
            self._observed.pop(key, None)
        self._observed |= wanted
        return True

    def _mend(self) -> list[Repair]:
        wanted = self._all_wanted()
        suspects = self._watch.hear(wanted)
        return self._synchronise(only=suspects) if suspects else []

    def _mend_settings(self) -> list[Repair]:
        settings = [item for item in self._all_wanted().values() if isinstance(item, Sysctl)]
        found = by_key(read_sysctls(settings, self._handles))
        suspects = {item.ns for item in settings if not satisfies(item, found.get(item.key))}
        return self._synchronise(only=suspects) if suspects else []

    def _synchronise(self, concerning: set[Key] | None = None, *, only: Collection[str] | None = None) -> list[Repair]:
        """Read everything back, or what is in these namespaces ``only``, and make it as wanted; what was otherwise.
        Raises for what is refused of ``concerning``, or of anything where that is None."""
        done: dict[Key, Repair] = {}
        if not self._is_known:
            only = None
            # Whoever died while a namespace was being made left its name.
            for name in netns.leftovers(self._handles.owner, self._handles.base):
                netns.delete(name, self._handles.base)
        for pause in _PAUSES:
            wanted = self._all_wanted()
            here = wanted if only is None else {key: item for key, item in wanted.items() if item.ns in only}
            try:
                found = self._look(wanted, only)
            except ShoalError:
                # Nobody tells again of what has led here.
                self._is_known = False
                raise
            operations = plan(here, found)
            done = {**repairs(operations, found), **self._renamed(), **done}
            failures = self._carry_out(operations)
            if not failures:
                kept = {} if only is None else {k: item for k, item in self._observed.items() if item.ns not in only}
                self._observed = {**kept, **here}
                self._is_known = True
                self._watch.follow(here.values())
                return list(done.values())
            self._is_known = False
            mine = [f for f in failures if concerning is None or f.operation.item.key in concerning]
            if not mine:
                _log.warning("a part of the network cannot be set up: %s", _first(failures))
                return list(done.values())
            failures = mine
            time.sleep(pause)
        raise Internal(f"the network could not be set up: {_first(failures)}") from failures[0].error

    def _look(self, wanted: dict[Key, Item], only: Collection[str] | None) -> dict[Key, Item]:
        """Read back, under names that were all there while it was read: of a namespace without its name nothing is
        found, and what leads into it would look like nobody's."""
        names = [item.name for item in wanted.values() if isinstance(item, Namespace)]
        for _ in range(_LOOKS):
            for name in names:
                self._handles.give_name_back(name)
            self.looks += 1
            found = observe(self._handles, wanted, only)
            if all(self._handles.is_named(name) for name in names):
                break
        return found

    def _renamed(self) -> dict[Key, Repair]:
        names, self._handles.renamed = self._handles.renamed, set()
        spaces = [("netns", name) for name in names]
        return {key: Repair(key, "its name was gone") for key in spaces}

    def _carry_out(self, operations: list[Operation]) -> list[Failure]:
        for operation in operations:
            _log.debug("%s", in_words(operation))
        return apply(operations, self._handles)


def _first(failures: list[Failure]) -> str:
    return f"{in_words(failures[0].operation)}: {failures[0].error}"
