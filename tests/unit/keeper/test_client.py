"""Client, server and service together over a real socket, in one process."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shoal.aio.clock import SystemClock
from shoal.aio.tasks import spawn
from shoal.errors import Conflict, NotFound, Unavailable
from shoal.keeper.client import Attachment, KeeperClient
from shoal.keeper.server import Connection
from shoal.keeper.service import KeeperService
from shoal.wire.keeper import NetworkRecords, Record, Stdio, Stream, Zone


class _Keeper:
    """What ``__main__`` makes, without the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connections: set[Connection] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.service = KeeperService(state=self._folder / "state", clock=SystemClock())
        await self.service.restore()
        path = self._folder / "keeper.sock"
        path.unlink(missing_ok=True)
        self._server = await loop.create_unix_server(lambda: Connection(self.service, self._connections), str(path))

    async def stop(self) -> None:
        self._server.close()
        await self.service.close()
        for connection in tuple(self._connections):
            connection.drop()


def keeping(folder: Path, test: Callable[[_Keeper, KeeperClient], Awaitable[None]]) -> None:
    async def run() -> None:
        keeper = _Keeper(folder)
        await keeper.start()
        client = KeeperClient(socket=folder / "keeper.sock", clock=SystemClock(), patience=2)
        async with asyncio.timeout(20):
            await test(keeper, client)
        await client.aclose()
        await keeper.stop()
        await asyncio.sleep(0.01)

    asyncio.run(run())


def stdio(folder: Path, container: str = "c1") -> Stdio:
    fifos = folder / "fifos"
    return Stdio(container, str(fifos / "out"), str(fifos / "err"), str(fifos / "in"), stdin_once=True)


async def collect(attachment: Attachment) -> dict[Stream, bytes]:
    seen: dict[Stream, bytes] = {}
    async for stream, data in attachment:
        seen[stream] = seen.get(stream, b"") + data
    await attachment.aclose()
    return seen


def test_a_container_attached_to_from_before_its_start_to_its_end(tmp_path: Path) -> None:
    async def test(_: _Keeper, client: KeeperClient) -> None:
        await client.open(stdio(tmp_path))
        await client.open(stdio(tmp_path))
        attached = await client.attach("c1", stdin=True)
        only_errors = await client.attach("c1", stdout=False)
        shim_in = os.open(tmp_path / "fifos" / "in", os.O_RDONLY)
        out, err = os.open(tmp_path / "fifos" / "out", os.O_WRONLY), os.open(tmp_path / "fifos" / "err", os.O_WRONLY)
        await attached.write(b"question")
        await attached.close_stdin()
        assert await asyncio.to_thread(lambda: b"".join(iter(lambda: os.read(shim_in, 100), b""))) == b"question"
        os.write(out, b"answer")
        os.write(err, b"complaint")
        for fd in (out, err, shim_in):
            os.close(fd)
        await client.drained("c1")
        seen = {Stream.STDIN_CLOSED: b"", Stream.STDOUT: b"answer", Stream.STDERR: b"complaint"}
        assert await collect(attached) == seen
        assert attached.ended
        assert (await collect(only_errors))[Stream.STDERR] == b"complaint"
        late = await client.attach("c1")
        assert await collect(late) == {} and late.ended
        await client.open(stdio(tmp_path))
        assert (await client.hello()).containers == ("c1",)
        await client.close("c1")
        await client.close("c1")
        assert (await client.hello()).containers == ()

    keeping(tmp_path, test)


def test_errors_keep_their_kind(tmp_path: Path) -> None:
    async def test(_: _Keeper, client: KeeperClient) -> None:
        with pytest.raises(NotFound, match="streams of nobody"):
            await client.attach("nobody")
        with pytest.raises(NotFound):
            await client.drained("nobody")
        with pytest.raises(NotFound):
            await client.update("nobody", Zone())
        await client.open(stdio(tmp_path))
        with pytest.raises(Conflict):
            await client.open(Stdio("c1", str(tmp_path / "other")))

    keeping(tmp_path, test)


SIZE = 20 << 20


async def write_and_exit(client: KeeperClient, fifo: Path) -> None:
    """A container that writes 20 MiB and is gone."""

    def write() -> None:
        with fifo.open("wb") as out:
            out.write(bytes(SIZE))

    await asyncio.to_thread(write)
    await client.drained("c1")


def test_a_slow_client_is_dropped_and_holds_up_nobody(tmp_path: Path) -> None:
    async def test(_: _Keeper, client: KeeperClient) -> None:
        await client.open(Stdio("c1", str(tmp_path / "out")))
        reading, stuck = await client.attach("c1"), await client.attach("c1", lossless=False)
        _, everything = await asyncio.gather(write_and_exit(client, tmp_path / "out"), collect(reading))
        assert len(everything[Stream.STDOUT]) == SIZE
        assert len((await collect(stuck)).get(Stream.STDOUT, b"")) < SIZE
        assert not stuck.ended

    keeping(tmp_path, test)


def test_a_slow_client_is_waited_for_if_it_wants_all(tmp_path: Path) -> None:
    async def test(_: _Keeper, client: KeeperClient) -> None:
        await client.open(Stdio("c1", str(tmp_path / "out")))
        stuck = await client.attach("c1", lossless=True)
        writing = spawn(write_and_exit(client, tmp_path / "out"), name="container")
        await asyncio.sleep(0.2)
        assert not writing.done()
        assert len((await collect(stuck))[Stream.STDOUT]) == SIZE
        assert stuck.ended
        await writing

    keeping(tmp_path, test)


def test_another_keeper_goes_on_and_the_client_does_not_notice(tmp_path: Path) -> None:
    async def test(keeper: _Keeper, client: KeeperClient) -> None:
        await client.open(stdio(tmp_path))
        await client.open(stdio(tmp_path / "gone", "c2"))
        await client.network_records("n1", NetworkRecords(records=(Record("web", ("10.0.0.2",)),)))
        attached = await client.attach("c1")
        await keeper.stop()
        (tmp_path / "gone" / "fifos" / "out").unlink()
        assert await collect(attached) == {} and not attached.ended
        again = spawn(client.hello(), name="hello")
        await asyncio.sleep(0.05)
        await keeper.start()
        status = await again
        assert (status.containers, status.networks) == (("c1",), ("n1",))

    keeping(tmp_path, test)


def test_nobody_there(tmp_path: Path) -> None:
    async def run() -> None:
        client = KeeperClient(socket=tmp_path / "none", clock=SystemClock(), patience=0.05)
        with pytest.raises(Unavailable):
            await client.hello()
        await client.aclose()

    asyncio.run(run())


def test_what_is_no_message_ends_the_connection(tmp_path: Path) -> None:
    async def test(_: _Keeper, client: KeeperClient) -> None:
        for bad in (b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "keeper.sock"))
            writer.write(bad)
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
        await client.hello()

    keeping(tmp_path, test)
