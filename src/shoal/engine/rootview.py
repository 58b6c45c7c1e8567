"""A container's files from outside: as its own processes see them while it runs, put together for us otherwise."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from shoal.container.rootfs import RootMount, layers
from shoal.container.runtime import Runtime
from shoal.errors import Conflict
from shoal.kernel.mounts import MountCall, view
from shoal.objects.container import Container


@asynccontextmanager
async def opened(
    container: Container, runtime: Runtime, *, volumes: bool = True, writable: bool = False
) -> AsyncIterator[int]:
    """A descriptor of the container's root for the block, to be used with :func:`shoal.kernel.mounts.open_in`.

    Without ``volumes`` the view of one that does not run lacks them; of one that runs it never does. Whoever writes to
    one that does not run holds its lock: its layer must not be mounted twice for writing.
    """
    if container.is_running:
        fd = await asyncio.to_thread(_root_of, container.state.pid, container.id)
    else:
        mounts = await runtime.rootfs(container.id)
        binds = [(p.source, p.destination) for p in container.mounts if volumes and p.type in ("bind", "volume")]
        binds.sort(key=lambda bind: bind[1].count("/"))
        fd = await asyncio.to_thread(view, _call(mounts) if writable else read_only(mounts), binds)
    try:
        yield fd
    finally:
        await asyncio.to_thread(os.close, fd)


def read_only(mounts: Sequence[RootMount]) -> MountCall:
    """The root file system as a mount for reading: one that may be made beside the container's own."""
    return stacked([str(folder) for folder in layers(mounts)])


def stacked(folders: Sequence[str]) -> MountCall:
    """Folders over one another, the uppermost first, for reading."""
    if len(folders) == 1:
        return MountCall("none", folders[0], ("bind", "ro"))
    return MountCall("overlay", "overlay", ("lowerdir=" + ":".join(folders),))


def _call(mounts: Sequence[RootMount]) -> MountCall:
    (mount,) = mounts
    return MountCall(mount.type, mount.source, mount.options)


def _root_of(pid: int, container_id: str) -> int:
    try:
        return os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise Conflict(f"container {container_id} is not running") from error
