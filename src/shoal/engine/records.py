"""The node's containers: one record each, in memory and in the local database, found by id, name or prefix."""

import re
from collections.abc import Iterable

from shoal.errors import Conflict, InvalidArgument, NotFound, ShoalError
from shoal.localdb.localdb import INCOMPLETE, INCOMPLETE_CONTAINERS, Delete, LocalDB, Mark, Put
from shoal.objects.container import Container

_KIND = "container"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+\Z")


class Records:
    """All containers. A change is on disk when the call that makes it returns."""

    def __init__(self, db: LocalDB) -> None:
        self._db = db
        self._containers: dict[str, Container] = {}
        self._names: dict[str, str] = {}

    async def load(self) -> list[Container]:
        """Everything that the database holds. Raises Internal for a database that can't be read."""
        for container in (await self._db.load(_KIND, Container)).values():
            self._containers[container.id] = container
            self._names[container.name] = container.id
        return self.all()

    async def is_incomplete(self) -> bool:
        """Whether records were lost in a recovery, so that a container without one may be somebody's."""
        return INCOMPLETE_CONTAINERS in await self._db.load(INCOMPLETE, Mark)

    def all(self) -> list[Container]:
        """Every container, the newest first."""
        return sorted(self._containers.values(), key=lambda c: c.created, reverse=True)

    def get(self, ref: str) -> Container:
        """By id, name (with or without the slash) or the beginning of an id. Raises NotFound, or InvalidArgument
        where several would do."""
        if (found := self._containers.get(ref)) is not None:
            return found
        if (key := self._names.get(ref.removeprefix("/"))) is not None:
            return self._containers[key]
        matches = [c for c in self._containers.values() if ref and c.id.startswith(ref)]
        if len(matches) > 1:
            raise InvalidArgument(f"multiple IDs found with provided prefix: {ref}")
        if not matches:
            raise NotFound(f"No such container: {ref}")
        return matches[0]

    def find(self, key: str) -> Container | None:
        """The container with that very id."""
        return self._containers.get(key)

    def claim(self, name: str, container_id: str) -> None:
        """Reserve a name. Raises InvalidArgument for one that can't be, Conflict for one that is taken."""
        if not _NAME.match(name):
            raise InvalidArgument(f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")
        if (holder := self._names.get(name)) is not None and holder != container_id:
            raise Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name."
            )
        self._names[name] = container_id

    def unclaim(self, name: str) -> None:
        """Give a name back that was reserved and not used."""
        self._names.pop(name, None)

    def is_taken(self, name: str) -> bool:
        """Whether a container has the name."""
        return name in self._names

    async def put(self, container: Container) -> Container:
        """Keep a new or changed record; its name must have been claimed. Raises NoRoom or Internal if the disk does not
        take it; a changed one is then as before."""
        before = self._containers.get(container.id)
        self._containers[container.id] = container
        try:
            await self._db.put(_KIND, container.id, container)
        except ShoalError:
            if self._containers.get(container.id) is container and before is not None:
                self._containers[container.id] = before
            raise
        return container

    async def observe(self, container: Container) -> Container:
        """Keep what has come about: it holds even while the disk does not take it, and is written once it does."""
        self._containers[container.id] = container
        await self._db.keep([Put(_KIND, container.id, container)])
        return container

    def drop(self, container: Container) -> None:
        """Take back a new container, which is not on disk yet, and its name."""
        self._containers.pop(container.id, None)
        if self._names.get(container.name) == container.id:
            del self._names[container.name]

    async def remove(self, container: Container) -> None:
        """Forget a container and free its name."""
        self.drop(container)
        await self._db.keep([Delete(_KIND, container.id)])

    def running(self) -> Iterable[Container]:
        """Those whose process lives, as far as was observed."""
        return [c for c in self._containers.values() if c.state.running]
