"""Our own containerd, started, lost and found; as root."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from shoal.aio.clock import SystemClock
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.supervisor import ContainerdSupervisor
from shoal.errors import Unavailable

pytestmark = pytest.mark.root


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: it will have sockets in it."""
    with tempfile.TemporaryDirectory(prefix="shoal-") as name:
        yield Path(name)


def supervisor(folder: Path, binary: str = "containerd") -> ContainerdSupervisor:
    return ContainerdSupervisor(
        root=folder / "root", state=folder / "state", clock=SystemClock(), binary=binary, patience=0.3
    )


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(whole())


async def version(one: ContainerdSupervisor) -> str:
    containerd = Containerd(str(one.socket))
    try:
        return await containerd.version()
    finally:
        await containerd.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def hang(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)  # a thread of it may serve a moment longer


def test_it_starts_in_a_session_of_its_own_and_stops(folder: Path) -> None:
    async def body() -> None:
        one = supervisor(folder)
        await one.start()
        pid = one.pid
        assert pid is not None
        assert os.getsid(pid) == pid
        assert await version(one)
        await one.stop()
        assert one.pid is None
        assert not alive(pid)
        assert not one.socket.exists()
        assert not one.pid_file.exists()
        with pytest.raises(Unavailable):
            await version(one)

    run(body)


def test_the_next_one_finds_what_was_left_running(folder: Path) -> None:
    async def body() -> None:
        first, second = supervisor(folder), supervisor(folder)
        await first.start()
        pid = first.pid
        await first.detach()
        await second.start()
        assert second.pid == pid is not None
        await second.stop()
        assert not alive(pid)

    run(body)


LEAVES = """
import asyncio, os, signal, sys
from pathlib import Path
from shoal.aio.clock import SystemClock
from shoal.container.containerd.supervisor import ContainerdSupervisor

async def main():
    folder = Path(sys.argv[1])
    one = ContainerdSupervisor(root=folder / "root", state=folder / "state", clock=SystemClock())
    await one.start()
    print(one.pid, flush=True)
    if sys.argv[2] == "killed":
        os.killpg(0, signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["killed", "forgetful"])
def test_it_outlives_the_process_that_started_it(folder: Path, how: str) -> None:
    left = subprocess.run(
        [sys.executable, "-c", LEAVES, str(folder), how], stdout=subprocess.PIPE, start_new_session=True, check=False
    )

    async def body() -> None:
        one = supervisor(folder)
        await one.start()
        assert one.pid == int(left.stdout)
        await one.stop()

    run(body)


def test_one_that_hangs_is_replaced(folder: Path) -> None:
    async def body() -> None:
        first, second = supervisor(folder), supervisor(folder)
        await first.start()
        pid = first.pid
        assert pid is not None
        await first.detach()
        hang(pid)
        await second.start()  # asks, ends it politely, kills it
        assert second.pid != pid
        assert not alive(pid)
        await second.stop()

    run(body)


def test_a_number_that_now_belongs_to_another_is_left_alone(folder: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        (folder / "state").mkdir()
        (folder / "state/containerd.pid").write_text(f"{other.pid}\n")

        async def body() -> None:
            one = supervisor(folder)
            await one.start()
            assert one.pid != other.pid
            await one.stop()

        run(body)
        assert other.poll() is None
        other.kill()


def test_it_is_started_again_when_it_dies(folder: Path) -> None:
    async def body() -> None:
        one = supervisor(folder)
        await one.start()
        for _ in range(2):
            pid = one.pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            for _ in range(1000):
                if one.pid not in (pid, None):
                    break
                await asyncio.sleep(0.01)
            assert one.pid != pid
            assert await version(one)
        await one.stop()

    run(body)


def test_why_it_does_not_start(folder: Path) -> None:
    async def body() -> None:
        with pytest.raises(Unavailable, match="nosuch cannot be run: No such file"):
            await supervisor(folder, "nosuch").start()
        (folder / "broken").write_text("#!/bin/sh\necho no way >&2\nexit 1\n")
        (folder / "broken").chmod(0o755)
        with pytest.raises(Unavailable, match="no way"):
            await supervisor(folder, str(folder / "broken")).start()

    run(body)
