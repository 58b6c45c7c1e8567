"""shoald, and what it leans on, is killed in the middle of everything: the short form of tests/faults/cycles.py."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.e2e.harness import Machine
from tests.faults.cycles import crashes, killings

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.xdist_group("crash"), pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    "dying",
    [
        pytest.param(partial(crashes, rounds=30, seed=213), id="shoald"),
        pytest.param(partial(killings, lives=4, seed=31), id="what it leans on"),
    ],
)
def test_each_life_comes_out_as_an_undisturbed_one(dying: Callable[[Machine], str]) -> None:
    machine = Machine(Path(tempfile.mkdtemp(prefix="shoal-crash-")))
    try:
        machine.start(load=("nginx",))
        dying(machine)
    except BaseException:
        machine.stop()
        raise
    assert not (left := machine.stop()), "left behind:\n" + "\n".join(left)
