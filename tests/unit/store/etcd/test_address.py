"""Where an etcd is."""

from pathlib import Path

import pytest

from shoal.errors import InvalidArgument
from shoal.store.etcd.address import PREFIX, TLS, Address


@pytest.mark.parametrize(
    ("url", "endpoints", "prefix"),
    [
        ("etcd://10.0.0.1:2379", ("10.0.0.1:2379",), PREFIX),
        ("etcd://a:1,b.example:2,c/", ("a:1", "b.example:2", "c:2379"), PREFIX),
        ("etcd://[fd00::1]:2379,[::1]/x/y", ("[fd00::1]:2379", "[::1]:2379"), "/x/y/"),
        ("etcd://a/x//", ("a:2379",), "/x/"),
    ],
)
def test_an_address_is_parsed(url: str, endpoints: tuple[str, ...], prefix: str) -> None:
    assert Address.parse(url) == Address(endpoints, prefix)


@pytest.mark.parametrize(
    "url",
    ["", "etcd://", "etcd:///x", "http://a:1", "a:2379", "etcd://a:0", "etcd://a:65536", "etcd://a,,b", "etcd://a:x"]
    + ["etcd://u@a", "etcd://::1", "etcd://[::1", "etcd://a b", "etcd://a/x?tls=1", "etcd://a/x#y"],
)
def test_what_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="etcd address|no host:port"):
        Address.parse(url)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(InvalidArgument, match=f"cannot read {missing}.*No such file"):
        TLS(missing, missing, missing).credentials()
