"""The keeper as a process: started, adopted, killed and back, ended."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from shoal.aio.clock import SystemClock
from shoal.keeper.supervisor import KeeperSupervisor
from shoal.wire.keeper import LogOptions, Stdio, Stream


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process finds the package where this one does."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


def supervisor(folder: Path) -> KeeperSupervisor:
    return KeeperSupervisor(socket=folder / "keeper.sock", state=folder / "state", clock=SystemClock())


def supervising(folder: Path, test: Callable[[KeeperSupervisor, int], Awaitable[None]]) -> None:
    async def run() -> None:
        keeper = supervisor(folder)
        try:
            async with asyncio.timeout(30):
                await test(keeper, (await keeper.start()).pid)
        finally:
            await keeper.stop()
        assert not (folder / "keeper.sock").exists()

    asyncio.run(run())


def wait_for(text: bytes, file: Path) -> None:
    while text not in file.read_bytes():
        time.sleep(0.005)


def test_a_container_does_not_notice_that_the_keeper_is_killed(tmp_path: Path) -> None:
    stdio = Stdio("c1", str(tmp_path / "out"), log=LogOptions(str(tmp_path / "log")))

    async def test(keeper: KeeperSupervisor, pid: int) -> None:
        await keeper.client.open(stdio)
        out, shim = os.open(stdio.stdout, os.O_WRONLY), os.open(stdio.stdout, os.O_RDONLY)
        os.write(out, b"before\n")
        attached = await keeper.client.attach("c1")
        os.write(out, b"seen\n")
        seen = b""
        while b"seen" not in seen:
            stream, data = await anext(attached)
            assert stream is Stream.STDOUT
            seen += data
        await asyncio.to_thread(wait_for, b"seen", tmp_path / "log")
        os.kill(pid, signal.SIGKILL)
        os.write(out, b"meanwhile\n")
        assert await attached.read() is None and not attached.ended
        await attached.aclose()
        while (status := await keeper.client.hello()).pid == pid:
            pass
        assert status.containers == ("c1",)
        os.write(out, b"after\n")
        os.close(out)
        os.close(shim)
        await keeper.client.drained("c1")

    supervising(tmp_path, test)
    lines = [json.loads(line)["log"] for line in (tmp_path / "log").read_bytes().splitlines()]
    assert lines == ["before\n", "seen\n", "meanwhile\n", "after\n"]


def test_the_next_daemon_adopts_it(tmp_path: Path) -> None:
    async def test(keeper: KeeperSupervisor, pid: int) -> None:
        await keeper.leave()
        successor = supervisor(tmp_path)
        assert (await successor.start()).pid == pid
        await successor.stop()

    supervising(tmp_path, test)


def test_there_is_one_a_socket(tmp_path: Path) -> None:
    async def test(_: KeeperSupervisor, pid: int) -> None:
        command = [sys.executable, "-m", "shoal.keeper", f"--socket={tmp_path}/keeper.sock", f"--state={tmp_path}/s2"]
        second = await asyncio.to_thread(subprocess.run, command, stderr=subprocess.DEVNULL)
        assert second.returncode == 3
        assert int((tmp_path / "keeper.pid").read_text()) == pid

    supervising(tmp_path, test)


def test_stopping_what_never_ran(tmp_path: Path) -> None:
    asyncio.run(supervisor(tmp_path).stop())
