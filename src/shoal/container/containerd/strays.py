"""Looks for shims that containerd knows nothing of (:mod:`shoal.container.containerd.shims`), and for containers'
processes that have lost even their shim, and ends them. Both come of a death in the middle of a start."""

import asyncio
import logging
import re
from collections.abc import Callable
from itertools import chain, repeat

from shoal.aio.clock import Clock
from shoal.container import cgroups
from shoal.container.containerd.client import Containerd
from shoal.container.containerd.leases import collect
from shoal.container.containerd.pb.tasks_pb2 import ListTasksRequest
from shoal.container.containerd.runtime import LIST_TASKS
from shoal.container.containerd.shims import Shim, clear, shims
from shoal.errors import Unavailable

_log = logging.getLogger(__name__)
# Between looks: often after a start, when what a dead shoald has asked for may still come to its end.
_FIRST_SECONDS, _SECONDS, _GRACE_SECONDS = (3.0, 3.0, 5.0, 10.0, 10.0), 60.0, 2.0
_CONTAINER_ID = re.compile("[0-9a-f]{64}")


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
        """Look until cancelled."""
        for number, pause in enumerate(chain(_FIRST_SECONDS, repeat(_SECONDS))):
            await self._clock.sleep(pause)
            try:
                if number < len(_FIRST_SECONDS):
                    # What a dead shoald had asked for may have come to its end after this start's own collection.
                    await collect(self._containerd)
                if found := await self._look():
                    # What a dead shoald has asked for may still be under way.
                    await self._clock.sleep(_GRACE_SECONDS)
                    for stray in found & await self._look():
                        await asyncio.to_thread(self._end, stray)
                    await asyncio.to_thread(cgroups.remove_empty, self._cgroup_parent)
            except Unavailable as error:
                _log.debug("no look for stray shims: %s", error)

    async def _look(self) -> set[Shim | str]:
        """Shims, and the ids of containers whose processes have none."""
        tasks = (await self._containerd.call(LIST_TASKS, ListTasksRequest())).tasks
        known = {task.container_id or task.id for task in tasks}
        containerd = self._containerd
        found = await asyncio.to_thread(lambda: list(shims(containerd.socket, containerd.namespace)))
        populated = await asyncio.to_thread(cgroups.children, self._cgroup_parent)
        # Others may have been given a parent of their own in ours.
        orphans = {key for key in populated if _CONTAINER_ID.fullmatch(key)} - {shim.container_id for shim in found}
        return {
            *(shim for shim in found if shim.container_id not in known and not self._is_busy(shim.container_id)),
            *(key for key in orphans if key not in known and not self._is_busy(key)),
        }

    def _end(self, stray: Shim | str) -> None:
        container_id = stray if isinstance(stray, str) else stray.container_id
        what = "processes" if isinstance(stray, str) else "shim"
        _log.warning("ended what was left behind of container %s: its %s", container_id, what)
        clear(self._containerd.socket, self._containerd.namespace, container_id)
        # Where runc had not come far enough to be asked for it.
        cgroups.clear(f"{self._cgroup_parent.rstrip('/')}/{container_id}")
