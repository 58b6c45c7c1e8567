import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import Internal, NoRoom, Unavailable
from shoal.localdb.localdb import Delete, LocalDB, Put


class Thing(msgspec.Struct, frozen=True):
    name: str
    size: int = 0


class Other(msgspec.Struct, frozen=True):
    weight: float


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state" / "node.db"

    async def first() -> None:
        db = await LocalDB.open(path)
        await db.put("thing", "a", Thing("a", 1))
        await db.put("thing", "b", Thing("b"))
        await db.put("thing", "a", Thing("a", 2))
        await db.put("other", "a", Other(0.5))
        await db.delete("thing", "b")
        await db.delete("thing", "never there")
        await db.close()

    async def second() -> None:
        db = await LocalDB.open(path)
        assert await db.load("thing", Thing) == {"a": Thing("a", 2)}
        assert await db.load("other", Other) == {"a": Other(0.5)}
        assert await db.load("nothing", Thing) == {}
        await db.close()

    run(first())
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(path.parent)) == ["node.db", "node.db-mark"], "closing folds the write-ahead log in"
    run(second())


def test_a_batch_happens_whole_and_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        db = await LocalDB.open(tmp_path / "node.db")
        await db.write([Put("thing", "a", Thing("1")), Delete("thing", "a"), Put("thing", "b", Thing("2"))])
        assert await db.load("thing", Thing) == {"b": Thing("2")}
        assert db.commits == 1
        with pytest.raises(TypeError):
            await db.write([Delete("thing", "b"), Put("thing", "c", {object()})])  # type: ignore[arg-type]
        assert await db.load("thing", Thing) == {"b": Thing("2")}
        await db.close()

    run(main())


def test_concurrent_writes_share_a_commit(tmp_path: Path) -> None:
    async def main() -> None:
        db = await LocalDB.open(tmp_path / "node.db")
        await asyncio.gather(*(db.put("thing", str(n), Thing(str(n), n)) for n in range(500)))
        assert db.commits <= 10
        assert len(await db.load("thing", Thing)) == 500
        await db.close()

    run(main())


def test_a_load_sees_what_was_handed_in_before(tmp_path: Path) -> None:
    async def main() -> None:
        db = await LocalDB.open(tmp_path / "node.db")
        results = await asyncio.gather(db.put("thing", "a", Thing("a")), db.load("thing", Thing))
        assert results[1] == {"a": Thing("a")}
        await db.close()

    run(main())


def test_a_cancelled_callers_write_happens(tmp_path: Path) -> None:
    async def main() -> None:
        db = await LocalDB.open(tmp_path / "node.db")
        for n in range(50):
            async with asyncio.TaskGroup() as group:
                task = group.create_task(db.put("cut", str(n), Thing("b")))
                await asyncio.sleep(0)
                task.cancel()
        assert len(await db.load("cut", Thing)) == 50
        await db.put("thing", "last", Thing("c"))
        await db.close()

    run(main())


def test_closing_writes_what_waits_and_then_nothing_more(tmp_path: Path) -> None:
    async def main() -> None:
        db = await LocalDB.open(tmp_path / "node.db")
        writes = [asyncio.ensure_future(db.put("thing", str(n), Thing("a"))) for n in range(20)]  # noqa: TID251
        await asyncio.sleep(0)
        await db.close()
        await asyncio.gather(*writes)
        with pytest.raises(Unavailable, match="closed"):
            await db.put("thing", "late", Thing("a"))
        again = await LocalDB.open(tmp_path / "node.db")
        assert len(await again.load("thing", Thing)) == 20
        await again.close()

    run(main())


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys, pathlib, msgspec\n"
        "from shoal.localdb.localdb import LocalDB\n"
        "T = msgspec.defstruct('T', [('name', str)])\n"
        "async def main():\n"
        "    db = await LocalDB.open(pathlib.Path(sys.argv[1]))\n"
        "    for n in range(100000):\n"
        "        await db.put('thing', str(n), T('x'))\n"
        "        print(n, flush=True)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "node.db"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) == 20:
                break
        writer.kill()
        acknowledged = 20 + len(writer.stdout.read().splitlines())

    async def main() -> None:
        db = await LocalDB.open(path)
        kept = await db.load("thing", Thing)
        assert {str(n) for n in range(acknowledged + 1)} <= kept.keys()
        await db.close()

    run(main())


@pytest.mark.parametrize("content", [b"hello, this is no database at all" * 40, b"SQLite format 3\0" + b"\xff" * 4000])
def test_a_damaged_file_is_told_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "node.db"
    path.write_bytes(content)
    with pytest.raises(Internal, match=r"node\.db"):
        run(_open_and_close(path))
    assert path.read_bytes() == content


def test_damage_inside_is_found_when_opening(tmp_path: Path) -> None:
    path = tmp_path / "node.db"

    async def fill() -> None:
        db = await LocalDB.open(path)
        await db.write([Put("thing", str(n), Thing("x" * 100)) for n in range(500)])
        await db.close()

    run(fill())
    content = bytearray(path.read_bytes())
    content[8192:12288] = b"\x5a" * 4096
    path.write_bytes(content)
    with pytest.raises(Internal, match=r"node\.db.*(cannot be trusted)"):
        run(_open_and_close(path))
    assert path.read_bytes() == content


def test_a_newer_format_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version=3")
    db.close()
    before = path.read_bytes()
    with pytest.raises(Internal, match="newer Shoal .format 3"):
        run(_open_and_close(path))
    assert path.read_bytes() == before


def test_another_programs_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE object (something_else)")
    db.close()
    with pytest.raises(Internal, match="another program"):
        run(_open_and_close(path))


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "node.db").mkdir()
    with pytest.raises(Internal, match="cannot be opened"):
        run(_open_and_close(tmp_path / "node.db"))


def test_an_object_of_another_shape_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        db = await LocalDB.open(tmp_path / "node.db")
        await db.put("thing", "a", Thing("a"))
        with pytest.raises(Internal, match="thing a in .*weight"):
            await db.load("thing", Other)
        await db.close()

    run(main())


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        db = await LocalDB.open(tmp_path / "node.db")
        await db.put("thing", "a", Thing("a"))
        await db._run(lambda: db._file._db.execute("PRAGMA max_page_count=12"))
        with pytest.raises(NoRoom, match=r"cannot be written to .*no space left on device: free some below"):
            await db.put("thing", "big", Thing("x" * 100_000))
        assert await db.load("thing", Thing) == {"a": Thing("a")}
        await db.put("thing", "small", Thing("b"))
        await db.close()

    run(main())


def test_what_has_come_about_is_written_as_soon_as_it_can_be(tmp_path: Path) -> None:
    async def main() -> None:
        db = await LocalDB.open(tmp_path / "node.db")
        await db.write([Put("thing", "a", Thing("a")), Put("thing", "b", Thing("b"))])
        db._file._db.execute("PRAGMA query_only=ON")
        await db.keep([Put("thing", "a", Thing("a", 1)), Delete("thing", "b")])
        await asyncio.gather(db.keep([Put("thing", "a", Thing("a", 2))]), db.keep([Put("thing", "a", Thing("a", 3))]))
        with pytest.raises(Internal, match="read-only"):
            await db.put("thing", "c", Thing("c"))
        assert await db.load("thing", Thing) == {"a": Thing("a"), "b": Thing("b")}
        db._file._db.execute("PRAGMA query_only=OFF")
        await db.put("thing", "d", Thing("d"))
        assert await db.load("thing", Thing) == {"a": Thing("a", 3), "d": Thing("d")}
        db._file._db.execute("PRAGMA query_only=ON")
        await db.keep([Delete("thing", "d")])
        db._file._db.execute("PRAGMA query_only=OFF")
        for _ in range(100):
            if await db.load("thing", Thing) == {"a": Thing("a", 3)}:
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("not written by itself")
        await db.close()

    run(main())


async def _open_and_close(path: Path) -> None:
    db = await LocalDB.open(path)
    await db.close()


_keys = st.sampled_from(["a", "b", "ü", ""])
_changes = st.lists(
    st.one_of(
        st.builds(Put, st.sampled_from(["k", "l"]), _keys, st.builds(Thing, st.text(), st.integers(-(2**53), 2**53))),
        st.builds(Delete, st.sampled_from(["k", "l"]), _keys),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(st.lists(_changes, max_size=6))
def test_it_holds_what_a_dict_would(batches: list[list[Put | Delete]]) -> None:
    model: dict[tuple[str, str], msgspec.Struct] = {}
    for change in (change for batch in batches for change in batch):
        if isinstance(change, Put):
            model[change.kind, change.key] = change.value
        else:
            model.pop((change.kind, change.key), None)

    async def main(path: Path) -> None:
        db = await LocalDB.open(path)
        await asyncio.gather(*(db.write(batch) for batch in batches))
        await db.close()
        db = await LocalDB.open(path)
        for kind in ("k", "l"):
            assert await db.load(kind, Thing) == {key: value for (k, key), value in model.items() if k == kind}
        await db.close()

    with tempfile.TemporaryDirectory() as folder:
        run(main(Path(folder) / "node.db"))
