"""Spans in words, as Docker's units package words them."""

from datetime import UTC, datetime

import pytest

from shoal.wire.docker.times import about, is_zero, since, unix


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (5400, "2 hours"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 24 * 3600, "2 weeks"),
        (60 * 24 * 3600, "2 months"),
        (729 * 24 * 3600, "24 months"),
        (730 * 24 * 3600, "2 years"),
    ],
)
def test_about(seconds: float, text: str) -> None:
    assert about(seconds) == text


def test_since_reads_nanoseconds() -> None:
    assert since("2026-11-23T15:54:43.799474544Z", datetime(2026, 11, 23, 15, 57, 44, tzinfo=UTC)) == "3 minutes"


def test_moments_that_have_not_come() -> None:
    assert is_zero("0001-01-01T00:00:00Z")
    assert is_zero("")
    assert unix("0001-01-01T00:00:00Z") == 0
    assert unix(None) == 0
    assert unix("no time at all") == 0
    assert unix("2026-11-23T15:54:42.841805291Z") == 1795449282
