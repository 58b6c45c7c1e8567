"""What containerd's tests do not show of a program that is kept: one that was left and is not wanted as it is."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from shoal.aio.clock import SystemClock
from shoal.aio.process import Process
from shoal.aio.supervisor import Question, Supervisor

# A program that serves once its file is there; it does not look at further arguments.
SERVES = 'trap "exit 0" TERM; touch "$1"; while :; do sleep 0.01; done'


def supervisor(folder: Path) -> Supervisor:
    socket = folder / "socket"

    @asynccontextmanager
    async def asking() -> AsyncIterator[Question]:
        async def serves() -> bool:
            return socket.exists()

        yield serves

    return Supervisor(
        name="program",
        mark=str(socket),
        pid_file=folder / "pid",
        log_file=folder / "log",
        sockets=(socket,),
        asking=asking,
        log=logging.getLogger(__name__),
        clock=SystemClock(),
    )


def arguments(folder: Path, *more: str) -> list[str]:
    return ["sh", "-c", SERVES, "program", str(folder / "socket"), *more]


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(whole())


async def left(folder: Path) -> Process:
    """One that an earlier supervisor has left running."""
    one = supervisor(folder)
    await one.start(arguments(folder, "old"))
    assert one.pid is not None
    process = Process.open(one.pid)
    await one.detach()
    return process


def test_one_that_was_left_is_kept_where_its_command_line_fits_and_replaced_where_not(tmp_path: Path) -> None:
    async def body() -> None:
        old = await left(tmp_path)
        second = supervisor(tmp_path)
        await second.start(arguments(tmp_path, "new"), fits=lambda command: "old" in command)
        assert second.pid == old.pid
        await second.detach()
        third = supervisor(tmp_path)
        await third.start(arguments(tmp_path, "new"), fits=lambda command: "new" in command)
        assert third.pid != old.pid
        assert not old.alive()
        old.close()
        await third.stop()

    run(body)


def test_one_that_was_left_is_ended_without_a_start(tmp_path: Path) -> None:
    async def body() -> None:
        old = await left(tmp_path)
        await supervisor(tmp_path).stop()
        assert not old.alive()
        assert not (tmp_path / "pid").exists()
        old.close()

    run(body)
