"""shoald, and what it leans on, is killed in the middle of everything: each life comes out as an undisturbed one."""

import os

import pytest
from tests.e2e.harness import Machine
from tests.faults.cycles import crashes, killings

pytestmark = [pytest.mark.root, pytest.mark.e2e]

# Another one each day would find more, and tell nobody whose change it was: `make soak` has them.
SEED = int(os.environ.get("SHOAL_SEED", "7"))


@pytest.mark.timeout(600)
def test_shoald_is_killed_thirty_times(machine: Machine) -> None:
    assert crashes(machine, rounds=30, seed=SEED).startswith("shoald was killed")


@pytest.mark.timeout(600)
def test_what_it_leans_on_is_killed(machine: Machine) -> None:
    assert "all came back" in killings(machine, lives=4, seed=SEED)
