"""Looks for shims that containerd knows nothing of (:mod:`shoal.container.containerd.shims`), and ends them."""

import asyncio
import logging
from collections.abc import Callable

from shoal.aio.clock import Clock
from shoal.container import cgroups
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.pb.tasks_pb2 import ListTasksRequest
from shoal.container.containerd.runtime import LIST_TASKS
from shoal.container.containerd.shims import Shim, clear, shims
from shoal.errors import Unavailable

_log = logging.getLogger(__name__)
_FIRST_SECONDS, _SECONDS, _GRACE_SECONDS = 3.0, 60.0, 2.0


class StrayShims:
    """Looks for them now and then. ``cgroup_parent`` is where containers' cgroups are, ``is_busy`` says of a container
    that it is being started or ended right now."""

    def __init__(
        self, *, containerd: Containerd, cgroup_parent: str, is_busy: Callable[[str], bool], clock: Clock
    ) -> None:
        self._containerd = containerd
        self._is_busy = is_busy
        self._cgroup_parent = cgroup_parent
        self._clock = clock

    async def run(self) -> None:
        """Look, first soon after the start, until cancelled."""
        pause = _FIRST_SECONDS
        while True:
            await self._clock.sleep(pause)
            pause = _SECONDS
            try:
                if found := await self._look():
                    # What a dead shoald has asked for may still be under way.
                    await self._clock.sleep(_GRACE_SECONDS)
                    for shim in found & await self._look():
                        _log.warning("the shim of container %s was left behind: it is ended", shim.container_id)
                        await asyncio.to_thread(self._end, shim)
                    await asyncio.to_thread(cgroups.remove_empty, self._cgroup_parent)
            except Unavailable as error:
                _log.debug("no look for stray shims: %s", error)

    async def _look(self) -> set[Shim]:
        tasks = (await self._containerd.call(LIST_TASKS, ListTasksRequest())).tasks
        known = {task.container_id or task.id for task in tasks}
        containerd = self._containerd
        found = await asyncio.to_thread(lambda: list(shims(containerd.socket, containerd.namespace)))
        return {s for s in found if s.container_id not in known and not self._is_busy(s.container_id)}

    def _end(self, shim: Shim) -> None:
        clear(self._containerd.socket, self._containerd.namespace, shim.container_id)
        # Where runc had not come far enough to be asked for it.
        cgroup = f"{self._cgroup_parent.rstrip('/')}/{shim.container_id}"
        cgroups.clear(cgroup)
