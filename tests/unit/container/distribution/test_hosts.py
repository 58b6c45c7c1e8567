"""Where repositories are looked for."""

from pathlib import Path

import pytest

from shoal.container.distribution.hosts import Host, RegistryConfig, check_mirror, hosts, is_insecure
from shoal.errors import InvalidArgument


def bases(domain: str, config: RegistryConfig, *, push: bool = False) -> list[str]:
    return [host.base for host in hosts(domain, config, push=push)]


def test_the_hub_and_its_mirrors() -> None:
    assert bases("docker.io", RegistryConfig()) == ["https://registry-1.docker.io/v2/"]
    config = RegistryConfig(mirrors=("http://127.0.0.1:5000", "https://m.example/p/"))
    assert bases("docker.io", config) == [
        "http://127.0.0.1:5000/v2/",
        "https://m.example/p/v2/",
        "https://registry-1.docker.io/v2/",
    ]
    assert bases("docker.io", config, push=True) == ["https://registry-1.docker.io/v2/"]
    assert bases("ghcr.io", config) == ["https://ghcr.io/v2/"]


def test_insecure_ones_fall_back_to_http() -> None:
    assert hosts("127.0.0.1:5000", RegistryConfig()) == [
        Host("https", "127.0.0.1:5000", verify=False),
        Host("http", "127.0.0.1:5000", verify=False),
    ]
    assert bases("r.example:80", RegistryConfig(insecure=("r.example:80",)))[1] == "http://r.example:80/v2/"
    assert hosts("10.1.2.3", RegistryConfig()) == [Host("https", "10.1.2.3")]


@pytest.mark.parametrize(
    ("authority", "insecure", "expected"),
    [
        ("127.8.9.1:5000", (), True),
        ("[::1]:5000", (), True),
        ("localhost:5000", (), True),
        ("10.1.2.3:5000", (), False),
        ("10.1.2.3:5000", ("10.0.0.0/8",), True),
        ("10.1.2.3:5000", ("10.1.2.3:5000",), True),
        ("10.1.2.3:5001", ("10.1.2.3:5000",), False),
        ("r.example", ("10.0.0.0/8",), False),
    ],
)
def test_what_is_insecure(authority: str, insecure: tuple[str, ...], expected: bool) -> None:
    assert is_insecure(authority, insecure) is expected


@pytest.mark.parametrize("url", ["ftp://x", "x", "https://u@x", "https://x?a=b"])
def test_bad_mirrors(url: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid mirror"):
        check_mirror(url)


def test_certificates_are_dockers() -> None:
    assert RegistryConfig().certificates == Path("/etc/docker/certs.d")
