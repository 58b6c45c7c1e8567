"""The keeper's state folder: a small file for each thing it was told, replaced as a whole, so that it can go on.

It survives the keeper, not the machine: FIFOs and namespaces are gone after a boot, and what refers to them is dropped
when it is read back. Hence no fsync.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import quote, unquote

import msgspec

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Folder(Generic[T]):
    """Values of one type by id. Changes are made by a thread, in the order they were asked for."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._path = path
        self._decoder = msgspec.msgpack.Decoder(kind)
        self._order = asyncio.Lock()
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def load(self) -> dict[str, T]:
        """All that is there. A file that cannot be read is logged and left out."""
        values = {}
        for file in self._path.iterdir():
            if file.suffix:
                continue  # a replacement that was never finished
            try:
                values[unquote(file.name)] = self._decoder.decode(file.read_bytes())
            except (OSError, msgspec.MsgspecError) as error:
                _log.error("%s cannot be restored: %s", file, error)
        return values

    async def put(self, values: Mapping[str, T | None]) -> None:
        """Write these; None removes. Raises OSError."""
        encoded = {key: None if value is None else msgspec.msgpack.encode(value) for key, value in values.items()}
        async with self._order:
            await asyncio.to_thread(self._put, encoded)

    def _put(self, values: Mapping[str, bytes | None]) -> None:
        for key, value in values.items():
            file = self._path / quote(key, safe="").replace(".", "%2E")
            if value is None:
                file.unlink(missing_ok=True)
            else:
                fresh = file.with_name(file.name + ".new")
                fresh.write_bytes(value)
                os.replace(fresh, file)
