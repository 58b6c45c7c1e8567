"""Keeps the kernel's network as it is wanted while nobody asks for anything: what somebody changes is mended."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import ShoalError
from shoal.network.reconciler import Reconciler
from shoal.network.repairs import Repair

_log = logging.getLogger(__name__)
# What is done by hand, or by a script, comes in several steps.
_GATHER = 0.05
# Where others change much all the time, looking at it may take this part of the time, and no longer than a second.
_SHARE, _LONGEST = 0.1, 1.0
# The kernel says nothing of sysctls; a look at them costs 30 us a namespace.
_SETTINGS_SECONDS = 1.0
# For whatever else it does not say.
_EVERYTHING = 10


class NetworkGuard:
    """``mended`` counts what was otherwise than wanted, by its kind (:class:`shoal.network.repairs.Repair`)."""

    def __init__(self, *, reconciler: Reconciler, clock: Clock) -> None:
        self._reconciler = reconciler
        self._clock = clock
        self._loops: list[asyncio.Task[None]] = []
        self._trouble = ""
        self.mended: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to listen and to sweep."""
        self._loops = [
            spawn(self._listen(), name="network events"),
            spawn(self._sweep(), name="network sweep"),
        ]

    async def stop(self) -> None:
        """Let it be as it is from now on."""
        await cancel(*self._loops)

    async def _listen(self) -> None:
        loop, heard = asyncio.get_running_loop(), asyncio.Event()
        fd = self._reconciler.fileno()
        pause = _GATHER
        try:
            while True:
                heard.clear()
                loop.add_reader(fd, heard.set)
                await heard.wait()
                loop.remove_reader(fd)
                await self._clock.sleep(pause)
                began = self._clock.monotonic()
                await self._mend(self._reconciler.mend)
                pause = min(max(_GATHER, (self._clock.monotonic() - began) / _SHARE), _LONGEST)
        finally:
            loop.remove_reader(fd)

    async def _sweep(self) -> None:
        rounds = 0
        while True:
            await self._clock.sleep(_SETTINGS_SECONDS)
            rounds += 1
            everything = rounds % _EVERYTHING == 0 or not self._reconciler.is_known
            await self._mend(self._reconciler.repair if everything else self._reconciler.mend_settings)

    async def _mend(self, look: Callable[[], Awaitable[list[Repair]]]) -> None:
        try:
            done = await look()
        except ShoalError as error:
            # Said once, not at every look, as long as it stays the same.
            if str(error) != self._trouble:
                _log.warning("a part of the network cannot be mended, it is tried again: %s", error)
            self._trouble = str(error)
            return
        except Exception:  # noqa: BLE001 (whatever it is, the network is looked after; each failure is logged in full)
            _log.exception("a look at the network failed")
            return
        self._trouble = ""
        for repair in done:
            self.mended[repair.kind] += 1
            _log.warning("mended: %s", repair)
