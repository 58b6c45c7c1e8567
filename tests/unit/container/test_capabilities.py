"""Default set, additions, drops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.container import capabilities
from shoal.container.capabilities import ALL, DEFAULT, granted
from shoal.errors import InvalidArgument

names = st.frozensets(st.sampled_from(["ALL", *ALL]), max_size=5)


def test_the_default_set_is_dockers() -> None:
    assert sum(1 << ALL.index(name) for name in DEFAULT) == 0xA80425FB


def test_a_mask_and_its_names() -> None:
    assert capabilities.in_mask(0xA80425FB) == granted(add=(), drop=(), privileged=False, host=ALL)
    assert capabilities.in_mask(0x1FFFFFFFFFF) == ALL


def test_spellings() -> None:
    for spelling in ("net_admin", "CAP_NET_ADMIN", "cap_net_admin", "NET_ADMIN"):
        assert "CAP_NET_ADMIN" in granted(add=[spelling], drop=[], privileged=False, host=ALL)


def test_what_the_host_lacks() -> None:
    host = tuple(name for name in ALL if name not in ("CAP_SYS_RESOURCE", "CAP_CHOWN"))
    assert "CAP_CHOWN" not in granted(add=[], drop=[], privileged=False, host=host)
    assert granted(add=["ALL"], drop=[], privileged=False, host=host) == host
    with pytest.raises(InvalidArgument, match="CAP_SYS_RESOURCE"):
        granted(add=["sys_resource"], drop=[], privileged=False, host=host)


@given(names, names)
def test_additions_are_in_and_drops_are_out(add: frozenset[str], drop: frozenset[str]) -> None:
    result = granted(add=add, drop=drop, privileged=False, host=ALL)
    assert list(result) == sorted(result, key=ALL.index)
    assert not set(result) & drop
    assert add - drop - {"ALL"} <= set(result)
    if "ALL" in drop and "ALL" not in add:
        assert set(result) == add - drop
    if not add and not drop:
        assert set(result) == set(DEFAULT)
