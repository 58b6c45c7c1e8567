"""Managers that die while everybody writes: the short form of tests/faults/managers.py."""

import pytest
from tests.faults.managers import Checker, three_managers

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.xdist_group("checker"), pytest.mark.timeout(300)]


def test_what_managers_answer_is_what_is_there() -> None:
    with three_managers() as cluster:
        Checker(cluster, seed=7, most=4).run(200)
