"""Names of chains of layers."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.container.containerd.images import Descriptor
from shoal.container.containerd.unpack import chain_id, explained
from shoal.errors import Internal, InvalidArgument, ShoalError

digests = st.binary(max_size=4).map(lambda data: f"sha256:{sha256(data).hexdigest()}")


def test_the_definition_of_the_image_specification() -> None:
    assert chain_id([]) == ""
    assert chain_id(["sha256:a"]) == "sha256:a"
    two = f"sha256:{sha256(b'sha256:a sha256:b').hexdigest()}"
    assert chain_id(["sha256:a", "sha256:b"]) == two


@given(st.lists(digests, min_size=1), digests)
def test_a_layer_on_top_of_a_chain(lower: list[str], upper: str) -> None:
    assert chain_id([*lower, upper]) == chain_id([chain_id(lower), upper])


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ("mount callback failed on /d/tmpmounts/containerd-mount17: unexpected EOF", InvalidArgument, "unexpected EOF"),
        ("mount callback failed on /d/x: archive/tar: invalid tar header", InvalidArgument, "archive/tar: invalid"),
        ("mount callback failed on /d/x: link /d/tmpmounts/containerd-mount1/etc/x /d/tmpmounts/containerd-mount1/h: "
         "no such file or directory", InvalidArgument, "link /etc/x /h: no such file"),
        ("mount callback failed on /d/x: write /d/tmpmounts/containerd-mount1/f: no space left on device",
         Internal, "write /f: no space left"),
    ],
)  # fmt: skip
def test_whose_fault_it_is_that_a_layer_does_not_unpack(said: str, kind: type[ShoalError], text: str) -> None:
    layer = Descriptor("m", "sha256:1", 1)
    error = explained(layer, Internal(said))
    assert type(error) is kind
    assert str(error).startswith(f"layer sha256:1 cannot be unpacked: {text}")
    assert "mount" not in str(error)
