"""Mounts and views, in a folder of the test's own."""

import os
from pathlib import Path

import pytest

from shoal.errors import ShoalError
from shoal.kernel.mounts import MountCall, is_mounted, mount, open_in, unmount, view

pytestmark = pytest.mark.root


def _read(root: int, path: str) -> bytes:
    fd = open_in(root, path, os.O_RDONLY)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def test_flags_are_kept_and_mounts_go(tmp_path: Path) -> None:
    place, source = tmp_path / "a place", tmp_path / "source"
    place.mkdir()
    source.mkdir()
    unmount(place)  # nothing there is fine
    assert not is_mounted(place)
    for call in (MountCall("tmpfs", "tmpfs", ("ro", "size=1m")), MountCall("none", str(source), ("bind", "ro"))):
        mount(call, place)
        assert is_mounted(place)
        with pytest.raises(OSError, match="Read-only"):
            (place / "x").touch()
        unmount(place)
        assert not is_mounted(place)
    with pytest.raises(ShoalError):
        mount(MountCall("nonsense", "none"), place)


def test_a_view_hangs_nowhere_and_goes_with_its_descriptor(tmp_path: Path) -> None:
    layers = []
    for number in range(60):  # more than a page of options
        layer = tmp_path / f"a-long-name-so-that-the-options-fill-a-page-{number}"
        layer.mkdir()
        (layer / f"file{number}").write_text(str(number))
        layers.append(str(layer))
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/inside").write_text("v")
    (tmp_path / "secret").write_text("s")
    first = Path(layers[0])
    (first / "place").mkdir()
    (first / "up").symlink_to(tmp_path)
    (first / "link").symlink_to("/place/inside")
    assert len(":".join(layers)) > 4096
    binds = [(str(tmp_path / "volume"), "/place"), (str(tmp_path), "/not/there"), (str(tmp_path), "/file3")]
    root = view(MountCall("overlay", "overlay", ("lowerdir=" + ":".join(layers),)), binds)
    try:
        assert _read(root, "/file0") == b"0" and _read(root, "file59") == b"59"
        assert _read(root, "/place/inside") == _read(root, "/link") == _read(root, "../../link") == b"v"
        with pytest.raises(FileNotFoundError):
            open_in(root, "/up/secret", os.O_RDONLY)
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    finally:
        os.close(root)


def test_magic_links_lead_nowhere() -> None:
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match="Too many levels"):
            open_in(root, "/proc/self/root/etc", os.O_RDONLY)
    finally:
        os.close(root)


def test_what_cannot_be_mounted_leaves_nothing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ShoalError):
        view(MountCall("overlay", "overlay", ("lowerdir=/none:/nothing",)), [(str(tmp_path), "/x")])
    os.close(view(MountCall("tmpfs", "tmpfs"), [("/not/there", "/x")]))
    assert len(os.listdir("/proc/self/fd")) == before
