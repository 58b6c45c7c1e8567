"""Folders that say when they change."""

import asyncio
from pathlib import Path

import pytest

from shoal.errors import NotFound
from shoal.keeper.watch import FolderWatch


def test_writers_wake_every_watcher_of_their_folder_alone(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()

    async def run() -> None:
        watch = FolderWatch()
        with watch.changes(here) as one, watch.changes(here) as two, watch.changes(there) as other:
            (here / "file").write_bytes(b"x")
            async with asyncio.timeout(5):
                await asyncio.gather(one.wait(), two.wait())
            assert not other.is_set()
        with watch.changes(here) as again:
            (here / "file").rename(here / "moved")
            async with asyncio.timeout(5):
                await again.wait()
        with pytest.raises(NotFound), watch.changes(tmp_path / "nowhere"):
            pass
        watch.close()

    asyncio.run(run())
