"""Lines of several sources in the order of their times."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from shoal.aio.tasks import cancel, spawn
from shoal.manager.merge import Merge


@dataclass(frozen=True)
class Tick:
    time: int


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 10))  # type: ignore[arg-type]


def ticks(*times: int) -> list[Tick]:
    return [Tick(time) for time in times]


@given(st.lists(st.lists(st.integers(0, 50), max_size=12), max_size=5), st.integers(0, 4))
def test_all_of_it_in_order(times_of: list[list[int]], turns: int) -> None:
    async def work() -> None:
        merge: Merge[Tick] = Merge()
        sources = [sorted(times) for times in times_of]

        async def feed(times: list[int], size: int) -> None:
            source = merge.source()
            for start in range(0, len(times), size):
                await asyncio.sleep(0)
                await source.give(ticks(*times[start : start + size]))
            source.settle()

        async def all_of_them() -> None:
            await asyncio.gather(*(feed(times, 1 + number) for number, times in enumerate(sources)))
            merge.finish()

        feeding = spawn(all_of_them(), name="feed")
        found = []
        async for tick in merge.lines():
            found.append(tick.time)
            # Meanwhile the sources go on.
            for _ in range(turns):
                await asyncio.sleep(0)
        assert found == sorted(time for times in sources for time in times)
        await feeding

    run(work)


def test_a_source_is_waited_for_until_it_settles() -> None:
    async def work() -> None:
        merge: Merge[Tick] = Merge()
        slow, quick = merge.source(), merge.source()
        found: list[int] = []

        async def read() -> None:
            async for tick in merge.lines():
                found.append(tick.time)

        tasks = [spawn(read(), name="read"), spawn(quick.give(ticks(5, 6)), name="give")]
        await _turns()
        assert found == []
        tasks.append(spawn(slow.give(ticks(1)), name="give"))
        await _turns()
        # Both may still have an earlier one.
        assert found == [1]
        slow.settle()
        await _turns()
        assert found == [1, 5, 6]
        quick.settle()
        await slow.give(ticks(9))
        await quick.give(ticks(8))
        assert found == [1, 5, 6, 9, 8]
        await cancel(*tasks)

    run(work)


def test_what_is_handed_in_waits_until_somebody_reads() -> None:
    async def work() -> None:
        merge: Merge[Tick] = Merge()
        source = merge.source()
        giving = spawn(source.give(ticks(1, 2)), name="give")
        await _turns()
        assert not giving.done()
        lines = merge.lines()
        assert [(await anext(lines)).time, (await anext(lines)).time] == [1, 2]
        await giving
        merge.finish()
        assert [tick async for tick in lines] == []

    run(work)


def test_a_merge_that_is_finished_ends_at_once_though_more_may_come() -> None:
    async def work() -> None:
        merge: Merge[Tick] = Merge()
        source = merge.source()
        giving = spawn(source.give(ticks(*range(100))), name="give")
        async for tick in merge.lines():
            if tick.time == 3:
                merge.finish()
        assert tick.time == 3
        await cancel(giving)

    run(work)


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
