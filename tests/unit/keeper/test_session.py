"""Streams through real FIFOs, with the test as containerd's shim."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shoal.keeper.session import Session
from shoal.wire.keeper import LogDriver, LogOptions, Stdio, Stream


class _Client:
    def __init__(self) -> None:
        self.seen: list[tuple[Stream, bytes]] = []
        self.room = True
        self.something = asyncio.Event()
        self.over = asyncio.Event()
        self.stdin_closed = asyncio.Event()

    def send(self, stream: Stream, data: bytes) -> None:
        if stream is Stream.STDIN_CLOSED:
            self.stdin_closed.set()
        else:
            self.seen.append((stream, data))
            self.something.set()

    def end(self) -> None:
        self.over.set()

    def stdin_room(self, room: bool) -> None:
        self.room = room

    def bytes(self) -> bytes:
        return b"".join(data for _, data in self.seen)


def with_session(
    folder: Path, test: Callable[[Session], Awaitable[None]], log: LogDriver = LogDriver.JSON_FILE
) -> list[dict[str, str]]:
    """Run ``test``; the log's entries afterwards."""

    async def run() -> None:
        with ThreadPoolExecutor(1) as executor:
            names = {name: str(folder / "fifos" / name) for name in ("stdin", "stdout", "stderr")}
            stdio = Stdio("c1", **names, stdin_once=True, log=LogOptions(str(folder / "log"), log))
            session = Session(stdio, executor=executor, now_ns=lambda: 1_700_000_000_000_000_000)
            session.open()
            async with asyncio.timeout(20):
                await test(session)
            await session.close(ended=True)
            session.remove_fifos()
        assert list((folder / "fifos").iterdir()) == []

    asyncio.run(run())
    path = folder / "log"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def writer(session: Session, stream: str = "stdout") -> int:
    return os.open(getattr(session.stdio, stream), os.O_WRONLY)


def test_what_a_container_writes_before_it_dies_is_logged(tmp_path: Path) -> None:
    async def test(session: Session) -> None:
        out, err = writer(session), writer(session, "stderr")
        os.write(out, b"one\ntw")
        os.write(err, b"oops\n")
        os.write(out, b"o\nthree")
        os.close(out)
        os.close(err)
        await session.drain(5)
        assert session.ended

    log = with_session(tmp_path, test)
    assert [entry["log"] for entry in log if entry["stream"] == "stdout"] == ["one\n", "two\n", "three\n"]
    assert [entry["log"] for entry in log if entry["stream"] == "stderr"] == ["oops\n"]
    assert len({entry["time"] for entry in log}) == 4


def test_draining_waits_for_the_shim_to_close_and_no_longer_than_told(tmp_path: Path) -> None:
    async def test(session: Session) -> None:
        loop = asyncio.get_running_loop()
        out = writer(session)
        loop.call_later(0.1, os.write, out, b"late\n")
        loop.call_later(0.15, os.close, out)
        await session.drain(5)

    assert [entry["log"] for entry in with_session(tmp_path, test)] == ["late\n"]

    async def held(session: Session) -> None:
        out = writer(session)
        os.write(out, b"still")
        await session.drain(0.1)
        assert session.ended
        os.close(out)

    assert [entry["log"] for entry in with_session(tmp_path / "held", held)] == ["still\n"]


def test_a_client_sees_the_first_byte_and_the_end(tmp_path: Path) -> None:
    async def test(session: Session) -> None:
        early, late = _Client(), _Client()
        session.attach(early)
        out = writer(session)
        os.write(out, b"first")
        await early.something.wait()
        assert not early.over.is_set()
        os.close(out)
        await session.drain(5)
        assert early.over.is_set() and early.bytes() == b"first"
        session.attach(late)
        assert late.over.is_set()

    assert with_session(tmp_path, test, LogDriver.NONE) == []


def test_a_hold_makes_the_container_wait_until_it_has_exited(tmp_path: Path) -> None:
    async def test(session: Session) -> None:
        client = _Client()
        session.attach(client)
        session.hold(client)
        out = writer(session)
        os.write(out, b"x" * 1000)
        await asyncio.sleep(0.05)
        assert client.seen == []
        session.release(client)
        await client.something.wait()
        session.hold(client)
        os.write(out, b"y" * 1000)
        os.close(out)
        await session.drain(5)
        assert client.bytes() == b"x" * 1000 + b"y" * 1000

    with_session(tmp_path, test, LogDriver.NONE)


def test_stdin_is_all_read_before_it_is_closed(tmp_path: Path) -> None:
    """Sent and closed long before the shim opens its end, and more than a FIFO holds."""
    sent = os.urandom(600_000)

    async def test(session: Session) -> None:
        client = _Client()
        session.attach(client)
        session.write_stdin(sent)
        session.close_stdin()
        session.write_stdin(b"too late")
        await asyncio.sleep(0.02)
        assert not client.room and not client.stdin_closed.is_set()
        assert session.stdio.stdin is not None
        shim = os.open(session.stdio.stdin, os.O_RDONLY)
        got = await asyncio.to_thread(lambda: b"".join(iter(lambda: os.read(shim, 65536), b"")))
        os.close(shim)
        assert got == sent
        await client.stdin_closed.wait()
        assert client.room
        await session.drain(0.01)

    with_session(tmp_path, test, LogDriver.NONE)


def test_another_keeper_goes_on_in_the_middle_of_a_line(tmp_path: Path) -> None:
    async def run() -> None:
        stdio = Stdio("c1", str(tmp_path / "out"), log=LogOptions(str(tmp_path / "log")))
        with ThreadPoolExecutor(1) as executor:
            first = Session(stdio, executor=executor, now_ns=lambda: 1)
            first.open()
            out = os.open(stdio.stdout, os.O_WRONLY)
            shim = os.open(stdio.stdout, os.O_RDONLY)  # containerd's holds this end too
            os.write(out, b"half ")
            await first.close(ended=False)
            os.write(out, b"a line\n")
            second = Session(stdio, executor=executor, now_ns=lambda: 2)
            second.open(create=False)
            os.close(out)
            os.close(shim)
            await second.drain(5)
            await second.close(ended=True)

    asyncio.run(run())
    assert [json.loads(line)["log"] for line in (tmp_path / "log").read_bytes().splitlines()] == ["half ", "a line\n"]
