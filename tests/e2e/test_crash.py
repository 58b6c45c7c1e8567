"""shoald is killed in the middle of everything: each life comes out as an undisturbed one. `make soak` has more."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import Machine
from tests.faults.cycles import crashes

pytestmark = [pytest.mark.root, pytest.mark.e2e]

# Another one each time would find more, and say nothing of whose change it was: `make soak` has them.
SEED = int(os.environ.get("SHOAL_SEED", "7"))
ROUNDS = int(os.environ.get("SHOAL_CRASHES", "10"))


@pytest.fixture
def own() -> Iterator[Machine]:
    """A machine of the test's own, since images come and go."""
    machine = Machine(Path(tempfile.mkdtemp(prefix="shoal-e2e-")))
    try:
        machine.start(load=("nginx",))
        yield machine
    finally:
        left = machine.stop()
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.mark.timeout(600)
def test_shoald_is_killed_again_and_again(own: Machine) -> None:
    assert crashes(own, rounds=ROUNDS, seed=SEED).startswith("shoald was killed")
