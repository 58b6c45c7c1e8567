"""/etc/hosts and /etc/resolv.conf as containers get them."""

from pathlib import Path

import pytest

from shoal.engine.files import HostResolver, hosts, own_addresses, resolv_conf, write
from shoal.objects.container import Container, ContainerConfig, Endpoint, HostConfig, Sandbox
from shoal.objects.ids import ContainerId


def a_container(**host: object) -> Container:
    return Container(
        id=ContainerId("c" * 64),
        name="web",
        created="",
        image_id="",
        config=ContainerConfig(hostname="me", domainname=""),
        host_config=HostConfig(**host),  # type: ignore[arg-type]
        path="sh",
        args=[],
    )


def a_place(network: str, *addresses: str, gateway: str = "") -> Endpoint:
    return Endpoint(
        network_id=network,
        network_name=network,
        endpoint_id="e",
        interface="eth0",
        addresses=list(addresses),
        mac="",
        gateways=[gateway] if gateway else [],
    )


@pytest.fixture
def resolver(tmp_path: Path) -> HostResolver:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch one\nsearch two three\noptions edns0\n"
    )
    return HostResolver(path)


def test_hosts() -> None:
    sandbox = Sandbox(
        netns="n",
        endpoints=[
            a_place("net", "10.0.1.9/24", "fd00::9/64", gateway="10.0.1.1"),
            a_place("docker_gwbridge", "172.18.0.3/16"),
        ],
    )
    lines = hosts(
        a_container(extra_hosts=["a:1.2.3.4", "b=1.2.3.5", "six:fd00::1", "six2=fd00::2", "up:host-gateway"]), sandbox
    ).splitlines()
    assert lines[0].split() == ["127.0.0.1", "localhost"]
    assert [line.split() for line in lines if "::" not in line or "fd00" in line][1:] == [
        ["1.2.3.4", "a"],
        ["1.2.3.5", "b"],
        ["fd00::1", "six"],
        ["fd00::2", "six2"],
        ["10.0.1.1", "up"],
        ["10.0.1.9", "me"],
        ["fd00::9", "me"],
    ]


def test_own_addresses() -> None:
    assert list(own_addresses(None)) == []
    assert list(own_addresses(Sandbox(netns="", endpoints=[a_place("docker_gwbridge", "172.18.0.3/16")]))) == [
        "172.18.0.3"
    ]


def test_resolv_conf(resolver: HostResolver) -> None:
    assert resolv_conf(a_container(), resolver, embedded=True).splitlines() == [
        "nameserver 127.0.0.11", "search two three", "options ndots:0"
    ]  # fmt: skip
    plain = resolv_conf(a_container(), resolver, embedded=False)
    assert "127.0.0.53" not in plain and "nameserver 192.0.2.53" in plain
    assert "127.0.0.53" in resolv_conf(a_container(network_mode="host"), resolver, embedded=False)
    own = resolv_conf(a_container(dns=["9.9.9.9"], dns_search=["."], dns_options=["o"]), resolver, embedded=False)
    assert own.splitlines() == ["nameserver 9.9.9.9", "options o"]
    own = resolv_conf(a_container(dns_search=["x"]), resolver, embedded=False)
    assert own.splitlines() == ["nameserver 192.0.2.53", "search x"]


def test_upstreams(resolver: HostResolver, tmp_path: Path) -> None:
    assert [u.address for u in resolver.upstreams()] == ["127.0.0.53", "192.0.2.53"]
    assert [u.address for u in resolver.upstreams(["9.9.9.9", "rubbish"])] == ["9.9.9.9"]
    missing = HostResolver(tmp_path / "none")
    assert missing.upstreams() == () and missing.search() == [] and missing.without_loopback() == ""
    (tmp_path / "resolv.conf").write_bytes(b"nameserver\nnameserver \xff\n\n")
    assert resolver.upstreams() == ()
    assert isinstance(resolver.without_loopback(), str)


def test_files_are_written_in_place(tmp_path: Path) -> None:
    write(tmp_path / "c", hostname="me", hosts_text="a", resolv="b")
    before = (tmp_path / "c" / "hosts").stat().st_ino
    write(tmp_path / "c", hostname="you", hosts_text="c", resolv="d")
    assert (tmp_path / "c" / "hosts").stat().st_ino == before
    assert (tmp_path / "c" / "hostname").read_text() == "you\n"
