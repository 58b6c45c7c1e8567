"""dockerd's flags and file: what is taken, what is refused, what is said to mean nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from shoal.daemon.config import Config, parse
from shoal.errors import InvalidArgument
from shoal.store.etcd.address import Address


def configured(folder: Path, *flags: str, **file: Any) -> Config:
    path = folder / "daemon.json"
    path.write_text(json.dumps({key.replace("_", "-"): value for key, value in file.items()}))
    return parse([*flags, "--config-file", str(path)])


def test_flags(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        *("-H", "unix:///a", "-H", "tcp://b", "--data-root", "/d", "--label", "a=b", "--label", "c=", "--mtu", "1400"),
        *("--default-address-pool", "base=10.0.0.0/8,size=24", "--bip", "10.1.0.1/24", "--dns", "9.9.9.9", "-D"),
        *("--insecure-registry", "r:5000", "--registry-mirror", "https://m", "--tlsverify", "--tlscacert", "/ca"),
    )
    assert config.hosts == ("unix:///a", "tcp://b")
    assert (config.data_root, config.mtu, config.bip, config.debug) == (Path("/d"), 1400, "10.1.0.1/24", True)
    assert (config.labels, config.dns) == (("a=b", "c="), ("9.9.9.9",))
    assert config.default_address_pools == (("10.0.0.0/8", 24),)
    assert (config.registry_mirrors, config.insecure_registries) == (("https://m",), ("r:5000",))
    assert config.tls.enabled and config.tls.verify and config.tls.ca == Path("/ca")
    assert config.notices == ()


def test_the_file(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        hosts=["unix:///a"],
        data_root="/d",
        debug=True,
        mtu=1400,
        labels=["a=b"],
        default_address_pools=[{"base": "10.0.0.0/8", "size": 24}],
        log_level="warn",
        tls=True,
    )
    assert (config.hosts, config.data_root, config.debug, config.mtu) == (("unix:///a",), Path("/d"), True, 1400)
    assert config.default_address_pools == (("10.0.0.0/8", 24),)
    assert config.tls.enabled and not config.tls.verify


@pytest.mark.parametrize(
    ("flag", "debug"), [("--debug", True), ("--debug=true", True), ("--debug=0", False), ("--debug=false", False)]
)
def test_booleans_as_gos(tmp_path: Path, flag: str, debug: bool) -> None:
    assert configured(tmp_path, flag).debug is debug


def test_no_file_is_fine_but_one_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read: No such file"):
        parse(["--config-file", str(tmp_path / "none.json")])
    (tmp_path / "daemon.json").write_text("{")
    with pytest.raises(InvalidArgument, match="unable to configure the daemon with file"):
        parse(["--config-file", str(tmp_path / "daemon.json")])
    (tmp_path / "daemon.json").write_text("[]")
    with pytest.raises(InvalidArgument, match="holds no JSON object"):
        parse(["--config-file", str(tmp_path / "daemon.json")])


def test_what_means_nothing_here_is_said(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        *("--storage-driver", "overlay2", "--icc=false", "--live-restore", "--log-opt", "a=b", "--log-opt", "c=d"),
        *("--dns-search", "x", "--userland-proxy=false"),
        log_opts={"max-size": "10m"},
        exec_opts=["native.cgroupdriver=systemd"],
        max_concurrent_downloads=3,
        storage_driver="vfs",
    )
    named = {notice.split()[0] for notice in config.notices}
    assert named == {
        "storage-driver", "icc", "live-restore", "log-opt", "dns-search", "userland-proxy", "log-opts", "exec-opts",
        "max-concurrent-downloads",
    }  # fmt: skip
    assert all(notice.endswith("has no meaning here and is ignored") for notice in config.notices)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--nope",), "unknown flag or argument: --nope\nSee 'shoald --help'."),
        (("stray",), "unknown flag or argument: stray"),
        (("--data-roo", "/x"), "unknown flag"),
        (("--mtu", "many"), "--mtu: invalid int value: 'many'"),
        (("--mtu", "-5"), "invalid default MTU value: -5"),
        (("--mtu", "67"), "invalid default MTU value: 67"),
        (("--debug=perhaps",), "--debug"),
        (("--log-level", "loud"), "invalid logging level: loud"),
        (("--dns", "ns.example"), "ns.example is not an ip address"),
        (("--bip", "rubbish"), "invalid --bip rubbish"),
        (("--label", "x"), "bad attribute format: x"),
        (("--default-address-pool", "base=10.0.0.0/8,size=4"), "no /4 fits into 10.0.0.0/8"),
        (("--default-address-pool", "base=10.0.0.0/8,size=33"), "no /33 fits"),
        (("--default-address-pool", "rubbish"), "base=CIDR,size=N is expected"),
    ],
)
def test_flags_that_cannot_be(tmp_path: Path, flags: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        configured(tmp_path, *flags)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hosts", "unix:///x"),
        ("hosts", [1]),
        ("debug", "yes"),
        ("debug", 1),
        ("mtu", "1500"),
        ("mtu", True),
        ("data-root", 5),
        ("labels", {"a": "b"}),
        ("insecure-registries", "x"),
        ("default-address-pools", "x"),
        ("default-address-pools", [{"base": "x"}]),
        ("log-level", "loud"),
        ("dns", ["ns.example"]),
        ("tls", "x"),
    ],
)
def test_values_of_the_file_that_cannot_be(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(InvalidArgument):
        configured(tmp_path, **{key: value})


def test_unknown_keys_and_conflicts(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="don't match any configuration option: nope"):
        configured(tmp_path, nope=1)
    for flags, file in (
        (("-H", "unix:///a"), {"hosts": ["unix:///b"]}),
        (("--debug",), {"debug": True}),
        (("--label", "a=b"), {"labels": ["c=d"]}),
        (("--mtu", "0"), {"mtu": 0}),
    ):
        with pytest.raises(InvalidArgument, match="specified both as a flag and in the configuration file"):
            configured(tmp_path, *flags, **file)


def test_help_and_version_end_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--help", "--version"):
        with pytest.raises(SystemExit) as caught:
            parse([flag])
        assert caught.value.code == 0
    assert "Shoal version" in capsys.readouterr().out


def test_an_etcd_of_the_users_own(tmp_path: Path) -> None:
    config = configured(tmp_path, "--store", "etcd://a:1,b", store_cacert="/ca", store_cert="/cert", store_key="/key")
    assert config.store is not None and config.store.tls is not None
    assert config.store.address == Address(("a:1", "b:2379"), "/shoal/swarm/")
    assert config.store.tls.certificate == Path("/cert")
    plain = configured(tmp_path, store="etcd://a/mine").store
    assert plain is not None and (plain.address.prefix, plain.tls) == ("/mine/", None)
    assert Config().store is None
    for flags, words in (
        (("--store-key", "/key"), "which is missing"),
        (("--store", "etcd://a", "--store-key", "/key"), "with all of"),
        (("--store", "consul://a"), "is no etcd address"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            configured(tmp_path, *flags)
