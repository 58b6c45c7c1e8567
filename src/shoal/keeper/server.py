"""The keeper's end of ``keeper.sock``: commands in, replies out, and connections that have turned into streams."""

import asyncio
import logging
from typing import cast

import msgspec

from shoal.aio.tasks import spawn
from shoal.errors import Internal, NotFound, ShoalError
from shoal.keeper.service import KeeperService
from shoal.keeper.session import Session
from shoal.wire.keeper import FRAME, LENGTH, MAX_MESSAGE, AnyCommand, Attach, Failure, Reply, Request, Stream

_MAX_BEHIND = 4 << 20  # how much waits for a client that is not lossless before it is dropped
_HIGH = 256 << 10  # how much waits for one that is before the container has to wait
_log = logging.getLogger(__name__)
_decode = msgspec.msgpack.Decoder(Request).decode
_encode = msgspec.msgpack.Encoder().encode


class Connection(asyncio.Protocol):
    """One client: of commands first, and of a container's streams once it asked for them."""

    def __init__(self, service: KeeperService, connections: "set[Connection]") -> None:
        self._service = service
        self._connections = connections
        self._buffer = bytearray()
        self._attached: _Attached | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_HIGH)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._attached is not None:
            self._attached.leave()

    def pause_writing(self) -> None:
        if self._attached is not None:
            self._attached.full(True)

    def resume_writing(self) -> None:
        if self._attached is not None:
            self._attached.full(False)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._attached is None and len(self._buffer) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._buffer)
            if size > MAX_MESSAGE:
                _log.error("a client sent %d bytes for a message", size)
                self.drop()
                return
            end = LENGTH.size + size
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[LENGTH.size : end])
            del self._buffer[:end]
            if not self._message(message):
                return
        if self._attached is not None:
            self._attached.received(self._buffer)

    def drop(self) -> None:
        """End the connection without another word."""
        self._transport.abort()

    def _message(self, message: bytes) -> bool:
        try:
            request = _decode(message)
        except msgspec.MsgspecError as error:
            _log.error("a client sent what is no command: %s", error)
            self.drop()
            return False
        if isinstance(request.command, Attach):
            self._attach(request.id, request.command)
        else:
            spawn(self._execute(request.id, request.command), name=f"keeper {type(request.command).__name__}")
        return True

    async def _execute(self, ident: int, command: AnyCommand) -> None:
        try:
            self._reply(Reply(ident, await self._service.execute(command)))
        except ShoalError as error:
            self._reply(Reply(ident, _failure(error)))
        except OSError as error:
            _log.exception("%s failed", type(command).__name__)
            self._reply(Reply(ident, Failure(Internal.__name__, str(error))))

    def _attach(self, ident: int, command: Attach) -> None:
        try:
            session = self._service.session(command.container_id)
        except NotFound as error:
            self._reply(Reply(ident, _failure(error)))
            return
        self._reply(Reply(ident))
        self._attached = _Attached(self._transport, session, command)
        session.attach(self._attached)

    def _reply(self, reply: Reply) -> None:
        message = _encode(reply)
        if not self._transport.is_closing():
            self._transport.write(LENGTH.pack(len(message)) + message)


def _failure(error: ShoalError) -> Failure:
    """The error as its kind: a package's own refinement of one means nothing to the client."""
    kind = next(base for base in type(error).__mro__ if base.__module__ == ShoalError.__module__)
    return Failure(kind.__name__, str(error))


class _Attached:
    """A connection as the session sees it: :class:`shoal.keeper.session.AttachedClient`."""

    def __init__(self, transport: asyncio.Transport, session: Session, wanted: Attach) -> None:
        self._transport = transport
        self._session = session
        self._wanted = wanted
        self._paused = False
        self._streams = {Stream.STDIN_CLOSED}
        if wanted.stdout:
            self._streams.add(Stream.STDOUT)
        if wanted.stderr:
            self._streams.add(Stream.STDERR)

    def send(self, stream: Stream, data: bytes) -> None:
        if stream not in self._streams or self._transport.is_closing():
            return
        self._transport.write(FRAME.pack(stream, len(data)) + data)
        if not self._wanted.lossless and self._transport.get_write_buffer_size() > _MAX_BEHIND:
            _log.warning("a client of %s fell behind and is dropped", self._session.stdio.container_id)
            self._session.detach(self)
            self._transport.abort()

    def end(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(FRAME.pack(Stream.END, 0))
            self._transport.close()

    def stdin_room(self, room: bool) -> None:
        if self._wanted.stdin and room is self._paused and not self._transport.is_closing():
            self._paused = not room
            if room:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def full(self, full: bool) -> None:
        """The client does not keep up, or does again."""
        if self._wanted.lossless:
            if full:
                self._session.hold(self)
            else:
                self._session.release(self)

    def leave(self) -> None:
        """The connection is gone. Stdin stays open: only the client's word closes it, never shoald's death."""
        self._session.detach(self)

    def received(self, buffer: bytearray) -> None:
        """Take the whole frames out of ``buffer``. Stdin that nobody can take is dropped, as a pipe's would be."""
        while len(buffer) >= FRAME.size:
            stream, size = FRAME.unpack_from(buffer)
            end = FRAME.size + size
            if len(buffer) < end:
                return
            data = bytes(buffer[FRAME.size : end])
            del buffer[:end]
            if stream != Stream.STDIN or not self._wanted.stdin:
                continue
            if data:
                self._session.write_stdin(data)
            elif self._session.stdio.stdin_once and not self._session.stdio.tty:
                self._session.close_stdin()
