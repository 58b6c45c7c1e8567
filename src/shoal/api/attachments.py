"""Between a hijacked connection and a process's standard streams."""

from shoal.aio.tasks import cancel, spawn
from shoal.api.backends_containers import Attachment
from shoal.api.streams import RawConnection, StdStream, frame
from shoal.errors import ShoalError


def framed(stream: int, data: bytes, *, tty: bool) -> bytes:
    """A piece of output as it travels: raw with a TTY, else in a frame."""
    return data if tty else frame(stream, data)


async def converse(connection: RawConnection, attachment: Attachment, *, tty: bool, stdin: bool) -> None:
    """Copy both ways until the process's output ends.

    The client's end of input closes the process's stdin, and nothing else: output goes on.
    """
    feeder = spawn(_feed(connection, attachment), name="attached stdin") if stdin else None
    try:
        async for stream, data in attachment:
            await connection.write(framed(stream, data, tty=tty))
    finally:
        await cancel(feeder)


async def say(connection: RawConnection, error: ShoalError, *, tty: bool) -> None:
    """Tell an error on a connection whose header is out: as a line of output, as Docker does."""
    await connection.write(framed(StdStream.STDOUT, f"{error}\r\n".encode(), tty=tty))


async def _feed(connection: RawConnection, attachment: Attachment) -> None:
    while data := await connection.read():
        await attachment.write(data)
    await attachment.close_stdin()
