"""Tars that somebody made to get out of the container, or to fill the memory or the disk."""

import bz2
import gzip
import io
import os
import resource
import stat
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shoal.engine.tarread import TarReader
from shoal.errors import InvalidArgument

REG, DIR, SYM, LNK, FIFO = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE
Entry = tuple[str, bytes, str]


def packed(*entries: Entry, shape: Callable[[tarfile.TarInfo], object] = lambda _info: None) -> bytes:
    """Entries as a tar: name, kind, content or target."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, text in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o700
            if kind == REG:
                info.size = len(text)
            else:
                info.linkname = text
            shape(info)
            tar.addfile(info, io.BytesIO(text.encode()) if kind == REG else None)
    return buffer.getvalue()


class Tree:
    """A root with a folder ``in``, beside a file that nothing may touch."""

    def __init__(self, folder: Path) -> None:
        self.root, self.outside = folder / "root", folder / "outside"
        (self.root / "in").mkdir(parents=True)
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        self.before = (self.outside / "secret").stat()

    def unpack(self, data: bytes, place: str = "/in", *, keep_kinds: bool = False) -> None:
        fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY)
        try:
            owner = (os.getuid(), os.getgid())
            TarReader(fd, place, owner=owner, keep_kinds=keep_kinds).unpack(io.BytesIO(data))
        finally:
            os.close(fd)

    def is_untouched(self) -> bool:
        now = (self.outside / "secret").stat()
        same = (now.st_mode, now.st_nlink, now.st_mtime_ns) == (
            self.before.st_mode, self.before.st_nlink, self.before.st_mtime_ns,
        )  # fmt: skip
        return same and [path.name for path in self.outside.iterdir()] == ["secret"]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    made = Tree(tmp_path)
    yield made
    assert made.is_untouched()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "root"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "..", "/../x", "a/b/../../../../outside/x"])
def test_names_that_go_upward(tree: Tree, name: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid path in archive"):
        tree.unpack(packed((name, REG, "x")))
    with pytest.raises(InvalidArgument, match="invalid path in archive"):
        tree.unpack(packed(("x", LNK, name)))


@pytest.mark.parametrize("target", ["{outside}", "../../outside", "/../../outside"])
def test_what_is_put_through_a_link_stays_in_the_root(tree: Tree, target: str) -> None:
    link = ("link", SYM, target.format(outside=tree.outside))
    for entry in (("link/secret", REG, "changed"), ("link/new/file", REG, "x"), ("hard", LNK, "link/secret")):
        # It is refused, or the link means a place within the root: both will do, and the fixture looks outside.
        try:
            tree.unpack(packed(link, entry))
        except (InvalidArgument, OSError) as error:
            assert str(error)
    assert (tree.root / "in" / "link").is_symlink()


def test_modes_and_owners_do_not_go_through_links(tree: Tree) -> None:
    def shape(info: tarfile.TarInfo) -> None:
        info.mode = 0o4777

    tree.unpack(packed(("link", SYM, str(tree.outside / "secret")), shape=shape))
    tree.unpack(packed(("file", REG, "x"), ("folder", DIR, ""), ("pipe", FIFO, ""), shape=shape))
    for name in ("file", "folder", "pipe"):
        assert stat.S_IMODE((tree.root / "in" / name).stat().st_mode) == 0o4777


def _negative(info: tarfile.TarInfo) -> None:
    info.mtime = -1e30


@pytest.mark.parametrize(
    "data",
    [
        packed(("a" * 300, REG, "x")),
        packed(("a/" * 2100 + "b", REG, "x")),
        packed(("a", SYM, "b" * 5000)),
        packed(("a", LNK, "nowhere")),
        packed(("loop", SYM, "loop"), ("loop/x", REG, "x")),
        packed(("a", REG, "x"), shape=_negative),
        packed(("a", REG, "x"), shape=lambda info: info.pax_headers.update({"SCHILY.xattr.a\0b": "x"})),
        packed(("a", REG, "x"), shape=lambda info: info.pax_headers.update({"path": "a\0b"})),
    ],
    ids=["name", "depth", "target", "no target", "loop", "time", "NUL in an attribute", "NUL in a name"],
)
def test_what_the_kernel_would_not_take_is_refused(tree: Tree, data: bytes) -> None:
    with pytest.raises((InvalidArgument, OSError)):
        tree.unpack(data)


def test_deep_folders_are_made(tree: Tree) -> None:
    tree.unpack(packed(("a/" * 600 + "b", REG, "x")))
    deepest = max((len(where.split("/")) for where, _folders, _files in os.walk(tree.root)), default=0)
    assert deepest > 600


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"no tar at all" * 100,
        packed(("a", REG, "x" * 2000))[:1500],
        gzip.compress(packed(("a", REG, "x")))[:40],
    ],
    ids=["nothing", "a byte", "text", "cut off", "cut off while packed"],
)
def test_what_is_no_tar(tree: Tree, data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        tree.unpack(data)


def test_packed_tars(tree: Tree) -> None:
    for pack in (gzip.compress, bz2.compress):
        tree.unpack(pack(packed(("file", REG, "content"))))
        assert (tree.root / "in" / "file").read_text() == "content"


def head(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("h")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_head_that_would_fill_the_memory(tree: Tree, kind: bytes) -> None:
    size = 300 << 20
    bomb = gzip.compress(head(kind, size)) + gzip.compress(bytes(1 << 20)) * 300
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidArgument, match="header field too long"):
        tree.unpack(bomb)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_what_unpacks_to_very_much_is_never_in_memory_at_once(tree: Tree) -> None:
    size = 128 << 20
    plain = io.BytesIO()
    # Of the kind that bzip2 makes 40 bytes of for every 45 MB, and that would all come out of one call.
    with bz2.BZ2File(plain, "wb") as packer:
        packer.write(head(tarfile.FIFOTYPE + b"", 0)[:156] + b"\x7f" * 356)
        for _ in range(size >> 20):
            packer.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidArgument):
        tree.unpack(plain.getvalue())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_a_huge_sparse_file_takes_no_room(tree: Tree) -> None:
    real = 1 << 40
    info = bytearray(head(tarfile.GNUTYPE_SPARSE, 4))
    info[386:398], info[398:410] = b"%011o\0" % 0, b"%011o\0" % 4  # where the data are, and how many
    info[483:495] = b"\x80" + struct.pack(">Q", real).rjust(11, b"\0")
    info[148:156] = b" " * 8
    info[148:156] = b"%06o\0 " % sum(info)
    tree.unpack(bytes(info) + b"data".ljust(512, b"\0") + bytes(1024))
    made = (tree.root / "in" / "h").stat()
    assert made.st_size == real
    assert made.st_blocks * 512 < 1 << 20


def test_kinds_that_are_to_be_kept(tree: Tree) -> None:
    tree.unpack(packed(("folder/file", REG, "x")))
    with pytest.raises(InvalidArgument, match="cannot overwrite directory"):
        tree.unpack(packed(("folder", REG, "x")), keep_kinds=True)
    with pytest.raises(InvalidArgument, match="cannot overwrite non-directory"):
        tree.unpack(packed(("folder/file", DIR, "")), keep_kinds=True)
