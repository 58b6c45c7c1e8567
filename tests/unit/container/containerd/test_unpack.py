"""Names of chains of layers."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from shoal.container.containerd.unpack import chain_id

digests = st.binary(max_size=4).map(lambda data: f"sha256:{sha256(data).hexdigest()}")


def test_the_definition_of_the_image_specification() -> None:
    assert chain_id([]) == ""
    assert chain_id(["sha256:a"]) == "sha256:a"
    two = f"sha256:{sha256(b'sha256:a sha256:b').hexdigest()}"
    assert chain_id(["sha256:a", "sha256:b"]) == two


@given(st.lists(digests, min_size=1), digests)
def test_a_layer_on_top_of_a_chain(lower: list[str], upper: str) -> None:
    assert chain_id([*lower, upper]) == chain_id([chain_id(lower), upper])
