"""Messages are, byte for byte, what dockerd sends."""

import msgspec

from shoal.container.image.manifest import Descriptor, digest_of
from shoal.container.image.progress import (
    LoadReport,
    Progress,
    PullReport,
    Pushed,
    failure,
    human,
    line,
    step,
    transfer,
)


def encoded(message: Progress) -> str:
    return msgspec.json.encode(message).decode()


def test_messages() -> None:
    assert encoded(line("Pulling from bb", "2")) == '{"status":"Pulling from bb","id":"2"}'
    assert encoded(step("a1", "Pull complete")) == '{"status":"Pull complete","id":"a1","progressDetail":{}}'
    assert encoded(transfer("a1", "Downloading", 1738752, 1982263)) == (
        '{"status":"Downloading","id":"a1","progressDetail":{"current":1738752,"total":1982263},'
        '"progress":"[===========================================>       ]  1.739MB/1.982MB"}'
    )
    assert encoded(transfer("a1", "Extracting", 130, 130)).endswith(
        '"[==================================================>]     130B/130B"}'
    )
    assert encoded(failure("no")) == '{"error":"no","errorDetail":{"message":"no"}}'
    assert encoded(Progress(aux=Pushed("2", "d", 3))) == '{"aux":{"Tag":"2","Digest":"d","Size":3}}'


def test_sizes() -> None:
    assert [human(n) for n in (0, 999, 1000, 34816, 10**9)] == ["0B", "999B", "1kB", "34.82kB", "1GB"]


def test_a_layer_that_is_here_is_said_once() -> None:
    layers = [Descriptor(media_type="x", digest=digest_of(bytes([n])), size=10) for n in range(2)]
    heard: list[Progress] = []
    report = PullReport(layers, heard.append)
    report.found([True, False])
    for index in range(2):
        report.receiving(index, 5)
        report.received(index)
        report.unpacking(index)
        report.unpacked(index)
    assert [m.status for m in heard] == [
        "Already exists",
        "Pulling fs layer",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
    ]
    heard.clear()
    loading = LoadReport(layers, ["sha256:" + "c" * 64] * 2, heard.append)
    loading.found([True, False])
    loading.receiving(0, 10)
    loading.receiving(1, 10)
    assert [(m.status, m.id) for m in heard] == [("Loading layer", "c" * 12)]
