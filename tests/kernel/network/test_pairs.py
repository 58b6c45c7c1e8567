"""Damages of a node's network, two at a time; as root. ``make soak`` does all of them."""

import random

import pytest
from tests.faults.pairs import known, pairs

pytestmark = pytest.mark.root


def test_two_damages_at_once_are_mended() -> None:
    """Others each time. What fails is done again by ``python -m tests.faults.soak --seed N pairs``."""
    pairs(seed=random.randrange(10**6), count=60, seconds=20)


def test_pairs_that_have_gone_wrong_once() -> None:
    known()
