"""Our own containerd: started, watched, started again; found again after a crash of shoald; ended.

Containers do not depend on it: a shim a container keeps running while containerd is away, and the next containerd
finds it. So containerd leads a session of its own, where a signal to shoald's group does not reach it, and its death or
ours disturbs no container.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.aio.tasks import cancel, spawn
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.process import Process
from shoal.container.containerd.shims import SOCKETS
from shoal.errors import Internal, Unavailable

_log = logging.getLogger(__name__)

READY_SECONDS = 30.0
PATIENCE_SECONDS = 10.0
BACKOFF_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
LOG_BYTES = 8 << 20
LOG_CHECK_SECONDS = 60.0
STEADY_SECONDS = 30.0
"""A containerd that has lived this long has come up well: the back-off starts from the beginning again."""

# What a container engine of its own has no use for. Names that a version does not know are ignored by it.
_DISABLED = (
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.tracing",
    "io.containerd.monitor.v1.cgroups",
    "io.containerd.nri.v1.nri",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.tracing.processor.v1.otlp",
)


def config_toml(*, root: Path, state: Path, socket: Path) -> str:
    """containerd's configuration (version 2, which 1.6 to 2.x read)."""
    disabled = "".join(f"  {_quoted(name)},\n" for name in _DISABLED)
    return (
        "version = 2\n"
        f"root = {_quoted(str(root))}\n"
        f"state = {_quoted(str(state))}\n"
        f"disabled_plugins = [\n{disabled}]\n"
        f"[grpc]\n  address = {_quoted(str(socket))}\n"
        '[debug]\n  level = "warn"\n'
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class ContainerdSupervisor:
    """Keeps one containerd running from :meth:`start` to :meth:`stop`.

    ``root`` holds what must survive a reboot (``<data-root>/containerd``), ``state`` what must not
    (``<exec-root>/containerd``): the socket, the pid file, the configuration, the log. ``patience``, in seconds, is for
    one that was found and does not answer, and one that shall end and does not.
    """

    def __init__(
        self,
        *,
        root: Path,
        state: Path,
        clock: Clock,
        binary: str = "containerd",
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.root = root
        self.state = state
        self.socket = state / "containerd.sock"
        self.pid_file = state / "containerd.pid"
        self.log_file = state / "containerd.log"
        self._ttrpc_socket = state / "containerd.sock.ttrpc"
        self._config = state / "config.toml"
        self._binary = binary
        self._patience = patience
        self._clock = clock
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The containerd that runs now."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Return once containerd answers: the one that an earlier shoald left, or a new one.

        Raises Unavailable with the end of its log when it does not come up.
        """
        for folder in (self.root, self.state):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._config.write_text(config_toml(root=self.root, state=self.state, socket=self.socket))
        self._process = await self._adopted() or await self._launched()
        self._watch = spawn(self._keep(), name="containerd")

    async def stop(self) -> None:
        """End containerd and wait for it; containers go on. After a polite while it is killed."""
        await cancel(self._watch)
        if self._process is not None:
            await self._end(self._process)
            self._process = None
        self.pid_file.unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        self._ttrpc_socket.unlink(missing_ok=True)
        _remove_shims_folder()

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
                _log.error("containerd ended; its log is %s", self.log_file)
            if self._clock.monotonic() - since > STEADY_SECONDS:
                failures = 0
            await self._clock.sleep(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
            failures += 1
            try:
                self._process = await self._launched()
                _log.warning("containerd runs again, pid %d", self._process.pid)
            except Unavailable as error:
                _log.error("containerd does not come up again: %s", error)

    async def _ended_while_trimming(self, process: Process) -> None:
        """Wait for its end; meanwhile its log, into which the shims write too, does not outgrow ``LOG_BYTES``."""
        while True:
            try:
                async with asyncio.timeout(LOG_CHECK_SECONDS):
                    return await process.ended()
            except TimeoutError:
                if self.log_file.stat().st_size > LOG_BYTES:
                    os.truncate(self.log_file, 0)  # all its writers append

    async def _adopted(self) -> Process | None:
        """The containerd of the pid file, if it is ours and answers; one that is ours and does not is ended."""
        try:
            process = Process.open(int(self.pid_file.read_text()))
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        if str(self._config).encode() not in process.command():
            process.close()  # the number belongs to somebody else by now
            return None
        if await self._answers(process, seconds=self._patience):
            return process
        await self._end(process)
        return None

    async def _launched(self) -> Process:
        self.socket.unlink(missing_ok=True)
        arguments = [self._binary, "--config", str(self._config)]
        try:
            process = Process.spawn(arguments, log=self.log_file)
        except OSError as error:
            raise Unavailable(f"{self._binary} cannot be run: {error.strerror}") from error
        self.pid_file.write_text(f"{process.pid}\n")
        try:
            if await self._answers(process, seconds=READY_SECONDS):
                return process
        except asyncio.CancelledError:
            await self._end(process)
            raise
        await self._end(process)
        raise self._failure()

    def _failure(self) -> Unavailable:
        tail = self.log_file.read_bytes()[-500:].decode(errors="replace").strip()
        return Unavailable(f"containerd did not start: {tail}")

    async def _answers(self, process: Process, *, seconds: float) -> bool:
        """Whether it serves, asked until it does, ends, or ``seconds`` are over."""
        deadline = self._clock.monotonic() + seconds
        async with _connection(self.socket) as containerd:
            while process.alive() and self._clock.monotonic() < deadline:
                try:
                    if self.socket.exists():
                        await containerd.version(timeout=1.0)
                        return True
                except (Unavailable, Internal):
                    pass
                await self._clock.sleep(0.01)
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


def _remove_shims_folder() -> None:
    """Shims put their sockets into a folder that no configuration moves; nobody removes it. Where another containerd
    has its state there, it is left alone."""
    with contextlib.suppress(OSError):
        if os.listdir(SOCKETS.parent) == [SOCKETS.name]:
            SOCKETS.rmdir()
            SOCKETS.parent.rmdir()


@contextlib.asynccontextmanager
async def _connection(socket: Path) -> AsyncIterator[Containerd]:
    containerd = Containerd(str(socket))
    try:
        yield containerd
    finally:
        await containerd.close()
