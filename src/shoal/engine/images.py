"""Images for those who are about to run one: what is here is used at once, what is not is pulled."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from shoal.aio.clock import Clock
from shoal.container.distribution.auth import ANONYMOUS, AuthConfig
from shoal.container.images import ImageStore
from shoal.container.reference import parse
from shoal.errors import NotFound, ShoalError, Unavailable

T = TypeVar("T")
_log = logging.getLogger(__name__)

# Local images first: a registry that does not answer delays a task whose image is here by no more than this (seconds).
_PATIENCE = 0.8
# One that has not answered is not asked again for this long (seconds) about images that are here.
_SILENCE = 60.0


class NodeImages:
    """Sees to it that a task's image is here. ``prefer_offline``: no registry is asked for what is here."""

    def __init__(self, *, store: ImageStore, prefer_offline: bool, clock: Clock) -> None:
        self._clock = clock
        self._store = store
        self._prefer_offline = prefer_offline
        self._silent: dict[str, float] = {}

    async def unless_here(self, name: str, asking: Coroutine[Any, Any, T]) -> T:
        """What a registry answers; not waited for for long where the image is here. Raises Unavailable then."""
        try:
            await self._store.inspect(name)
        except NotFound:
            return await asking
        host = parse(name).domain
        try:
            if self._is_silent(host):
                asking.close()
                raise TimeoutError
            async with asyncio.timeout(_PATIENCE):
                return await asking
        except TimeoutError as error:
            self._note_silence(host)
            raise Unavailable(f"the registry of {name} does not answer; the image is used as it is here") from error

    def _is_silent(self, host: str) -> bool:
        return self._silent.get(host, 0) > self._clock.monotonic()

    def _note_silence(self, host: str) -> None:
        self._silent[host] = self._clock.monotonic() + _SILENCE

    async def ensure(self, name: str, auth: AuthConfig = ANONYMOUS) -> None:
        """Have the image here. Raises NotFound (``No such image: …``) when neither node nor registry has it.

        As under Docker a tag is looked up in its registry at each start, so that all nodes come to run the same; but
        what is here serves when the registry does not answer in time, or does not have it.
        """
        reference = parse(name).or_latest()
        try:
            here = await self._store.inspect(name)
        except NotFound:
            here = None
        if here is not None and (
            self._prefer_offline or reference.digest is not None or self._is_silent(reference.domain)
        ):
            return
        try:
            async with asyncio.timeout(_PATIENCE if here is not None else None):
                await self._store.pull(reference, auth=auth)
        except (ShoalError, TimeoutError) as error:
            if isinstance(error, TimeoutError | Unavailable):
                self._note_silence(reference.domain)
            if here is None:
                raise NotFound(f"No such image: {reference.familiar}") from error
            _log.info("%s is run as it is here, the registry gave no newer one: %s", reference.familiar, error)
