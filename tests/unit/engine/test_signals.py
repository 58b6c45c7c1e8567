"""Signals as users write them."""

import signal

import pytest

from shoal.engine.signals import parse_signal
from shoal.errors import InvalidArgument


@pytest.mark.parametrize(("text", "number"), [("TERM", 15), ("sigkill", 9), ("9", 9), ("RTMIN+1", signal.SIGRTMIN + 1)])
def test_signals(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "1" * 5000, "RTMIN+" + "1" * 5000, "RTMAX-99", "x", "²"])
def test_no_signals(text: str) -> None:
    with pytest.raises(InvalidArgument, match="Invalid signal"):
        parse_signal(text)
