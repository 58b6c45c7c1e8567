import subprocess
from pathlib import Path

import pytest

from shoal.errors import Unavailable
from shoal.lab.cgroups import Cgroup


def hierarchy(tmp_path: Path, *, unified: bool) -> tuple[Cgroup, Path]:
    """A cgroup as it looks with two processes of the host, one of a container, and one that cannot be seen."""
    top = tmp_path / ("lab-node1" if unified else "freezer/lab-node1")
    if unified:
        (tmp_path / "cgroup.controllers").touch()
    for name, content in {"": "", "machine": "11\n12\n0\n", "c0ffee": "13\n"}.items():
        (top / name).mkdir(parents=True, exist_ok=True)
        (top / name / "cgroup.procs").write_text(content)
    return Cgroup("/lab-node1", tmp_path), top


@pytest.mark.parametrize("unified", [False, True])
def test_processes_are_the_host_s_and_its_containers(tmp_path: Path, unified: bool) -> None:
    cgroup, top = hierarchy(tmp_path, unified=unified)
    assert sorted(cgroup.processes()) == [11, 12, 13]
    assert cgroup.in_use
    for folder in (top / "machine", top / "c0ffee"):
        (folder / "cgroup.procs").write_text("0\n")
    assert cgroup.processes() == [] and cgroup.in_use


def test_the_first_is_number_one_one_namespace_down(tmp_path: Path) -> None:
    cgroup, _ = hierarchy(tmp_path, unified=True)
    proc = tmp_path / "proc"
    assert cgroup.first(proc) == 0
    # unshare itself; the host's first; a container's first on its way to a cgroup of its own.
    for pid, numbers in {10: "10", 11: "11\t9\t1", 12: "12\t1"}.items():
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "status").write_text(f"Name:\tsh\nNSpid:\t{numbers}\n")
    assert cgroup.first(proc) == 12


@pytest.mark.parametrize(
    ("unified", "file", "stopped"), [(False, "freezer.state", "FROZEN"), (True, "cgroup.events", "")]
)
def test_freezing_waits_until_all_stand_still(tmp_path: Path, unified: bool, file: str, stopped: str) -> None:
    cgroup, top = hierarchy(tmp_path, unified=unified)
    (top / file).write_text(stopped or "populated 1\nfrozen 1\n")
    cgroup.freeze()
    assert cgroup.frozen
    (top / file).write_text("FREEZING\n" if not unified else "populated 1\nfrozen 0\n")
    assert not cgroup.frozen
    cgroup.thaw()
    assert (top / ("cgroup.freeze" if unified else file)).read_text() == ("0" if unified else "THAWED")


def test_what_is_not_there_is_neither_frozen_nor_in_use(tmp_path: Path) -> None:
    cgroup = Cgroup("/lab-node1", tmp_path)
    assert not cgroup.frozen and not cgroup.in_use and cgroup.first() == 0
    cgroup.thaw()


def test_a_folder_is_no_cgroup(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="neither version 2 nor version 1's freezer"):
        Cgroup("/lab-node1", tmp_path).make()


def test_who_joins_does_so_before_it_becomes_the_command(tmp_path: Path) -> None:
    cgroup, top = hierarchy(tmp_path, unified=True)
    said = subprocess.run(cgroup.joining(["sh", "-c", "echo $$ $1", "sh", "a b"]), capture_output=True, text=True)
    assert said.stdout == f"{(top / 'machine' / 'cgroup.procs').read_text().strip()} a b\n"
