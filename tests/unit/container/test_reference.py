"""References are read as Docker reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.container.reference import Reference, check_digest, is_image_id, parse, parse_image
from shoal.errors import InvalidArgument

DIGEST = "sha256:" + "ab" * 32

component = st.from_regex(r"[a-z0-9]{1,6}((\.|_{1,2}|-{1,2})[a-z0-9]{1,4}){0,2}", fullmatch=True)
domains = st.one_of(
    st.just("docker.io"),
    st.just("localhost"),
    st.from_regex(r"[a-z]{1,6}\.[a-z]{2,3}(:[1-9][0-9]{0,4})?", fullmatch=True),
    st.from_regex(r"127\.0\.0\.1:[1-9][0-9]{0,3}", fullmatch=True),
    st.just("[::1]:5000"),
)


@st.composite
def references(draw: st.DrawFn) -> Reference:
    domain = draw(domains)
    parts = draw(st.lists(component, min_size=1, max_size=3))
    if domain == "docker.io" and len(parts) == 1:
        parts.insert(0, "library")
    tag = draw(st.none() | st.from_regex(r"\w[\w.-]{0,20}", fullmatch=True).filter(str.isascii))
    digest = draw(st.none() | st.just(DIGEST))
    return Reference(domain, "/".join(parts), tag, digest)


@given(references())
def test_both_forms_read_back_as_the_same_reference(reference: Reference) -> None:
    assert parse(str(reference)) == reference
    assert parse(reference.familiar) == reference


@given(st.text(alphabet="abAB09.:/@-_ ", max_size=30))
def test_what_is_accepted_is_stable(text: str) -> None:
    try:
        reference = parse(text)
    except InvalidArgument:
        return
    assert parse(str(reference)) == reference
    assert parse(reference.familiar) == reference


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("nginx", "docker.io/library/nginx", "nginx"),
        ("nginx:1.25", "docker.io/library/nginx:1.25", "nginx:1.25"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("index.docker.io/nginx", "docker.io/library/nginx", "nginx"),
        ("docker.io/library/nginx", "docker.io/library/nginx", "nginx"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:x", "localhost:5000/app:x", "localhost:5000/app:x"),
        ("Registry/app", "Registry/app", "Registry/app"),
        ("ghcr.io/a/b/c", "ghcr.io/a/b/c", "ghcr.io/a/b/c"),
        (f"nginx@{DIGEST}", f"docker.io/library/nginx@{DIGEST}", f"nginx@{DIGEST}"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("docker.io/localhost/x", "docker.io/localhost/x", "docker.io/localhost/x"),
        ("a--b", "docker.io/library/a--b", "a--b"),
    ],
)
def test_forms(text: str, full: str, familiar: str) -> None:
    reference = parse(text)
    assert (str(reference), reference.familiar) == (full, familiar)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("nginx@sha256:aa", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a/b/", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("nginx:", "invalid reference format"),
        ("nginx:\n", "invalid reference format"),
        ("nginx:" + "x" * 129, "invalid reference format"),
        ("https://example.org/x", "invalid reference format"),
        ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
        ("foo/Bar:Tag", "invalid reference format: repository name (foo/Bar) must be lowercase"),
        ("nginx@md5:" + "a" * 32, "unsupported digest algorithm"),
        ("nginx@sha256:" + "a" * 63, "invalid checksum digest length"),
        ("nginx@sha256:" + "A" * 64, "invalid checksum digest format"),
        ("a" * 64, f"invalid repository name ({'a' * 64}), cannot specify 64-byte hexadecimal strings"),
        ("x/" + "a" * 254, "repository name must not be more than 255 characters"),
    ],
)
def test_errors_are_dockers(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        parse(text)
    assert str(error.value) == message


def test_the_apis_tag_parameter_replaces_the_one_in_the_name() -> None:
    assert parse_image("nginx:1", "2").familiar == "nginx:2"
    assert parse_image("nginx", DIGEST).familiar == f"nginx@{DIGEST}"
    assert parse_image("nginx").name_only
    assert parse_image("nginx").or_latest().familiar == "nginx:latest"
    with pytest.raises(InvalidArgument, match="invalid tag format"):
        parse_image("nginx", "$$")


def test_ids() -> None:
    assert is_image_id(DIGEST)
    assert not is_image_id(DIGEST[:-1])
    with pytest.raises(InvalidArgument, match="invalid checksum digest format"):
        check_digest("ab" * 32)
