"""shoald, and what it leans on, is killed in the middle of everything: each life comes out as an undisturbed one."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import Machine
from tests.faults.cycles import crashes, killings

pytestmark = [pytest.mark.root, pytest.mark.e2e]

# Another one each time would find more, and say nothing of whose change it was: `make soak` has them.
SEED = int(os.environ.get("SHOAL_SEED", "7"))


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
def test_shoald_is_killed_thirty_times(own: Machine) -> None:
    assert crashes(own, rounds=30, seed=SEED).startswith("shoald was killed")


@pytest.mark.timeout(600)
def test_what_it_leans_on_is_killed(own: Machine) -> None:
    assert "all came back" in killings(own, lives=4, seed=SEED)
