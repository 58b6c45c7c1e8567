"""Starts the keeper, or adopts the one that a shoald before this one left, and starts it again when it dies."""

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.errors import Unavailable
from shoal.keeper.client import KeeperClient
from shoal.version import VERSION
from shoal.wire.keeper import Status

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_POLITE = 5.0  # seconds to end in, each time it is asked
_QUIET = 60.0  # a keeper that lived this long starts the pauses anew
_log = logging.getLogger(__name__)


class KeeperSupervisor:
    """Sees to it that exactly one keeper of this version runs for ``socket``; it outlives this object unless stopped.

    ``state``: the folder the keeper restores from; its log (``keeper.log``) is there too, so that the process holds on
    to none of shoald's own descriptors.
    """

    def __init__(self, *, socket: Path, state: Path, clock: Clock) -> None:
        self._socket = socket.absolute()
        self._state = state.absolute()
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self.client = KeeperClient(socket=socket, clock=clock)

    async def start(self) -> Status:
        """Have a keeper running, and watched from here on. Raises :class:`Unavailable` if none comes up."""
        status = await self._adopt()
        if status is None:
            await asyncio.to_thread(self._spawn)
            status = await self.client.hello()
        self._watcher = spawn(self._watch(status.pid), name="keeper supervisor")
        return status

    async def leave(self) -> None:
        """Let the keeper go on alone: shoald ends, containers stay."""
        await cancel(self._watcher)
        await self.client.aclose()
        if self._process is not None:
            self._process.poll()
            self._process.returncode = self._process.returncode or 0  # it lives on: nobody here waits for it

    async def stop(self) -> None:
        """End the keeper and wait until it has gone; no error if there is none."""
        await cancel(self._watcher)
        await self._end(None)
        if self._process is not None:
            await asyncio.to_thread(_reap, self._process)
        await self.client.aclose()

    async def _adopt(self) -> Status | None:
        """The keeper that runs already; one of another version is replaced, and its successor restores all."""
        return await self._end(VERSION)

    async def _end(self, version: str | None) -> Status | None:
        """End the keeper that runs, unless it is of that version: then its status."""
        now = KeeperClient(socket=self._socket, clock=self._clock, patience=0)
        try:
            status = await now.hello()
            if status.version == version:
                return status
            gone = _gone(status.pid)
            await now.shutdown()
            if gone is not None:
                await gone
        except Unavailable:
            pass  # there is none
        finally:
            await now.aclose()
        return None

    def _spawn(self) -> None:
        if self._process is not None:
            self._process.wait()
        self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._state / "keeper.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "shoal.keeper", f"--socket={self._socket}", f"--state={self._state}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def _watch(self, pid: int) -> None:
        pause = _FIRST_PAUSE
        while True:
            since = self._clock.monotonic()
            if (gone := _gone(pid)) is not None:
                await gone
            if self._clock.monotonic() - since > _QUIET:
                pause = _FIRST_PAUSE
            _log.error("the keeper (pid %d) died and is started again", pid)
            while True:
                await self._clock.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                await asyncio.to_thread(self._spawn)
                try:
                    pid = (await self.client.hello()).pid
                    break
                except Unavailable as error:
                    _log.error("the keeper does not come up: %s", error)


def _reap(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a keeper that was told to end; one that could not be told, since its socket has been removed, or that
    does not listen, is ended by hand."""
    try:
        process.wait(_POLITE)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(_POLITE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _gone(pid: int) -> "asyncio.Future[None] | None":
    """Done when that process has ended; None if it has already. (pidfd_open(2): works for who is no child too.)"""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def close(_: object) -> None:
        if loop.remove_reader(fd):
            os.close(fd)
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(fd, close, None)
    ended.add_done_callback(close)
    return ended
