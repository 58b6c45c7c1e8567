"""What this node trusts, and of whom its certificate is: brought to what the leader wants, while the swarm changes from
one root to another (:mod:`shoal.manager.rotation`), and told back.

The leader goes on by what it is told, so nothing is told before all on this node go by it: its etcd first, then the
file, then the connections to come.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.daemon.renewal import Renewal
from shoal.errors import Forbidden, ShoalError, Unavailable
from shoal.pki.authority import verify_issued
from shoal.wire.cluster import ClusterResource

_log = logging.getLogger(__name__)
# Before what failed is tried again, in seconds.
_AGAIN = 0.2


class _Wanted(NamedTuple):
    """As :class:`~shoal.wire.cluster.ClusterResource` has it."""

    trust: str = ""
    issuer: str = ""
    rotation: int = 0


class Trust:
    """``trust_first`` has whoever else is on this node trust some roots (PEM), and then calls what it is given;
    ``tell`` says to the leader what this node is."""

    def __init__(
        self,
        *,
        trust_first: Callable[[bytes, Callable[[], Awaitable[None]]], Awaitable[None]],
        tell: Callable[[], Awaitable[None]],
        clock: Clock,
    ) -> None:
        self._trust_first = trust_first
        self._tell = tell
        self._clock = clock
        self._wanted = self._done = _Wanted()
        self._task: asyncio.Task[None] | None = None
        self.followed = 0
        """The number of the last rotation whose roots are trusted here; 0 while that is being changed."""

    def heed(self, told: ClusterResource, renewal: Renewal) -> None:
        """The leader says what is to be trusted, and whose certificates there are to be."""
        self._wanted = _Wanted(told.trust, told.issuer, told.rotation)
        if self._wanted != self._done and (self._task is None or self._task.done()):
            self._task = spawn(self._follow(renewal), name="change of the swarm's root")

    async def stop(self) -> None:
        """Let it be; what has been begun is begun anew when the leader is heard the next time."""
        await cancel(self._task)
        self._done, self.followed = _Wanted(), 0

    async def _follow(self, renewal: Renewal) -> None:
        said = ""
        while (wanted := self._wanted) != self._done:
            try:
                if await self._comply(wanted, renewal):
                    await self._tell()
                self._done, said = wanted, ""
            except ShoalError as error:
                if str(error) != said:
                    # A manager that is asked may know of it some milliseconds after this node.
                    level = logging.INFO if isinstance(error, Unavailable) else logging.WARNING
                    _log.log(level, "the swarm's root is changed, and this node cannot follow yet: %s", error)
                said = str(error)
                await self._clock.sleep(_AGAIN)

    async def _comply(self, wanted: _Wanted, renewal: Renewal) -> bool:
        """Do what is missing; whether there is anything to be told."""
        is_news = False
        held = await renewal.held()
        if wanted.trust:
            roots = wanted.trust.encode()
            if roots != held.root or wanted.rotation != self.followed:
                self.followed = 0
                await self._trust_first(roots, lambda: renewal.trust(roots))
                self.followed, is_news = wanted.rotation, True
            if roots != held.root:
                _log.info("this node trusts the swarm's present root certificates")
        if wanted.issuer and not await asyncio.to_thread(_is_issued, held.certificate, wanted.issuer):
            await renewal.renew()
            is_news = True
        return is_news


def _is_issued(certificate: bytes, issuer: str) -> bool:
    try:
        verify_issued(certificate, issuer.encode())
    except Forbidden:
        return False
    return True
