"""Keeps transactions in memory only: for tests, and for flows that need no machine."""

from shoal.store.backend import Change, Contents


class MemoryBackend:
    """A backend whose contents end with the process."""

    def __init__(self) -> None:
        self._revision = 0
        self._objects: dict[tuple[str, str], bytes] = {}

    async def load(self) -> Contents:
        return Contents(self._revision, [Change(kind, key, value) for (kind, key), value in self._objects.items()])

    async def commit(self, revision: int, changes: list[Change]) -> None:
        for change in changes:
            if change.value is None:
                self._objects.pop((change.kind, change.key), None)
            else:
                self._objects[change.kind, change.key] = change.value
        self._revision = revision

    async def close(self) -> None:
        pass
