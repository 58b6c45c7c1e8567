"""The node's certificate: renewed before it ends, by the authority in a manager's own store, or by asking a manager."""

import asyncio
import logging
import random
import ssl
import weakref
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.errors import ShoalError
from shoal.pki import contexts, files
from shoal.pki.files import NodeFiles
from shoal.pki.identity import renewal_due, validity

_log = logging.getLogger(__name__)
_LOOK_SECONDS, _AGAIN_SECONDS = 3600.0, 60.0
# How often in a certificate's validity it is looked at, at least.
_LOOKS = 25


class Renewal:
    """``issue`` gives a key and a certificate that begin at the moment it is given. Connections that there are go on
    with the certificate that they began with."""

    def __init__(self, *, folder: Path, issue: Callable[[datetime], Awaitable[NodeFiles]], clock: Clock) -> None:
        self._folder = folder
        self._issue = issue
        self._clock = clock
        self._contexts: weakref.WeakSet[ssl.SSLContext] = weakref.WeakSet()

    def server(self) -> ssl.SSLContext:
        """For the manager's port, to which machines come that have no certificate yet. Raises InvalidArgument for files
        that cannot be used."""
        return self._kept(contexts.swarm_server(self._folder, require_certificate=False))

    def client(self) -> ssl.SSLContext:
        """For the agent's line to it. Raises as :meth:`server`."""
        return self._kept(contexts.swarm_client(self._folder))

    def _kept(self, context: ssl.SSLContext) -> ssl.SSLContext:
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
        """Have another certificate now, due or not: the node is to be something else. Raises ShoalError."""
        await asyncio.to_thread(files.save, self._folder, await self._issue(self._clock.now()))
        for context in self._contexts:
            contexts.reload(context, self._folder)
        _log.info("the node's certificate has been renewed")

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
