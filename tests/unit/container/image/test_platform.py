"""The right manifest of an index is chosen."""

import pytest

from shoal.container.image.manifest import Descriptor, Platform
from shoal.container.image.platform import matches, normalise, parse_platform, select
from shoal.errors import InvalidArgument


def manifest(text: str) -> Descriptor:
    system, architecture, *variant = text.split("/")
    platform = Platform(os=system, architecture=architecture, variant=variant[0] if variant else "")
    return Descriptor(media_type="m", digest=text, size=1, platform=platform)


ALL = ["linux/386", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "linux/amd64", "windows/amd64", "unknown/unknown"]


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ALL, "linux/amd64"),
        ("linux/x86_64", ALL, "linux/amd64"),
        ("linux/arm64", ALL, "linux/arm64/v8"),
        ("linux/aarch64", ["linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm", ALL, "linux/arm/v7"),
        ("linux/arm/v6", ALL, "linux/arm/v6"),
        ("linux/arm/v5", ALL, None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2"], "linux/amd64/v2"),
        ("linux/amd64", ["linux/amd64/v2"], None),
        ("linux/s390x", ALL, None),
    ],
)
def test_select(wanted: str, offered: list[str], chosen: str | None) -> None:
    found = select([manifest(text) for text in offered], parse_platform(wanted))
    assert (found.digest if found else None) == chosen


def test_one_without_a_platform_comes_last() -> None:
    bare = Descriptor(media_type="m", digest="bare", size=1)
    assert select([bare, manifest("linux/amd64")], parse_platform("linux/amd64")) == manifest("linux/amd64")
    assert select([bare, manifest("linux/386")], parse_platform("linux/amd64")) == bare


def test_spellings() -> None:
    assert normalise(Platform(os="Linux", architecture="armhf")) == Platform(
        os="linux", architecture="arm", variant="v7"
    )
    assert str(parse_platform("arm64/v8")) == "arm64/v8"
    assert str(parse_platform("amd64")) == "linux/amd64"
    assert parse_platform("linux").architecture
    assert matches(Platform(os="linux", architecture="arm64", variant="v8"), parse_platform("linux/arm64"))


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/am d64"])
def test_bad_platforms(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_platform(text)
