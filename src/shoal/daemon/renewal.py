"""The node's certificate: renewed before it ends, by the authority in a manager's own store, or by asking a manager."""

import asyncio
import logging
import random
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.errors import Forbidden, ShoalError, Unavailable
from shoal.pki import contexts, files
from shoal.pki.authority import verify_issued
from shoal.pki.contexts import FolderContext
from shoal.pki.files import NodeFiles
from shoal.pki.identity import renewal_due, validity

_log = logging.getLogger(__name__)
_LOOK_SECONDS, _AGAIN_SECONDS = 3600.0, 60.0
# How often in a certificate's validity it is looked at, at least.
_LOOKS = 25


class Renewal:
    """``issue`` gives a key and a certificate that begin at the moment it is given; ``issuer`` is the root (PEM) whose
    it is to be, empty where any that is trusted will do. Connections that there are go on with the certificate that
    they began with."""

    def __init__(
        self,
        *,
        folder: Path,
        issue: Callable[[datetime], Awaitable[NodeFiles]],
        issuer: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._issue = issue
        self._issuer = issuer
        self._clock = clock
        self._contexts: weakref.WeakSet[FolderContext] = weakref.WeakSet()
        self._lock = asyncio.Lock()

    def server(self) -> FolderContext:
        """For the manager's port, to which machines come that have no certificate yet. Raises InvalidArgument for files
        that cannot be used."""
        return self._kept(contexts.swarm_server(self._folder, require_certificate=False))

    def client(self) -> FolderContext:
        """For the agent's line to it. Raises as :meth:`server`."""
        return self._kept(contexts.swarm_client(self._folder))

    def _kept(self, context: FolderContext) -> FolderContext:
        self._contexts.add(context)
        return context

    async def look(self) -> bool:
        """Renew the certificate if it is due; whether it was. Raises ShoalError when that cannot be."""
        now = self._clock.now()
        certificate = (await asyncio.to_thread(files.load, self._folder)).certificate
        # The same moment for the same certificate, however often it is looked at.
        if now < renewal_due(certificate, random.Random(certificate)):
            return False
        await self.renew()
        return True

    async def renew(self) -> None:
        """Have another certificate now, due or not: the node is to be something else, or the root is. Raises
        ShoalError, also where a manager that is not up to date gives one that others will not trust for long."""
        async with self._lock:
            issued = await self._issue(self._clock.now())
            held = await asyncio.to_thread(files.load, self._folder)
            try:
                verify_issued(issued.certificate, self._issuer().encode() or held.root)
            except Forbidden as error:
                raise Unavailable("the manager that was asked does not know yet which root issues them") from error
            await self._keep(replace(issued, root=held.root))
        _log.info("the node's certificate has been renewed")

    async def held(self) -> NodeFiles:
        """What the node holds, once no change is under way. Raises ShoalError."""
        async with self._lock:
            return await asyncio.to_thread(files.load, self._folder)

    async def trust(self, roots: bytes) -> None:
        """Trust these roots (PEM) from now on, and no others; one of them has to have issued the certificate that there
        is. Raises ShoalError."""
        async with self._lock:
            held = await asyncio.to_thread(files.load, self._folder)
            verify_issued(held.certificate, roots)
            await self._keep(replace(held, root=roots))

    async def _keep(self, held: NodeFiles) -> None:
        await asyncio.to_thread(files.save, self._folder, held)
        for context in self._contexts:
            contexts.reload(context, self._folder)

    async def run(self) -> None:
        """Look every hour, more often for a certificate that holds for a day or less, until cancelled."""
        while True:
            pause = _LOOK_SECONDS
            try:
                await self.look()
                start, end = validity((await asyncio.to_thread(files.load, self._folder)).certificate)
                pause = min(pause, (end - start).total_seconds() / _LOOKS)
            except ShoalError as error:
                _log.warning("the node's certificate cannot be renewed, it is tried again: %s", error)
                pause = _AGAIN_SECONDS
            await self._clock.sleep(pause)
