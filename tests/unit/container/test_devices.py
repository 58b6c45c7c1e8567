"""Device nodes of the host."""

from pathlib import Path

import pytest

from shoal.container import devices
from shoal.errors import InvalidArgument, NotFound


def test_a_device_under_another_name() -> None:
    null = devices.node(Path("/dev/null"), "/dev/nothing")
    assert (null.path, null.type, null.major, null.minor) == ("/dev/nothing", "c", 1, 3)


def test_every_device_but_what_containers_have_themselves() -> None:
    found = {device.path: device for device in devices.every()}
    assert found["/dev/zero"].minor == 5
    assert not [path for path in found if path.startswith(("/dev/pts/", "/dev/shm/"))]
    assert "/dev/ptmx" not in found


def test_what_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidArgument, match="not a device node"):
        devices.node(tmp_path / "file")
    with pytest.raises(NotFound):
        devices.node(tmp_path / "nothing")
    assert devices.tree(tmp_path) == ()
    (tmp_path / "link").symlink_to("/dev/full")
    assert devices.node(tmp_path / "link").minor == 7
