"""Reading logs: tails, times, rotation under the reader's hands, following to the end."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shoal.aio.clock import SystemClock
from shoal.keeper.jsonlog import encode
from shoal.keeper.logfile import LogLine, LogQuery, follow_log, read_log
from shoal.keeper.logwriter import LogWriter
from shoal.keeper.watch import FolderWatch
from shoal.wire.keeper import LogOptions, Stream

SECOND = 1_000_000_000


def entries(first: int, last: int) -> list[bytes]:
    """Numbered entries, one a second."""
    return [encode(b"%d\n" % n, Stream.STDOUT, n * SECOND) for n in range(first, last + 1)]


async def numbers(lines: AsyncIterator[LogLine]) -> list[int]:
    return [int(line.data) async for line in lines]


def read(path: Path, query: LogQuery = LogQuery()) -> list[int]:
    return asyncio.run(numbers(read_log(path, query)))


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """1 to 90 in three files."""
    path = tmp_path / "json.log"
    (tmp_path / "json.log.2").write_bytes(b"".join(entries(1, 30)))
    (tmp_path / "json.log.1").write_bytes(b"".join(entries(31, 60)))
    path.write_bytes(b"".join(entries(61, 90)))
    return path


def test_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "json.log"
    path.write_bytes(encode(b"half", Stream.STDERR, 5) + b'{"log":\n\n' + encode(b"whole\n", Stream.STDOUT, 6)[:-1])
    with path.open("ab") as log:
        log.write(b'\n{"log":"unfini')

    async def run() -> list[LogLine]:
        return [line async for line in read_log(path)]

    assert asyncio.run(run()) == [
        LogLine(Stream.STDERR, 5, b"half", partial=True),
        LogLine(Stream.STDOUT, 6, b"whole\n", partial=False),
    ]


def test_all_of_it_in_order(rotated: Path) -> None:
    assert read(rotated) == list(range(1, 91))


def test_no_log_has_no_lines(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == []
    assert read(tmp_path / "none" / "none", LogQuery(tail=3)) == []


@pytest.mark.parametrize("tail", [0, 1, 29, 30, 31, 60, 89, 90, 91, 1000])
def test_tail(rotated: Path, tail: int) -> None:
    assert read(rotated, LogQuery(tail=tail)) == list(range(1, 91))[max(0, 90 - tail) :]


def test_tail_of_more_than_a_block(tmp_path: Path) -> None:
    path = tmp_path / "json.log"
    path.write_bytes(b"".join(entries(1, 20000)))
    assert path.stat().st_size > 3 * (256 << 10)
    assert read(path, LogQuery(tail=12345)) == list(range(20000 - 12344, 20001))


def test_times(rotated: Path) -> None:
    assert read(rotated, LogQuery(since=20 * SECOND, until=70 * SECOND)) == list(range(20, 71))
    assert read(rotated, LogQuery(tail=5, since=88 * SECOND)) == [88, 89, 90]


def test_following_loses_nothing_through_rotations_and_ends_with_the_container(tmp_path: Path) -> None:
    path = tmp_path / "json.log"

    async def run() -> list[int]:
        stopped = asyncio.Event()
        watch = FolderWatch()
        with ThreadPoolExecutor(1) as executor:
            options = LogOptions(str(path), max_size=2000, max_file=50)
            writer = LogWriter(options, executor=executor, on_pressure=lambda _: None)

            async def container() -> None:
                for n in range(1, 1001, 10):
                    writer.append(entries(n, n + 9))
                    await asyncio.sleep(0.001)
                await writer.close()
                stopped.set()

            lines = follow_log(path, stopped=stopped, watch=watch, clock=SystemClock())
            seen, _ = await asyncio.gather(numbers(lines), container())
        watch.close()
        return seen

    assert asyncio.run(run()) == list(range(1, 1001))


def test_following_shows_new_lines_at_once(rotated: Path) -> None:
    async def run() -> None:
        stopped = asyncio.Event()
        watch = FolderWatch()
        lines = follow_log(rotated, LogQuery(tail=1), stopped=stopped, watch=watch, clock=SystemClock())
        async with asyncio.timeout(5):
            assert int((await anext(lines)).data) == 90
            with rotated.open("ab") as log:
                asyncio.get_running_loop().call_later(0.05, lambda: (log.write(entries(91, 91)[0]), log.flush()))
                assert int((await anext(lines)).data) == 91
            asyncio.get_running_loop().call_later(0.05, stopped.set)
            assert [line async for line in lines] == []
        watch.close()

    asyncio.run(run())


def test_following_ends_at_until(rotated: Path) -> None:
    async def run() -> list[int]:
        clock = SystemClock()
        watch = FolderWatch()
        until = int(clock.now().timestamp() * SECOND) + SECOND // 10
        query = LogQuery(tail=2, until=until)
        async with asyncio.timeout(5):
            lines = await numbers(follow_log(rotated, query, stopped=asyncio.Event(), watch=watch, clock=clock))
        watch.close()
        return lines

    assert asyncio.run(run()) == [89, 90]
