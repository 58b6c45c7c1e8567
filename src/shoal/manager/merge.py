"""Lines of several sources as one stream, in the order of their times."""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Generic, Protocol, TypeVar

# After so many lines others have their turn.
_TURN = 100


class Timed(Protocol):
    """What has a time, in any unit that all sources share."""

    @property
    def time(self) -> int: ...


L = TypeVar("L", bound=Timed)


class Source(Generic[L]):
    """One of the sources; made by :meth:`Merge.source`."""

    def __init__(self, merge: "Merge[L]", number: int) -> None:
        self._merge = merge
        self._number = number
        self._taken = asyncio.Event()
        self.lines: deque[L] = deque()
        self.is_waited_for = True

    async def give(self, lines: Sequence[L]) -> None:
        """Hand in lines, in their order; returns when they have been taken."""
        if not lines:
            return
        self.lines.extend(lines)
        self._taken.clear()
        self._merge.push(self)
        await self._taken.wait()

    def settle(self) -> None:
        """There are no more lines at the moment: others need not wait for them any more."""
        self.is_waited_for = False
        self._merge.release(self)

    def next(self) -> L:
        """Take the next line."""
        line = self.lines.popleft()
        if self.lines:
            self._merge.push(self)
        else:
            self._taken.set()
            if self.is_waited_for:
                self._merge.expect(self)
        return line

    @property
    def key(self) -> tuple[int, int]:
        """When its turn is, of those that have lines."""
        return self.lines[0].time, self._number


class Merge(Generic[L]):
    """Iterate over it, in one place. What lies in it is no more than what each source gave last."""

    def __init__(self) -> None:
        # Those without lines that others wait for.
        self._behind: set[Source[L]] = set()
        self._numbers = itertools.count()
        self._heap: list[tuple[tuple[int, int], Source[L]]] = []
        self._wake = asyncio.Event()
        self._finished = False

    def source(self) -> Source[L]:
        """One more source. It is waited for until it gives lines or settles, so that its lines find their places."""
        made = Source(self, next(self._numbers))
        self._behind.add(made)
        return made

    def finish(self) -> None:
        """There are no more lines wanted, or none to come."""
        self._finished = True
        self._wake.set()

    def push(self, source: Source[L]) -> None:
        """A source has lines."""
        heapq.heappush(self._heap, (source.key, source))
        self.release(source)

    def expect(self, source: Source[L]) -> None:
        """A source has given all its lines and has more to give."""
        self._behind.add(source)

    def release(self, source: Source[L]) -> None:
        """A source need not be waited for: it has lines, or none at the moment."""
        self._behind.discard(source)
        self._wake.set()

    async def lines(self) -> AsyncGenerator[L, None]:
        """The lines of all sources, the earliest first as far as they are there."""
        given = 0
        while not self._finished:
            if self._behind or not self._heap:
                self._wake.clear()
                await self._wake.wait()
                continue
            _, source = heapq.heappop(self._heap)
            yield source.next()
            given += 1
            if given % _TURN == 0:
                await asyncio.sleep(0)
