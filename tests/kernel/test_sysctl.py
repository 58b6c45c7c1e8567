"""Sysctls of a namespace; as root."""

import os
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from shoal.errors import Internal, InvalidArgument, NotFound
from shoal.kernel import changes, netns, sysctl
from shoal.kernel.netlink import Netlink
from shoal.kernel.netns import Namespace

pytestmark = pytest.mark.root


@pytest.fixture
def spaces() -> Iterator[list[Namespace]]:
    """Two namespaces of this test's own."""
    names = [f"t-{os.getpid()}-{uuid.uuid4().hex[:6]}" for _ in range(2)]
    try:
        yield [netns.create(name) for name in names]
    finally:
        for name in names:
            netns.delete(name)


def test_each_namespace_has_its_own(spaces: list[Namespace]) -> None:
    key = "net.ipv4.conf.lo.rp_filter"
    here = sysctl.read(None, [key])
    sysctl.write(spaces[0].path, key, 2)
    sysctl.write(spaces[1].path, key, "1")
    assert [sysctl.read(space.path, [key]) for space in spaces] == [{key: "2"}, {key: "1"}]
    assert sysctl.read(None, [key]) == here


def test_several_values_in_one(spaces: list[Namespace]) -> None:
    sysctl.write(spaces[0].path, "net.ipv4.ping_group_range", "0 7")
    key = "net.ipv4.ping_group_range"
    assert sysctl.read(spaces[0].path, [key])[key].split() == ["0", "7"]


def test_a_link_with_a_dot_in_its_name(spaces: list[Namespace]) -> None:
    with closing(Netlink.open(spaces[0].path)) as sock:
        sock.apply([changes.add_bridge("br.7")])
    key = "net/ipv4/conf/br.7/rp_filter"
    sysctl.write(spaces[0].path, key, 2)
    assert sysctl.read(spaces[0].path, [key]) == {key: "2"}


def test_what_is_not_there(spaces: list[Namespace]) -> None:
    present, absent = "net.ipv4.ip_forward", "net.ipv4.absent"
    assert sysctl.read(spaces[0].path, [present, absent]).keys() == {present}
    with pytest.raises(NotFound):
        sysctl.write(spaces[0].path, "net.ipv4.absent", 1)
    with pytest.raises(NotFound):
        sysctl.read(spaces[0].path.with_name("absent"), [present])


def test_a_value_that_the_kernel_does_not_take(spaces: list[Namespace]) -> None:
    with pytest.raises(Internal, match="Invalid argument"):
        sysctl.write(spaces[0].path, "net.ipv4.ip_forward", "nonsense")


@pytest.mark.parametrize("key", ["kernel.hostname", "net", "net.ipv4", "net/../kernel/hostname", "net..x", ""])
def test_only_the_networks_are_ours(key: str) -> None:
    with pytest.raises(InvalidArgument):
        sysctl.read(None, [key])
