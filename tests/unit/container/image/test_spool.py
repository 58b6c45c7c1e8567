"""Uploads are unpacked on their way to the disk."""

import asyncio
import bz2
import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shoal.container.image.spool import Spool, compressed_as
from shoal.errors import InvalidArgument


async def pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def spooled(data: bytes, folder: Path, size: int = 1 << 16) -> bytes:
    async def fill() -> bytes:
        with Spool(folder) as spool:
            await spool.fill(pieces(data, size))
            found = b"".join([chunk async for chunk in spool.read()])
            assert spool.size == len(found)
            assert spool.digest == "sha256:" + hashlib.sha256(found).hexdigest()
            return found

    return asyncio.run(fill())


PACKERS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, bz2.compress, lzma.compress]


@pytest.mark.parametrize("pack", PACKERS)
def test_each_compression(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000  # more than one window
    assert spooled(pack(data), tmp_path, 1000) == data
    assert spooled(pack(data[:100]) + pack(data[100:]), tmp_path) == data
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=200), st.integers(1, 50))
def test_plain_data_stays(tmp_path_factory: pytest.TempPathFactory, data: bytes, size: int) -> None:
    assume(not data.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")))
    assert spooled(data, tmp_path_factory.getbasetemp(), size) == data


@pytest.mark.parametrize("pack", PACKERS[1:])
def test_cut_or_broken_data_is_refused(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    packed = pack(b"x" * 10_000)
    for broken in (packed[:-9], packed[:12] + b"\xff" * 40):
        with pytest.raises(InvalidArgument):
            spooled(broken, tmp_path)


def test_zstd_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="zstd -d"):
        spooled(b"\x28\xb5\x2f\xfd" + bytes(10), tmp_path)


def test_layers() -> None:
    assert compressed_as(gzip.compress(b"x")) == "gzip"
    assert compressed_as(b"\x28\xb5\x2f\xfdxx") == "zstd"
    assert compressed_as(b"") == ""
    with pytest.raises(InvalidArgument):
        compressed_as(bz2.compress(b"x"))


def test_a_root_file_system_must_be_a_tar(tmp_path: Path) -> None:
    async def check(data: bytes) -> None:
        with Spool(tmp_path) as spool:
            await spool.fill(pieces(data, 100))
            spool.check_tar()

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("x"))
    asyncio.run(check(packed.getvalue()))
    with pytest.raises(InvalidArgument, match="invalid tar header"):
        asyncio.run(check(b"x" * 2000))
