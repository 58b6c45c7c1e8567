"""Two changes of the network behind its back at a time: every pair of tests/faults/damages.py, below shoald.

The lab's node is kept up while one pair after the other is done to it, on a machine of its own (namespaces that the
process's main thread moves into). What is done first, and whether the second comes before the first was looked at or
while it is being mended, follows from the seed.
"""

import asyncio
import random
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from tests.fakes.lab_machine import TASKS, lab, lab_node_with_a_peer
from tests.fakes.lab_network import HOST_ADDRESS, VIP
from tests.fakes.machine import ask, own_machine, ping
from tests.faults.cycles import Broken
from tests.faults.damages import DAMAGES, clear_strangers

from shoal.aio.tasks import spawn
from shoal.errors import ShoalError
from shoal.kernel import netns
from shoal.network.items import Item, Key, Veth
from shoal.network.node import INGRESS_NETNS
from shoal.network.reconciler import Reconciler
from shoal.network.repairs import Repair

# How long to listen for what the kernel has still to tell; shoald gathers for as long.
_LISTEN = 0.05
_SHOWN = 5


@dataclass(frozen=True)
class Pair:
    """Two damages in the order in which they are done; ``overlapping``, the second while the first is mended."""

    first: str
    second: str
    overlapping: bool

    def __str__(self) -> str:
        return f"{self.first}, {'and meanwhile' if self.overlapping else 'then'} {self.second}"


KNOWN = (
    Pair("another default route", "the default route", overlapping=False),
    Pair("a namespace's name, taken by another", "a task's interface in a bridge", overlapping=False),
)


def all_pairs(seed: int) -> list[Pair]:
    """Each two damages once, in an order of the seed's."""
    choose = random.Random(seed)
    found = [tuple(choose.sample(two, 2)) for two in combinations(DAMAGES, 2)]
    choose.shuffle(found)
    return [Pair(first, second, choose.random() < 0.3) for first, second in found]


def pairs(*, seed: int, seconds: float, count: int | None = None) -> str:
    """Do the first ``count`` pairs of a seed, or all, and say how long the slowest took to be mended.

    Raises Broken, with the seed, where one takes longer than ``seconds`` or something else is touched.
    """
    left = all_pairs(seed)[:count]
    total, times, broken = len(left), list[float](), list[str]()
    while left:
        with own_machine():
            done, why = asyncio.run(_until_broken(left, seconds))
        times += done
        if why:
            broken.append(f"{left[len(done)]}: {why}")
        left = left[len(done) + bool(why) :]
    line = f"{len(times)} of {total} mended, slowest {max(times, default=0):.2f} s"
    if broken:
        more = [f"and {len(broken) - _SHOWN} more"] if len(broken) > _SHOWN else []
        raise Broken("\n  ".join([f"{line} (--seed {seed})", *broken[:_SHOWN], *more]))
    return line


def known() -> None:
    """Do the pairs that have gone wrong once. Raises Broken."""
    for pair in KNOWN:
        with own_machine():
            _, why = asyncio.run(_until_broken([pair], 20))
        if why:
            raise Broken(f"{pair}: {why}")


async def _until_broken(left: Sequence[Pair], seconds: float) -> tuple[list[float], str]:
    """How long each took, up to one that does not come out as it should, and why that one does not."""
    times: list[float] = []
    async with lab(lab_node_with_a_peer()) as (reconciler, client):
        node = _Damaged(reconciler, client, seconds)
        await node.remember()
        for pair in left:
            try:
                times.append(await node.do(pair))
            except Broken as error:
                return times, str(error)
    return times, ""


class _Damaged:
    """The lab's node under damages, looked after as the daemon does it."""

    def __init__(self, reconciler: Reconciler, client: str, seconds: float) -> None:
        self._reconciler = reconciler
        self._client = client
        self._seconds = seconds
        self._before: Mapping[Key, Item] = {}
        self._identities: Mapping[str, int] = {}
        self._mended: list[Repair] = []
        self._trouble = ""

    async def remember(self) -> None:
        """It is as it should be now."""
        await self._listen()
        self._before = without_macs(await self._reconciler.observe())
        self._identities = _identities()

    async def do(self, pair: Pair) -> float:
        """Do both, and give the seconds until all was as before. Raises Broken."""
        self._mended, self._trouble = [], ""
        tries = [Pair(pair.second, pair.first, False), replace(pair, overlapping=False), pair]
        while not await self._damage(tries.pop()):
            # What the second is done to was taken away by the first, or came back under its hands. What it has brought
            # into another's namespace under our name keeps that one from being taken for an empty one.
            clear_strangers()
            await self._until_mended()
            clear_strangers()
            if not tries:
                raise Broken("neither can be done after the other")
        took = await self._until_mended()
        await self._check(DAMAGES[pair.first][1] | DAMAGES[pair.second][1])
        clear_strangers()
        await self._listen()
        return took

    async def _damage(self, pair: Pair) -> bool:
        """Whether the second could be done too."""
        DAMAGES[pair.first][0]()
        looking = spawn(self._look(), name="look") if pair.overlapping else None
        await asyncio.sleep(0)
        try:
            DAMAGES[pair.second][0]()
        except (subprocess.CalledProcessError, OSError, ShoalError):
            return False
        finally:
            if looking is not None:
                await looking
        return True

    async def _until_mended(self) -> float:
        began = time.monotonic()
        while True:
            await self._listen()
            now = without_macs(await self._reconciler.observe())
            if now == self._before:
                return time.monotonic() - began
            if time.monotonic() > began + self._seconds:
                raise Broken(f"{_difference(self._before, now)}; {self._trouble or _in_words(self._mended)}")

    async def _listen(self) -> None:
        await asyncio.to_thread(select.select, [self._reconciler], [], [], _LISTEN)
        await self._look()

    async def _look(self) -> None:
        try:
            self._mended += await self._reconciler.mend()
            look = self._reconciler.mend_settings if self._reconciler.is_known else self._reconciler.repair
            self._mended += await look()
        except ShoalError as error:
            self._trouble = str(error)

    async def _check(self, where: set[str]) -> None:
        if not where & {repair.where for repair in self._mended}:
            raise Broken(f"nothing was mended where it was: {_in_words(self._mended)}")
        if others := [repair for repair in self._mended if repair.where not in where | {INGRESS_NETNS}]:
            raise Broken(f"something else was touched: {_in_words(others)}")
        if late := await self._reconciler.repair():
            raise Broken(f"not heard of: {_in_words(late)}")
        if (now := _identities()) != self._identities:
            raise Broken(f"namespaces are others: {self._identities} before, {now} now")
        try:
            answers = {(await ask(self._client, HOST_ADDRESS, 80)).split()[0] for _ in range(2)}
        except (OSError, TimeoutError) as error:
            raise Broken(f"the mesh does not answer: {error!r}") from error
        if answers != set(TASKS) or not await ping(TASKS[0], VIP):
            raise Broken(f"the mesh answers {answers}, or the VIP does not")


def without_macs(items: Mapping[Key, Item]) -> dict[Key, Item]:
    """Items that can be compared: a hub's end of a veth pair has whatever MAC the kernel gave it."""
    return {
        key: replace(item, mac=None) if isinstance(item, Veth) and key[2].startswith("veth") else item
        for key, item in items.items()
    }


def _identities() -> dict[str, int]:
    return {ns: netns.identify(netns.BASE / ns).inode for ns in netns.list_names()}


def _difference(before: Mapping[Key, Item], now: Mapping[Key, Item]) -> str:
    missing = [item for key, item in before.items() if now.get(key) != item]
    found = [item for key, item in now.items() if before.get(key) != item]
    return f"missing {missing}, found {found}"


def _in_words(mended: Sequence[Repair]) -> str:
    return f"mended {'; '.join(map(str, mended)) or 'nothing'}"
