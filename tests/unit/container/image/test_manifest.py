"""Manifests, of both kinds, are read and written the same."""

import pytest

from shoal.container.image.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA1_MANIFESTS,
    Descriptor,
    Index,
    Manifest,
    Platform,
    digest_of,
    encode,
    media_type_of,
    parse_index,
    parse_manifest,
)
from shoal.errors import InvalidArgument

BLOB = Descriptor(media_type="x", digest=digest_of(b"x"), size=1)


def test_round_trip() -> None:
    manifest = Manifest(config=BLOB, layers=[BLOB, BLOB], media_type=DOCKER_MANIFEST)
    assert b'"schemaVersion": 2' in encode(manifest)
    assert parse_manifest(encode(manifest)) == manifest
    platform = Platform(architecture="arm", os="linux", variant="v7", os_version="1")
    index = Index(manifests=[Descriptor(media_type="m", digest=BLOB.digest, size=2, platform=platform)])
    assert b'"os.version": "1"' in encode(index)
    assert parse_index(encode(index)) == index


@pytest.mark.parametrize(
    ("content", "declared", "kind"),
    [
        (b"{}", DOCKER_INDEX + "; charset=utf-8", DOCKER_INDEX),
        (b'{"mediaType":"%s"}' % OCI_MANIFEST.encode(), "text/plain", OCI_MANIFEST),
        (b'{"schemaVersion":2,"manifests":[]}', "", OCI_INDEX),
        (b'{"schemaVersion":2,"layers":[]}', "application/json", OCI_MANIFEST),
    ],
)
def test_the_kind_of_document(content: bytes, declared: str, kind: str) -> None:
    assert media_type_of(content, declared) == kind


def test_schema_1_is_known_as_such() -> None:
    assert media_type_of(b'{"schemaVersion":1}', "") in SCHEMA1_MANIFESTS


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"layers":[]}', b'{"config":1,"layers":[]}'])
def test_broken_manifests_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidArgument, match="invalid manifest"):
        parse_manifest(content)
