"""Files out of layers."""

import os
from pathlib import Path

import pytest

from shoal.container.rootfs import RootMount, layers, read_text


@pytest.fixture
def overlay(tmp_path: Path) -> list[RootMount]:
    for name in ("upper", "middle", "lower"):
        (tmp_path / name / "etc").mkdir(parents=True)
    lower = f"{tmp_path / 'middle'}:{tmp_path / 'lower'}"
    return [RootMount("overlay", "overlay", ("index=off", f"upperdir={tmp_path / 'upper'}", f"lowerdir={lower}"))]


def test_the_uppermost_layer_that_says_something_counts(tmp_path: Path, overlay: list[RootMount]) -> None:
    assert [path.name for path in layers(overlay)] == ["upper", "middle", "lower"]
    assert read_text(overlay, "etc/passwd") == ""
    (tmp_path / "lower/etc/passwd").write_text("low")
    assert read_text(overlay, "etc/passwd") == "low"
    (tmp_path / "middle/etc/passwd").write_text("mid")
    assert read_text(overlay, "/etc/passwd".lstrip("/")) == "mid"
    assert read_text([RootMount("bind", str(tmp_path / "lower"), ("ro", "rbind"))], "etc/passwd") == "low"


def test_what_is_not_a_plain_file_is_no_text(tmp_path: Path, overlay: list[RootMount]) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "lower/etc/passwd").write_text("low")
    (tmp_path / "lower/etc/shadow").write_text("low")
    os.symlink(tmp_path / "secret", tmp_path / "upper/etc/passwd")
    os.mkfifo(tmp_path / "upper/etc/shadow")
    assert read_text(overlay, "etc/passwd") == ""
    assert read_text(overlay, "etc/shadow") == ""
    (tmp_path / "upper/etc/passwd").unlink()
    (tmp_path / "lower/etc").rename(tmp_path / "lower/other")
    os.symlink(tmp_path / "lower/other", tmp_path / "lower/etc")
    assert read_text(overlay, "etc/passwd") == ""


def test_a_file_that_is_too_large(tmp_path: Path, overlay: list[RootMount]) -> None:
    (tmp_path / "lower/etc/passwd").write_text("12345")
    assert read_text(overlay, "etc/passwd", limit=4) == ""
    assert read_text(overlay, "etc/passwd", limit=5) == "12345"


def test_no_descriptor_is_left_open(tmp_path: Path, overlay: list[RootMount]) -> None:
    (tmp_path / "lower/etc/passwd").write_text("low")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        read_text(overlay, "etc/passwd")
        read_text(overlay, "etc/nothing/at/all")
        read_text(overlay, "nothing")
    assert len(os.listdir("/proc/self/fd")) == before
