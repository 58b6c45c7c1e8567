"""What was asked of the swarm and what was answered, and whether that is what is there. Pure, but for a lock.

Each write has a mark of its own, a label. An update is made from the object as somebody read it, with one label more
and that one's version; so labels only ever come to an object, and what is there at the end says of each write whether
it was done.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Answer(Enum):
    """What an answer means."""

    DONE = "acknowledged"
    REFUSED = "refused"
    UNCERTAIN = "uncertain"


class Kind(Enum):
    """What a write does to an object, which has a name of its own."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True)
class Write:
    """One request that was sent. ``base`` is the version that an update was made from; ``ended`` is when its answer was
    there, or was not waited for any longer, in seconds."""

    kind: Kind
    thing: str
    mark: str
    answer: Answer
    manager: str = ""
    base: int = 0
    said: str = ""
    ended: float = 0.0

    def __str__(self) -> str:
        base = f" from version {self.base}" if self.base else ""
        said = f" ({self.said})" if self.said else ""
        return f"{self.kind.value} {self.thing}{base}, mark {self.mark}, at {self.manager}, {self.answer.value}{said}"


@dataclass(frozen=True)
class Found:
    """An object as a manager shows it at the end."""

    marks: frozenset[str]
    version: int = 0


@dataclass(frozen=True)
class Verdict:
    """What does not hold, a line each."""

    lost: Sequence[str] = ()
    ghosts: Sequence[str] = ()
    backwards: Sequence[str] = ()

    @property
    def holds(self) -> bool:
        return not (self.lost or self.ghosts or self.backwards)

    @property
    def lines(self) -> list[str]:
        named = (("lost", self.lost), ("ghost", self.ghosts), ("version backwards", self.backwards))
        return [f"{name}: {line}" for name, lines in named for line in lines]


def judge(writes: Iterable[Write], found: Mapping[str, Found]) -> Verdict:
    """Whether what was found is what the answers said. Of the writes of one object, a delete is the last."""
    histories: dict[str, list[Write]] = {thing: [] for thing in found}
    for write in writes:
        histories.setdefault(write.thing, []).append(write)
    verdicts = [_judge(thing, history, found.get(thing)) for thing, history in histories.items()]
    return Verdict(
        lost=[line for verdict in verdicts for line in verdict.lost],
        ghosts=[line for verdict in verdicts for line in verdict.ghosts],
        backwards=[line for verdict in verdicts for line in verdict.backwards],
    )


def _judge(thing: str, history: Sequence[Write], found: Found | None) -> Verdict:
    deletes = {write.answer: write for write in history if write.kind is Kind.DELETE}
    done = [write for write in history if write.answer is Answer.DONE]
    if found is None:
        if Answer.DONE in deletes or Answer.UNCERTAIN in deletes or not done:
            return Verdict()
        if Answer.REFUSED in deletes:
            return Verdict(ghosts=[f"{thing} is gone after: {deletes[Answer.REFUSED]}"])
        return Verdict(lost=[f"{thing} is not there after: {done[-1]}"])
    if Answer.DONE in deletes:
        return Verdict(lost=[f"{thing} is there after: {deletes[Answer.DONE]}"])
    marking = [write for write in history if write.kind is not Kind.DELETE]
    lost = [str(w) for w in marking if w.answer is Answer.DONE and w.mark not in found.marks]
    ghosts = [str(w) for w in marking if w.answer is Answer.REFUSED and w.mark in found.marks]
    ghosts += [f"{thing} has the mark {mark}" for mark in sorted(found.marks - {write.mark for write in marking})]
    if not found.marks:
        ghosts.append(f"{thing} has no mark")
    return Verdict(lost, ghosts, _sequence(found, [write for write in done if write.kind is Kind.UPDATE]))


def _sequence(found: Found, updates: Sequence[Write]) -> list[str]:
    """One update is made from one version, and makes a later one of it."""
    lines = []
    first: dict[int, Write] = {}
    for update in updates:
        if (other := first.setdefault(update.base, update)) is not update:
            lines.append(f"two from one version: {other}; {update}")
        if update.base >= found.version:
            lines.append(f"version {found.version} at the end, after: {update}")
    return lines


@dataclass
class Sightings:
    """What each manager has shown of each object, while everything goes on; several threads tell it.

    A look that begins after another has ended must not see less: no lower version, and not nothing, unless the object
    was being removed; what was seen to be removed stays so.
    """

    lines: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _versions: dict[tuple[str, str], int] = field(default_factory=dict)
    _gone: set[tuple[str, str]] = field(default_factory=set)
    _leaving: set[str] = field(default_factory=set)

    def leaving(self, id: str) -> None:
        """Somebody is about to ask for its removal."""
        with self._lock:
            self._leaving.add(id)

    def changed(self, manager: str, id: str, version: int) -> None:
        """The manager has answered that it is done: what it shows from here on is at least of that version."""
        with self._lock:
            key = manager, id
            self._versions[key] = max(version, self._versions.get(key, 0))

    def before(self, manager: str) -> "Before":
        """To be called before a look at a manager."""
        with self._lock:
            versions = {id: version for (at, id), version in self._versions.items() if at == manager}
            return Before(manager, versions, frozenset(id for at, id in self._gone if at == manager))

    def seen(self, before: "Before", versions: Mapping[str, int], *, only: str = "") -> None:
        """What a look has shown: of all objects, or of the one with this id."""
        with self._lock:
            for id, version in versions.items():
                key = before.manager, id
                if version < (least := before.versions.get(id, 0)):
                    self.lines.append(f"{id} at {before.manager}: version {version} after {least}")
                if id in before.gone:
                    self.lines.append(f"{id} at {before.manager}: there again after it was gone")
                self._versions[key] = max(version, self._versions.get(key, 0))
            for id in before.versions.keys() - versions.keys() if not only else {only} - versions.keys():
                if id not in before.versions:
                    continue  # it has not come there yet
                if id in self._leaving:
                    self._gone.add((before.manager, id))
                else:
                    self.lines.append(f"{id} at {before.manager}: not there after version {before.versions[id]}")


@dataclass(frozen=True)
class Before:
    """What a manager had shown, or said, before a look at it began."""

    manager: str
    versions: Mapping[str, int]
    gone: frozenset[str]


def longest_gap(moments: Sequence[float], excused: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The longest time between two of these moments, and the longest one that an excused span has no part in."""
    ordered = sorted(moments)
    gaps = list(zip(ordered, ordered[1:], strict=False))
    held = [(a, b) for a, b in gaps if not any(begin < b and end > a for begin, end in excused)]
    return max((b - a for a, b in gaps), default=0.0), max((b - a for a, b in held), default=0.0)
