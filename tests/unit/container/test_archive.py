"""Archives in every form docker save has had; what leads out of them is refused."""

import asyncio
import gzip
import io
import tarfile
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from shoal.container.archive import Archive, ArchivedImage
from shoal.container.image.config import History, ImageConfig, RootFS, encode_config
from shoal.container.image.manifest import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
    digest_of,
    encode,
)
from shoal.container.image.save import SavedImage, write_archive
from shoal.container.reference import parse
from shoal.errors import InvalidArgument

AMD64 = Platform(os="linux", architecture="amd64")
LAYERS = [b"first layer" * 1000, b"second"]
CONFIG = encode_config(
    ImageConfig(
        architecture="amd64",
        os="linux",
        rootfs=RootFS(diff_ids=[digest_of(layer) for layer in LAYERS]),
        history=[History(created_by="x")],
    )
)


def tar_of(files: dict[str, bytes | str]) -> io.BufferedRandom:
    """A tar on disk; a str is where a symlink leads."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return on_disk(out.getvalue())


def on_disk(data: bytes) -> io.BufferedRandom:
    with tempfile.NamedTemporaryFile(delete=False) as named:
        named.write(data)
    file = open(named.name, "r+b")
    Path(named.name).unlink()
    return file


def read_all(archive: Archive, image: ArchivedImage) -> dict[str, bytes]:
    async def read() -> dict[str, bytes]:
        return {digest: b"".join([c async for c in archive.read(member)]) for digest, member in image.blobs.items()}

    return asyncio.run(read())


def docker_archive(layers: list[bytes], **extra: bytes | str) -> dict[str, bytes | str]:
    entry = [{"Config": "cfg.json", "RepoTags": ["bb:2", "r.example/x:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]
    files: dict[str, bytes | str] = {"cfg.json": CONFIG, "a/layer.tar": layers[0], "b/layer.tar": layers[1]}
    return files | {"manifest.json": msgspec.json.encode(entry)} | extra


def test_the_form_of_docker_20() -> None:
    with tar_of(docker_archive(LAYERS)) as file:
        archive = Archive(file)
        [image] = archive.images(AMD64)
        assert [name.familiar for name in image.names] == ["bb:2", "r.example/x:1"]
        assert image.manifest.config.digest == digest_of(CONFIG)
        assert [layer.media_type for layer in image.manifest.layers] == [DOCKER_LAYER] * 2
        assert read_all(archive, image) == {digest_of(blob): blob for blob in (CONFIG, *LAYERS)}
        assert digest_of(image.manifest_content) == digest_of(encode(image.manifest))


def test_compressed_layers_and_links() -> None:
    packed = [gzip.compress(layer) for layer in LAYERS]
    files = docker_archive(packed) | {"b/layer.tar": "../c/layer.tar", "c/layer.tar": packed[1]}
    with tar_of(files) as file:
        archive = Archive(file)
        [image] = archive.images(AMD64)
        assert [layer.media_type for layer in image.manifest.layers] == [DOCKER_LAYER_GZIP] * 2
        assert [layer.digest for layer in image.manifest.layers] == [digest_of(layer) for layer in packed]
        assert read_all(archive, image)[digest_of(packed[1])] == packed[1]


def layout() -> tuple[dict[str, bytes], Descriptor, Manifest]:
    packed = [gzip.compress(layer) for layer in LAYERS]
    manifest = Manifest(
        config=Descriptor(media_type=OCI_CONFIG, digest=digest_of(CONFIG), size=len(CONFIG)),
        layers=[Descriptor(media_type=OCI_LAYER_GZIP, digest=digest_of(p), size=len(p)) for p in packed],
        media_type=OCI_MANIFEST,
    )
    content = encode(manifest)
    blobs = {digest_of(blob): blob for blob in (CONFIG, content, *packed)}
    return blobs, Descriptor(media_type=OCI_MANIFEST, digest=digest_of(content), size=len(content)), manifest


def test_an_oci_layout_with_a_nested_index() -> None:
    blobs, target, manifest = layout()
    other = Descriptor(
        media_type=OCI_MANIFEST, digest=digest_of(b"gone"), size=4, platform=Platform(os="linux", architecture="arm64")
    )
    nested = encode(Index(manifests=[other, msgspec.structs.replace(target, platform=AMD64)], media_type=OCI_INDEX))
    blobs[digest_of(nested)] = nested
    top = Descriptor(
        media_type=OCI_INDEX,
        digest=digest_of(nested),
        size=len(nested),
        annotations={"io.containerd.image.name": "docker.io/library/bb:2"},
    )
    files: dict[str, bytes | str] = {f"blobs/sha256/{digest[7:]}": blob for digest, blob in blobs.items()}
    files |= {"oci-layout": b"{}", "index.json": encode(Index(manifests=[top]))}
    with tar_of(files) as file:
        archive = Archive(file)
        [image] = archive.images(AMD64)
        assert (image.manifest, [n.familiar for n in image.names]) == (manifest, ["bb:2"])
        assert set(read_all(archive, image)) == {manifest.config.digest, *(la.digest for la in manifest.layers)}
        with pytest.raises(InvalidArgument, match="no matching manifest for linux/s390x"):
            archive.images(Platform(os="linux", architecture="s390x"))


def test_what_is_written_reads_back_with_both_kinds_of_reader() -> None:
    blobs, target, manifest = layout()

    async def read(digest: str) -> AsyncIterator[bytes]:
        yield blobs[digest]

    async def write() -> bytes:
        names = (parse("bb:2"), parse("r.example/x:1"))
        saved = [SavedImage(target, manifest, names), SavedImage(target, manifest, ())]
        return b"".join([piece async for piece in write_archive(saved, read)])

    data = asyncio.run(write())
    with on_disk(data) as file:
        archive = Archive(file)
        [image] = archive.images(AMD64)
        assert digest_of(image.manifest_content) == target.digest
        assert [n.familiar for n in image.names] == ["bb:2", "r.example/x:1"]
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = {m.name: (tar.extractfile(m) or io.BytesIO()).read() for m in tar if m.isreg()}
    assert sum(name.startswith("blobs/") for name in files) == len(blobs)
    del files["index.json"]
    with tar_of(dict(files)) as file:
        first, second = Archive(file).images(AMD64)
        assert [n.familiar for n in first.names] == ["bb:2", "r.example/x:1"]
        assert not second.names and second.manifest.config.digest == digest_of(CONFIG)
    assert msgspec.json.decode(files["repositories"]).keys() == {"bb", "r.example/x"}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
def test_names_that_lead_out_are_refused(name: str) -> None:
    with tar_of(docker_archive(LAYERS, **{name: b"x"})) as file, pytest.raises(InvalidArgument, match="leads out"):
        Archive(file)
    entry = msgspec.json.encode([{"Config": name, "Layers": []}])
    with tar_of({"manifest.json": entry}) as file, pytest.raises(InvalidArgument, match="leads out"):
        Archive(file).images(AMD64)


def test_links_that_lead_out_are_refused() -> None:
    with tar_of(docker_archive(LAYERS) | {"a/l": "../../x"}) as file, pytest.raises(InvalidArgument, match="leads out"):
        Archive(file)


def encoded(**entry: object) -> bytes:
    return msgspec.json.encode([{"Layers": [], **entry}])


def test_a_digest_is_no_name_for_an_image() -> None:
    config = encode_config(ImageConfig(architecture="amd64", os="linux"))
    files = {"c": config, "manifest.json": encoded(Config="c", RepoTags=["x@sha256:" + "0" * 64])}
    with tar_of(dict(files)) as file, pytest.raises(InvalidArgument, match="invalid tag"):
        Archive(file).images(AMD64)


def test_sizes_that_a_layout_lies_about() -> None:
    blobs, _target, manifest = layout()
    for wrong in (0, 1 << 40, -1):
        layers = [msgspec.structs.replace(manifest.layers[0], size=wrong), *manifest.layers[1:]]
        content = encode(msgspec.structs.replace(manifest, layers=layers))
        top = Descriptor(media_type=OCI_MANIFEST, digest=digest_of(content), size=len(content))
        files: dict[str, bytes | str] = {
            f"blobs/sha256/{digest[7:]}": blob for digest, blob in (blobs | {top.digest: content}).items()
        }
        files |= {"oci-layout": b"{}", "index.json": encode(Index(manifests=[top]))}
        with tar_of(files) as file, pytest.raises(InvalidArgument, match="its manifest says"):
            Archive(file).images(AMD64)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"x": b""}, "does not contain a manifest.json"),
        ({"manifest.json": b"{}"}, "manifest.json"),
        ({"manifest.json": b'[{"Config":"c","Layers":[]}]'}, "c is missing"),
        (docker_archive(LAYERS, **{"cfg.json": b"{}"}), "layers length mismatch"),
        (docker_archive(LAYERS, **{"cfg.json": b"[]"}), "invalid image config"),
        (docker_archive(LAYERS, **{"cfg.json": b'{"a":' + b"[" * 100_000}), "invalid image config"),
        (docker_archive(LAYERS, **{"cfg.json": b'{"os":"\xff"}'}), "invalid image config"),
    ],
)
def test_broken_archives(files: dict[str, bytes | str], message: str) -> None:
    with tar_of(files) as file, pytest.raises(InvalidArgument, match=message):
        Archive(file).images(AMD64)


def test_more_files_than_there_is_memory_for() -> None:
    head = tarfile.TarInfo("f").tobuf()
    with on_disk(head * 20_002) as file, pytest.raises(InvalidArgument, match="more than 20000 files"):
        Archive(file)


def test_no_archive_at_all() -> None:
    with on_disk(b"no tar " * 1000) as file, pytest.raises(InvalidArgument, match="invalid archive"):
        Archive(file)
