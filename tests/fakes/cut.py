"""A unix socket in front of another one, that loses what the test wants it to lose."""

import asyncio
from contextlib import suppress
from pathlib import Path

from shoal.aio.tasks import cancel, spawn


class Cut:
    """Passes bytes on both ways. ``deaf`` loses those towards the server, ``mute`` those of its answers."""

    def __init__(self, path: Path, server: str) -> None:
        self.endpoint = f"unix:{path}"
        self.deaf = False
        self.mute = False
        self._path = path
        self._target = server.removeprefix("unix:")
        self._lines: set[asyncio.StreamWriter] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> "Cut":
        self._listener = await asyncio.start_unix_server(self._accept, self._path)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Break everything, and be reached no more."""
        assert self._listener is not None
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self.hang_up()
        await cancel(*self._tasks)

    def hang_up(self) -> None:
        """Break every connection there is, and lose nothing on new ones."""
        for line in self._lines:
            line.transport.abort()
        self._lines.clear()
        self.deaf = self.mute = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        beyond, out = await asyncio.open_unix_connection(self._target)
        self._lines |= {writer, out}
        self._tasks.append(spawn(self._pass(reader, out, "deaf"), name="to the server"))
        self._tasks.append(spawn(self._pass(beyond, writer, "mute"), name="from the server"))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, lost: str) -> None:
        with suppress(ConnectionError):
            while piece := await source.read(1 << 16):
                if not getattr(self, lost):
                    sink.write(piece)
                    await sink.drain()
        sink.transport.abort()
