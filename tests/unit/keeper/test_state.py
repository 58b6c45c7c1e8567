"""The state folder."""

import asyncio
from pathlib import Path

from shoal.keeper.state import Folder
from shoal.wire.keeper import NetworkRecords, Record

ONE = NetworkRecords(records=(Record("web", ("10.0.0.1",)),))


def test_what_is_put_is_loaded_and_what_is_broken_is_left_out(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "networks", NetworkRecords)

    async def run() -> None:
        await folder.put({"a/b": ONE, ".x": ONE, "gone": ONE})
        await folder.put({"gone": None, "never": None})

    asyncio.run(run())
    (tmp_path / "networks" / "torn").write_bytes(b"\x93")
    (tmp_path / "networks" / "a.new").write_bytes(b"\x93")
    assert Folder(tmp_path / "networks", NetworkRecords).load() == {"a/b": ONE, ".x": ONE}
