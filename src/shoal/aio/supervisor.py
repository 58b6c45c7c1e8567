"""A program of ours that outlives us: started, watched, started again; found again after a crash of shoald; ended.

It leads a session of its own, where a signal to shoald's group does not reach it. The next shoald finds it by its pid
file, and takes a process for it only if an argument of its command line proves that it is.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.aio.process import Process
from shoal.aio.tasks import cancel, spawn
from shoal.errors import Unavailable

READY_SECONDS = 30.0
PATIENCE_SECONDS = 10.0
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
LOG_BYTES = 8 << 20
LOG_CHECK_SECONDS = 60.0
STEADY_SECONDS = 30.0
"""A program that has lived this long has come up well: the back-off starts from the beginning again."""
_PAUSE = 0.01

Question = Callable[[], Awaitable[bool]]
"""Whether the program serves; within a second or so, and without an error."""


class Supervisor:
    """Keeps one program running from :meth:`start` to :meth:`stop`.

    ``name`` is what it is called in logs and errors, ``mark`` the argument that no other process has, and ``sockets``
    are the files that go before it starts and when it has stopped. ``asking`` opens what it takes to put a question to
    it. ``patience``, in seconds, is for one that was found and does not answer, and one that shall end and does not.
    """

    def __init__(
        self,
        *,
        name: str,
        mark: str,
        pid_file: Path,
        log_file: Path,
        sockets: Sequence[Path],
        asking: Callable[[], AbstractAsyncContextManager[Question]],
        log: logging.Logger,
        clock: Clock,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._name = name
        self._mark = mark.encode()
        self._pid_file = pid_file
        self._log_file = log_file
        self._sockets = sockets
        self._asking = asking
        self._log = log
        self._clock = clock
        self._patience = patience
        self._arguments: Sequence[str] = ()
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        return self._process.pid if self._process is not None else None

    async def start(self, arguments: Sequence[str], *, fits: Callable[[list[str]], bool] | None = None) -> None:
        """Return once it serves: the one that an earlier shoald left, or a new one, which these ``arguments`` start,
        now and whenever it has ended. One that was left is ended where its command line does not fit.

        Raises Unavailable with the end of its log when it does not come up.
        """
        self._arguments = arguments
        self._process = await self._adopted(fits) or await self._launched()
        self._watch = spawn(self._keep(), name=self._name)

    async def stop(self) -> None:
        """End it and wait for it; after a polite while it is killed."""
        await cancel(self._watch)
        if (process := self._process or self._found()) is not None:
            await self._end(process)
            self._process = None
        self._pid_file.unlink(missing_ok=True)
        self._remove_sockets()

    async def kill(self) -> None:
        """End it without asking, for a program to which that is no harm; nothing is started in its place."""
        await cancel(self._watch)
        if self._process is not None:
            self._process.signal(signal.SIGKILL)
            await self._process.ended()
            self._process.close()
            self._process = None

    async def detach(self) -> None:
        """Look after it no longer, and leave it running for the next shoald."""
        await cancel(self._watch)
        if self._process is not None:
            self._process.close()
            self._process = None

    async def _keep(self) -> None:
        failures = 0
        while True:
            since = self._clock.monotonic()
            if self._process is not None:
                await self._ended_while_trimming(self._process)
                self._process.close()
                self._process = None
                self._log.error("%s ended; its log is %s", self._name, self._log_file)
            if self._clock.monotonic() - since > STEADY_SECONDS:
                failures = 0
            await self._clock.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
            failures += 1
            try:
                self._process = await self._launched()
                self._log.warning("%s runs again, pid %d", self._name, self._process.pid)
            except Unavailable as error:
                self._log.error("%s does not come up again: %s", self._name, error)

    async def _ended_while_trimming(self, process: Process) -> None:
        """Wait for its end; meanwhile its log, which its children may share, does not outgrow ``LOG_BYTES``."""
        while True:
            try:
                async with asyncio.timeout(LOG_CHECK_SECONDS):
                    return await process.ended()
            except TimeoutError:
                if self._log_file.stat().st_size > LOG_BYTES:
                    os.truncate(self._log_file, 0)  # all its writers append

    def _found(self) -> Process | None:
        """The process of the pid file, if it is ours."""
        try:
            process = Process.open(int(self._pid_file.read_text()))
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        if self._mark not in process.command():
            process.close()  # the number belongs to somebody else by now
            return None
        return process

    async def _adopted(self, fits: Callable[[list[str]], bool] | None) -> Process | None:
        """The process of the pid file, if it is ours, fits and answers; one that is ours and does not is ended."""
        if (process := self._found()) is None:
            return None
        command = [os.fsdecode(argument) for argument in process.command()]
        if (fits is None or fits(command)) and await self._answers(process, seconds=self._patience):
            return process
        await self._end(process)
        return None

    async def _launched(self) -> Process:
        self._remove_sockets()
        try:
            process = Process.spawn(self._arguments, log=self._log_file)
        except OSError as error:
            raise Unavailable(f"{self._arguments[0]} cannot be run: {error.strerror}") from error
        self._pid_file.write_text(f"{process.pid}\n")
        try:
            if await self._answers(process, seconds=READY_SECONDS):
                return process
        except asyncio.CancelledError:
            await self._end(process)
            raise
        await self._end(process)
        raise self._failure()

    def _failure(self) -> Unavailable:
        tail = self._log_file.read_bytes()[-500:].decode(errors="replace").strip()
        return Unavailable(f"{self._name} did not start: {tail}")

    async def _answers(self, process: Process, *, seconds: float) -> bool:
        """Whether it serves, asked until it does, ends, or ``seconds`` are over."""
        deadline = self._clock.monotonic() + seconds
        async with self._asking() as serves:
            while process.alive() and self._clock.monotonic() < deadline:
                if await serves():
                    return True
                await self._clock.sleep(_PAUSE)
        return False

    async def _end(self, process: Process) -> None:
        process.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._patience):
                await process.ended()
        except TimeoutError:
            process.signal(signal.SIGKILL)
            await process.ended()
        process.close()

    def _remove_sockets(self) -> None:
        for socket in self._sockets:
            socket.unlink(missing_ok=True)
