import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.cli.quantities import (
    binary_size,
    days_from_civil,
    format_duration,
    go_time_exact,
    human_duration,
    human_size,
    parse_bytes,
    parse_cpus,
    parse_duration,
    parse_time,
)
from shoal.errors import InvalidArgument

HOUR = 3600


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("512", 512),
        ("1k", 1024),
        ("1.5g", 1610612736),
        ("64m", 1 << 26),
        ("64MiB", 1 << 26),
        ("2gb", 2 << 30),
        ("7b", 7),
        ("-1", -1),
    ],
)
def test_sizes_are_powers_of_1024(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "x", "1x", "m", "1.2.3", "-5", "1 2m"])
def test_bad_sizes_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_bytes(text)


def test_cpus_are_exact_to_a_billionth() -> None:
    assert parse_cpus("0.1") == 100_000_000
    assert parse_cpus("1.5") == 1_500_000_000
    with pytest.raises(InvalidArgument, match="too precise"):
        parse_cpus("0.0000000001")


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_a_duration_written_reads_the_same(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'invalid duration ""'),
        ("5", 'missing unit in duration "5"'),
        ("5x", 'unknown unit "x" in duration "5x"'),
        ("s", 'invalid duration "s"'),
    ],
)
def test_bad_durations_are_refused_in_gos_words(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^time: {message}$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (125, "2 minutes"),
        (59 * 60, "59 minutes"),
        (HOUR, "About an hour"),
        (2 * HOUR, "2 hours"),
        (47 * HOUR, "47 hours"),
        (72 * HOUR, "3 days"),
        (15 * 24 * HOUR, "2 weeks"),
        (70 * 24 * HOUR, "2 months"),
        (800 * 24 * HOUR, "2 years"),
    ],
)
def test_ages_for_people(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_sizes_for_people() -> None:
    assert human_size(1_982_000) == "1.982MB"
    assert human_size(1_982_000, 3) == "1.98MB"
    assert human_size(0) == "0B"
    assert binary_size(23.54 * 2**30) == "23.54GiB"


def test_times_of_any_zone_and_fraction() -> None:
    assert parse_time("1970-01-02T00:00:00.5+01:00") == 82800.5
    assert parse_time("2001-09-09T01:46:40.000000001Z") == pytest.approx(1e9)
    assert parse_time("") == 0
    assert parse_time("0001-01-01T00:00:00Z") < -6e10
    assert go_time_exact("2026-11-23T18:33:07.695146917Z") == "2026-11-23 18:33:07.695146917 +0000 UTC"


@given(st.dates())
def test_days_agree_with_the_standard_library(day: object) -> None:
    assert days_from_civil(day.year, day.month, day.day) == day.toordinal() - 719163  # type: ignore[attr-defined]
