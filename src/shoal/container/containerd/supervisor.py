"""Our own containerd: started, watched, started again; found again after a crash of shoald; ended.

Containers do not depend on it: a shim a container keeps running while containerd is away, and the next containerd
finds it. So containerd leads a session of its own, where a signal to shoald's group does not reach it, and its death or
ours disturbs no container.
"""

import contextlib
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.aio.supervisor import PATIENCE_SECONDS, Question, Supervisor
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.shims import SOCKETS
from shoal.errors import Internal, Unavailable

_log = logging.getLogger(__name__)

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
        self._config = state / "config.toml"
        self._binary = binary
        self._supervisor = Supervisor(
            name="containerd",
            mark=str(self._config),
            pid_file=self.pid_file,
            log_file=self.log_file,
            sockets=(self.socket, state / "containerd.sock.ttrpc"),
            asking=self._asking,
            log=_log,
            clock=clock,
            patience=patience,
        )

    @property
    def pid(self) -> int | None:
        """The containerd that runs now."""
        return self._supervisor.pid

    async def start(self) -> None:
        """Return once containerd answers: the one that an earlier shoald left, or a new one.

        Raises Unavailable with the end of its log when it does not come up.
        """
        for folder in (self.root, self.state):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._config.write_text(config_toml(root=self.root, state=self.state, socket=self.socket))
        await self._supervisor.start([self._binary, "--config", str(self._config)])

    async def stop(self) -> None:
        """End containerd and wait for it; containers go on. After a polite while it is killed."""
        await self._supervisor.stop()
        _remove_shims_folder()

    async def detach(self) -> None:
        """Look after it no longer, and leave it running for the next shoald."""
        await self._supervisor.detach()

    @contextlib.asynccontextmanager
    async def _asking(self) -> AsyncIterator[Question]:
        containerd = Containerd(str(self.socket))

        async def serves() -> bool:
            if not self.socket.exists():
                return False
            try:
                await containerd.version(timeout=1.0)
            except (Unavailable, Internal):
                return False
            return True

        try:
            yield serves
        finally:
            await containerd.close()


def _remove_shims_folder() -> None:
    """Shims put their sockets into a folder that no configuration moves; nobody removes it. Where another containerd
    has its state there, it is left alone."""
    with contextlib.suppress(OSError):
        if os.listdir(SOCKETS.parent) == [SOCKETS.name]:
            SOCKETS.rmdir()
            SOCKETS.parent.rmdir()
