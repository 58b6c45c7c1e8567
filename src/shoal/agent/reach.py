"""Which other nodes can be reached over the overlay, found out by this node itself: a manager hears of a dead machine
later, and may be dead with it.

Each node's ingress sandbox is asked, through the tunnels that the mesh itself uses, for an ICMP echo. The kernel
answers, so a node whose shoald is being restarted is there, and one whose tunnel is blocked is not.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Protocol

from shoal.aio.clock import Clock
from shoal.errors import ShoalError

_log = logging.getLogger(__name__)

INTERVAL = 0.5
"""Between two requests to a node, in seconds."""
SILENCE = 3.0
"""After so many seconds without an answer a node is held to be out of reach: six requests, so that a link that loses
one packet in ten loses a node for a moment every few hours."""


class Echo(Protocol):
    """What :class:`shoal.kernel.echo.EchoSocket` is."""

    def send(self, address: str) -> None: ...

    def answers(self) -> Iterable[str]: ...

    def close(self) -> None: ...


class Heard:
    """When each address was heard last. Pure."""

    def __init__(self) -> None:
        self._heard: dict[str, float] = {}
        self._looked = 0.0

    def look(self, addresses: Collection[str], now: float) -> frozenset[str]:
        """Those of the addresses that have been silent for too long; a new one is given as long to be heard first."""
        if (late := now - self._looked - INTERVAL) > INTERVAL:
            # Nobody listened meanwhile: shoald was stopped, or the machine slept.
            self._heard = {address: heard + late for address, heard in self._heard.items()}
        self._looked = now
        self._heard = {address: self._heard.get(address, now) for address in addresses}
        return frozenset(address for address, heard in self._heard.items() if now - heard >= SILENCE)

    def note(self, addresses: Iterable[str], now: float) -> None:
        """They have answered."""
        self._heard |= dict.fromkeys(set(addresses) & self._heard.keys(), now)


class PeerWatch:
    """Asks the other nodes, and tells which are out of reach. ``peers`` gives their ingress sandboxes' addresses by
    node, ``open_echo`` a socket in this node's own (raising Unavailable while there is none), ``changed`` is told the
    nodes."""

    def __init__(
        self,
        *,
        peers: Callable[[], Mapping[str, str]],
        open_echo: Callable[[], Echo],
        changed: Callable[[frozenset[str]], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._peers = peers
        self._open_echo = open_echo
        self._changed = changed
        self._clock = clock
        self._heard = Heard()
        self._echo: Echo | None = None
        self._lost: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Ask, listen and tell, until cancelled."""
        try:
            while True:
                await self._turn()
                await self._clock.sleep(INTERVAL)
        finally:
            self._close()

    async def _turn(self) -> None:
        peers = self._peers()
        now = self._clock.monotonic()
        if self._echo is not None:
            self._heard.note(self._echo.answers(), now)
        silent = self._heard.look(set(peers.values()), now)
        lost = frozenset(node_id for node_id, address in peers.items() if address in silent)
        if lost != self._lost:
            for node_id in lost - self._lost:
                _log.warning(
                    "node %s is out of reach: nothing is sent to its tasks from here until it answers", node_id
                )
            for node_id in (self._lost - lost) & peers.keys():
                _log.info("node %s is within reach again", node_id)
            self._lost = lost
            await self._changed(lost)
        if not peers:
            self._close()
            return
        if silent and len(silent) == len(peers):
            # Perhaps it is this end: the ingress sandbox may have been made anew.
            self._close()
        await self._ask(peers.values())

    async def _ask(self, addresses: Iterable[str]) -> None:
        try:
            if self._echo is None:
                self._echo = await asyncio.to_thread(self._open_echo)
        except ShoalError as error:
            _log.debug("no look for other nodes: %s", error)
            return
        for address in addresses:
            self._echo.send(address)

    def _close(self) -> None:
        if self._echo is not None:
            self._echo.close()
            self._echo = None
