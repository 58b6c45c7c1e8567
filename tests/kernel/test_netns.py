"""Namespaces as ``ip netns`` makes them; as root."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shoal.errors import Conflict, InvalidArgument, NotFound
from shoal.kernel import netns

pytestmark = pytest.mark.root


@pytest.fixture
def name() -> Iterator[str]:
    """A name that nobody else uses; what is made under it goes at the end."""
    name = f"t-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    try:
        yield name
    finally:
        netns.delete(name)


def _here() -> int:
    return os.stat("/proc/thread-self/ns/net").st_ino


def test_ip_netns_and_we_see_the_same(name: str) -> None:
    made = netns.create(name)
    assert netns.exists(name)
    assert name in netns.list_names()
    assert netns.identify(made.path) == made
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    assert name in listed.split()
    inside = subprocess.run(
        ["ip", "netns", "exec", name, "stat", "-L", "-c", "%i", "/proc/self/ns/net"], check=True, capture_output=True
    )
    assert int(inside.stdout) == made.inode != _here()
    netns.delete(name)
    assert not netns.exists(name)
    assert not made.path.exists()
    assert str(made.path) not in Path("/proc/self/mounts").read_text()


def test_one_made_by_ip_netns_is_like_ours(name: str) -> None:
    subprocess.run(["ip", "netns", "add", name], check=True)
    assert netns.exists(name)
    with pytest.raises(Conflict):
        netns.create(name)
    netns.delete(name)
    assert name not in netns.list_names()


def test_a_name_that_two_have_given_at_once_goes(name: str) -> None:
    made = netns.create(name)
    subprocess.run(["mount", "--bind", "/proc/self/ns/net", str(made.path)], check=True)
    netns.delete(name)
    assert not made.path.exists()


def test_a_file_that_no_namespace_is_mounted_on_is_not_entered(name: str) -> None:
    path = netns.BASE / name
    path.touch()
    with pytest.raises(NotFound, match="no namespace has that name"):
        netns.run_in(path, _here)


def test_the_maker_stays_where_it_was(name: str) -> None:
    before = _here()
    netns.create(name)
    assert _here() == before


def test_a_leftover_file_is_no_namespace_and_is_used(name: str) -> None:
    netns.BASE.mkdir(exist_ok=True)
    (netns.BASE / name).touch()
    assert not netns.exists(name)
    assert name not in netns.list_names()
    netns.create(name)
    assert netns.exists(name)


def test_deleting_what_is_not_there_is_fine(name: str) -> None:
    netns.delete(name)
    netns.delete(name)


def test_run_in_enters_and_comes_back(name: str) -> None:
    made, before = netns.create(name), _here()
    assert netns.run_in(made.path, _here) == made.inode
    assert _here() == before
    assert netns.run_in(None, _here) == before


def test_run_in_comes_back_after_an_error(name: str) -> None:
    made, before = netns.create(name), _here()

    def fail() -> None:
        raise RuntimeError("in there")

    with pytest.raises(RuntimeError, match="in there"):
        netns.run_in(made.path, fail)
    assert _here() == before


def test_a_worker_finds_the_host_from_anywhere(name: str) -> None:
    made, before = netns.create(name), _here()
    with ThreadPoolExecutor(1) as worker:
        both = worker.submit(netns.run_in, made.path, lambda: (netns.run_in(netns.HOST, _here), _here())).result()
        assert both == (before, made.inode)
        assert worker.submit(_here).result() == before


def test_no_descriptor_is_left_open(name: str) -> None:
    made = netns.create(name)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        netns.run_in(made.path, _here)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_base_directory_of_its_own(tmp_path: Path) -> None:
    base = tmp_path / "netns"
    try:
        made = netns.create("a", base)
        assert made.path == base / "a"
        netns.create("b", base)
        assert netns.list_names(base) == ["a", "b"]
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        assert mounts.count(str(base)) == 1
    finally:
        for each in ("a", "b"):
            netns.delete(each, base)
        subprocess.run(["umount", base], check=True)


def test_absent_ones_are_not_found(tmp_path: Path) -> None:
    assert netns.list_names(tmp_path / "none") == []
    assert not netns.exists("x", tmp_path)
    for call in (lambda: netns.identify(tmp_path / "x"), lambda: netns.run_in(tmp_path / "x", _here)):
        with pytest.raises(NotFound):
            call()


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a\0b", "x" * 256])
def test_names_that_are_no_file_names_are_refused(bad: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        netns.create(bad, tmp_path)
