"""Log files and their rotation."""

import asyncio
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shoal.keeper.logwriter import LogWriter
from shoal.wire.keeper import LogOptions


def write(options: LogOptions, *batches: list[bytes]) -> list[bool]:
    pressure: list[bool] = []

    async def run() -> None:
        with ThreadPoolExecutor(1) as executor:
            writer = LogWriter(options, executor=executor, on_pressure=pressure.append)
            for batch in batches:
                writer.append(batch)
            await writer.close()

    asyncio.run(run())
    return pressure


def test_entries_keep_their_order(tmp_path: Path) -> None:
    path = tmp_path / "c" / "json.log"
    write(LogOptions(str(path)), *([b"%d\n" % n] for n in range(100)))
    write(LogOptions(str(path)), [b"100\n"])
    assert path.read_bytes() == b"".join(b"%d\n" % n for n in range(101))


def test_files_are_turned_and_the_oldest_dropped(tmp_path: Path) -> None:
    path = tmp_path / "json.log"
    write(LogOptions(str(path), max_size=20, max_file=3), [b"%09d\n" % n for n in range(9)])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["json.log", "json.log.1", "json.log.2"]
    assert (tmp_path / "json.log.2").read_bytes() == b"000000004\n000000005\n"
    assert (tmp_path / "json.log.1").read_bytes() == b"000000006\n000000007\n"
    assert path.read_bytes() == b"000000008\n"


def test_one_file_alone_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "json.log"
    write(LogOptions(str(path), max_size=20), [b"%09d\n" % n for n in range(3)])
    assert path.read_bytes() == b"000000002\n"
    assert list(tmp_path.iterdir()) == [path]


def test_too_much_says_so_and_a_full_disk_stops_nothing(tmp_path: Path) -> None:
    assert write(LogOptions(str(tmp_path / "a")), [b"x" * 100], [b"y" * (5 << 20)]) == [True, False]
    write(LogOptions("/dev/full"), [b"x"], [b"y"])


def test_a_full_disk_leaves_no_half_entry(tmp_path: Path) -> None:
    path = tmp_path / "json.log"
    entries = [b"%0999d\n" % n for n in range(10)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4500, before[1]))
        write(LogOptions(str(path)), entries)
        assert path.read_bytes() == b"".join(entries[:4])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    write(LogOptions(str(path)), entries[:1])
    assert path.read_bytes() == b"".join(entries[:4] + entries[:1])
