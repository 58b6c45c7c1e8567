"""Rounds of a service's life leave nothing behind and make nothing grow: the short form of tests/faults/rounds.py.

Memory, files of databases and times need many rounds to be judged; what must be equal shows in a few.
"""

import tempfile
from pathlib import Path

import pytest
from tests.e2e.harness import Machine
from tests.faults.growth import growing, table
from tests.faults.rounds import FIGURES, FLAGS, Rounds

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.xdist_group("rounds")]


def test_a_few_rounds() -> None:
    machine = Machine(Path(tempfile.mkdtemp(prefix="shoal-rounds-")), flags=FLAGS)
    try:
        machine.start(load=("nginx",))
        machine.docker("swarm", "init")
        done = Rounds(machine)
        done.run(4, every=2, warm=2)
    except BaseException:
        machine.stop()
        raise
    left = machine.stop()
    exact = [figure for figure in FIGURES if figure.is_exact]
    assert not growing(exact, done.rows), "\n".join(table(FIGURES, done.rows))
    assert not left, "left behind:\n" + "\n".join(left)
