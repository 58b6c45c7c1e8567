"""The states of a task, in SwarmKit's numbers (``api/types.proto``): a task's state only ever goes up."""

from enum import IntEnum


class TaskState(IntEnum):
    """Where a task stands; ``a < b`` means that ``a`` comes before ``b`` in every task's life."""

    NEW = 0
    PENDING = 64
    ASSIGNED = 192
    ACCEPTED = 256
    PREPARING = 320
    READY = 384
    STARTING = 448
    RUNNING = 512
    COMPLETE = 576
    SHUTDOWN = 640
    FAILED = 704
    REJECTED = 768
    REMOVE = 800
    ORPHANED = 832

    @property
    def word(self) -> str:
        """The API's word for it."""
        return self.name.lower()

    @classmethod
    def of(cls, word: str) -> "TaskState":
        """The state that the API calls ``word``; raises KeyError."""
        return cls[word.upper()]

    @classmethod
    def is_word(cls, word: str) -> bool:
        """Whether the API has a state that is called so."""
        return word.upper() in cls.__members__


def is_terminal(state: TaskState) -> bool:
    """The task will never run (again)."""
    return state > TaskState.RUNNING
