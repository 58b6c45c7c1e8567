"""Backups of a running manager's swarm, out and in (:class:`shoal.api.backends.StateBackend`)."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.daemon.backup import Backup, pack, unpack
from shoal.daemon.swarm import Swarm
from shoal.durable.faults import refusal
from shoal.objects.base import timestamp
from shoal.wire.docker.swarm import StateImported, SwarmInit

# A file up to this size is not written to disk before it is read.
_IN_MEMORY = 16 << 20


class SwarmState:
    """Export and import; ``spool`` is a folder for files on their way in."""

    def __init__(self, swarm: Swarm, *, spool: Path, clock: Clock) -> None:
        self._swarm = swarm
        self._spool = spool
        self._clock = clock

    async def export_state(self) -> AsyncIterator[bytes]:
        manager = self._swarm.control()
        # Objects never change, so that this is one revision however long it takes to be written.
        revision, objects = manager.store.snapshot()
        pieces = pack(objects, revision=revision, node_id=manager.node_id, created=timestamp(self._clock.now()))
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece

    async def import_state(
        self, pieces: AsyncIterator[bytes], *, force: bool, listen: str, advertise: str
    ) -> StateImported:
        backup = await self._read(pieces)
        await self._swarm.restore(backup, SwarmInit(listen_addr=listen, advertise_addr=advertise), force=force)
        told = backup.manifest
        return StateImported(
            cluster_id=told.cluster_id,
            node_id=told.node_id,
            revision=told.revision,
            created=told.created,
            objects=told.objects,
        )

    async def _read(self, pieces: AsyncIterator[bytes]) -> Backup:
        try:
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(self._spool)) as file:
                async for piece in pieces:
                    await asyncio.to_thread(file.write, piece)
                await asyncio.to_thread(file.seek, 0)
                return await asyncio.to_thread(unpack, file)
        except OSError as error:
            raise refusal("the backup cannot be taken in", error, self._spool.parent) from error
