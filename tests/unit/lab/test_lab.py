from pathlib import Path

import pytest

from shoal.errors import InvalidArgument, NotFound
from shoal.lab import state
from shoal.lab.lab import Lab
from shoal.lab.state import Wish


@pytest.fixture(name="lab")
def _lab(tmp_path: Path) -> Lab:
    folder = tmp_path / "unit-test"
    folder.mkdir()
    state.save(folder, state.plan(Wish(count=3, name="unit-test"), []))
    return Lab.open("unit-test", tmp_path)


def test_a_lab_is_found_by_its_name(lab: Lab, tmp_path: Path) -> None:
    assert [host.name for host in lab.hosts] == ["node1", "node2", "node3"]
    assert lab.host("node2").address.endswith(".2")
    with pytest.raises(NotFound, match="no host node4: it has node1 to node3"):
        lab.host("node4")
    with pytest.raises(NotFound, match="no lab called other"):
        Lab.open("other", tmp_path)


def test_only_hosts_are_cut_off_and_not_from_themselves(lab: Lab) -> None:
    for change in (lab.cut, lab.heal):
        with pytest.raises(NotFound, match="no host x"):
            change("x")
        with pytest.raises(NotFound, match="no host y"):
            change("node1", "y")
        with pytest.raises(InvalidArgument, match="from itself"):
            change("node1", "node1")
    assert lab.cuts == ()
