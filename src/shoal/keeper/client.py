"""shoald's way to the keeper. Every command may be repeated, so a keeper that restarts in the middle goes unnoticed."""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from shoal import errors
from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.wire.keeper import (
    FRAME,
    LENGTH,
    AnyCommand,
    Attach,
    Close,
    Drain,
    Failure,
    Hello,
    NetworkRecords,
    Open,
    Ports,
    Reply,
    Request,
    Result,
    Sandbox,
    Serve,
    SetNetworks,
    SetZones,
    Shutdown,
    Status,
    Stdio,
    Stop,
    Stream,
    Zone,
)

R = TypeVar("R", bound=Result)
_RETRY = 0.02
_KINDS = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.ShoalError)
}
_decode = msgspec.msgpack.Decoder(Reply).decode
_encode = msgspec.msgpack.Encoder().encode
_log = logging.getLogger(__name__)


class KeeperClient:
    """One connection for all commands, made when needed and again when lost, and one for each attachment.

    Every call raises the kind of error that the keeper answered, or :class:`Unavailable` when no keeper has answered
    for ``patience`` s.
    """

    def __init__(self, *, socket: Path, clock: Clock, patience: float = 10.0) -> None:
        self._socket = socket
        self._clock = clock
        self._patience = patience
        self._ids = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._receiver: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._closed = False

    async def hello(self) -> Status:
        """Who the keeper is and what it holds: for shoald to compare with what it wants after a restart."""
        return await self._ask(Hello(), Status)

    async def shutdown(self) -> None:
        """Have the keeper end; what it served stays in its state folder."""
        await self._call(Shutdown())

    async def open(self, stdio: Stdio) -> None:
        """Make and read these FIFOs; the same again is fine, other ones under this id are a :class:`Conflict`.

        A container whose output has been drained may be opened anew.
        """
        await self._call(Open(stdio))

    async def drained(self, container_id: str, timeout: float = 2.0) -> None:
        """Return when all output of the exited container is in its log and on its way to attached clients."""
        await self._call(Drain(container_id, timeout))

    async def close(self, container_id: str) -> None:
        """Forget the streams and remove their FIFOs; no error if there are none."""
        await self._call(Close(container_id))

    async def attach(
        self, container_id: str, *, stdin: bool = False, stdout: bool = True, stderr: bool = True, lossless: bool = True
    ) -> "Attachment":
        """A container's live streams from here on; :class:`wire.keeper.Attach` says what ``lossless`` means."""
        command = Attach(container_id, stdin=stdin, stdout=stdout, stderr=stderr, lossless=lossless)
        reader, writer = await self._open_connection()
        try:
            writer.write(_frame(Request(0, command)))
            reply = await _read_reply(reader)
            _raise_failure(reply)
        except (OSError, EOFError) as error:
            writer.close()
            raise errors.Unavailable(f"the keeper went away: {error}") from error
        except errors.ShoalError:
            writer.close()
            raise
        return Attachment(reader, writer)

    async def serve(self, sandbox: Sandbox) -> Ports:
        """Answer names in that sandbox's namespace; says at which ports. Served already: its zone is replaced."""
        return await self._ask(Serve(sandbox), Ports)

    async def update(self, sandbox_id: str, zone: Zone) -> None:
        """Replace one served sandbox's zone."""
        await self.zones({sandbox_id: zone})

    async def zones(self, zones: Mapping[str, Zone]) -> None:
        """Replace the zones of several served sandboxes, all or (:class:`NotFound`) none."""
        await self._call(SetZones(dict(zones)))

    async def network_records(self, network_id: str, records: NetworkRecords | None) -> None:
        """Replace all records of one network, for every sandbox on it; None forgets it."""
        await self.networks({network_id: records})

    async def networks(self, networks: Mapping[str, NetworkRecords | None]) -> None:
        """Replace the records of several networks."""
        await self._call(SetNetworks(dict(networks)))

    async def stop(self, sandbox_id: str) -> None:
        """Close a sandbox's resolver, before its namespace is removed: an open socket would keep that alive."""
        await self._call(Stop(sandbox_id))

    async def aclose(self) -> None:
        """Close the connection, which fails calls that are under way; the keeper goes on."""
        self._closed = True
        await cancel(self._receiver)
        if self._writer is not None:
            self._writer.close()

    async def _ask(self, command: AnyCommand, kind: type[R]) -> R:
        result = await self._call(command)
        if not isinstance(result, kind):
            raise errors.Internal(f"the keeper answered {result!r} to {command!r}")
        return result

    async def _call(self, command: AnyCommand) -> Status | Ports | Failure | None:
        give_up = self._clock.monotonic() + self._patience
        ident = next(self._ids)
        while True:
            writer = await self._connected()
            reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            self._pending[ident] = reply
            try:
                writer.write(_frame(Request(ident, command)))  # a lost connection shows in the reply alone
                answer = await reply
            except (OSError, EOFError) as error:
                if isinstance(command, Shutdown):
                    return None
                if self._closed or self._clock.monotonic() > give_up:
                    raise errors.Unavailable(f"the keeper goes away: {error}") from error
                await self._clock.sleep(_RETRY)
                continue
            finally:
                self._pending.pop(ident, None)
            _raise_failure(answer)
            return answer.result

    async def _connected(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is None or self._writer.is_closing() or self._receiver is None or self._receiver.done():
                if self._writer is not None:
                    self._writer.close()
                reader, self._writer = await self._open_connection()
                self._receiver = spawn(self._receive(reader), name="keeper replies")
            return self._writer

    async def _open_connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        give_up = self._clock.monotonic() + self._patience
        while True:
            try:
                return await asyncio.open_unix_connection(str(self._socket))
            except OSError as error:
                if self._clock.monotonic() > give_up:
                    raise errors.Unavailable(f"no keeper at {self._socket}: {error}") from error
            await self._clock.sleep(_RETRY)

    async def _receive(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                reply = await _read_reply(reader)
                waiting = self._pending.get(reply.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
        except (OSError, EOFError) as error:
            _log.debug("the keeper closed its connection: %s", error)
        finally:
            for waiting in self._pending.values():
                if not waiting.done():
                    waiting.set_exception(EOFError("the connection was lost"))


class Attachment:
    """A container's live streams. Iterate over its frames; the iteration ends with the output."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.ended = False  # the end of output was seen: else this client was dropped, or the keeper died

    async def read(self) -> tuple[Stream, bytes] | None:
        """The next piece of output, or that stdin has been closed; None at the end (see ``ended``)."""
        try:
            stream, size = FRAME.unpack(await self._reader.readexactly(FRAME.size))
            data = await self._reader.readexactly(size) if size else b""
        except (OSError, EOFError):
            return None
        if stream == Stream.END:
            self.ended = True
            return None
        return Stream(stream), data

    def __aiter__(self) -> "Attachment":
        return self

    async def __anext__(self) -> tuple[Stream, bytes]:
        frame = await self.read()
        if frame is None:
            raise StopAsyncIteration
        return frame

    async def write(self, data: bytes) -> None:
        """Pass on stdin; waits while the container takes none. Raises :class:`Unavailable` once all is over."""
        if data:
            await self._send(data)

    async def close_stdin(self) -> None:
        """There is no more stdin. The keeper answers with a STDIN_CLOSED frame when the shim has read all of it;
        containerd's CloseIO is due then. Without effect unless opened with stdin_once, or with a TTY."""
        await self._send(b"")

    async def aclose(self) -> None:
        """Leave; the container does not notice."""
        self._writer.close()

    async def _send(self, data: bytes) -> None:
        try:
            self._writer.write(FRAME.pack(Stream.STDIN, len(data)) + data)
            await self._writer.drain()
        except OSError as error:
            raise errors.Unavailable(f"the container takes no stdin any more: {error}") from error


def _frame(request: Request) -> bytes:
    message = _encode(request)
    return LENGTH.pack(len(message)) + message


async def _read_reply(reader: asyncio.StreamReader) -> Reply:
    (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return _decode(await reader.readexactly(size))


def _raise_failure(reply: Reply) -> None:
    if isinstance(reply.result, Failure):
        raise _KINDS.get(reply.result.kind, errors.Internal)(reply.result.message)
