"""Listing tasks."""

from shoal.manager.control.resolve import resolve
from shoal.objects.task import Task
from shoal.store.store import Store


class TaskControl:
    """The API's view of tasks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self) -> list[Task]:
        """Every service's task that the store still knows."""
        return [task for task in self._store.view.all(Task) if task.service_id]

    def get(self, text: str) -> Task:
        """The task meant by an id or the beginning of one."""
        return resolve(self._store.view, Task, text)
