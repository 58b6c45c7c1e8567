from datetime import UTC, datetime, timedelta

import pytest

from shoal.engine.filters import allows_labels, check, flag, until
from shoal.errors import InvalidArgument

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


def test_labels_must_all_hold_and_none_of_the_others() -> None:
    labels = {"a": "1", "b": ""}
    assert allows_labels({}, labels) and allows_labels({}, None)
    assert allows_labels({"label": ["a", "b="]}, labels)
    assert not allows_labels({"label": ["a=1", "c"]}, labels)
    assert not allows_labels({"label!": ["a"]}, labels)
    assert allows_labels({"label": ["a"], "label!": ["a=2"]}, labels)


def test_flags() -> None:
    assert flag({}, "all") is None
    assert flag({"all": ["true"]}, "all") is True
    assert flag({"all": ["0"]}, "all") is False
    for values in (["maybe"], ["true", "false"]):
        with pytest.raises(InvalidArgument):
            flag({"all": values}, "all")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1h30m", NOW - timedelta(minutes=90)),
        ("10.5s", NOW - timedelta(seconds=10.5)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert until({"until": [text]}, NOW) == moment


def test_wrong_filters_are_refused() -> None:
    assert until({}, NOW) is None
    for values in (["soon"], [""], ["1h", "2h"], ["9" * 12], ["9" * 5000], ["9" * 30 + "h"], ["9" * 15 + "s"]):
        with pytest.raises(InvalidArgument):
            until({"until": values}, NOW)
    with pytest.raises(InvalidArgument, match="^invalid filter 'colour'$"):
        check({"label": [], "colour": ["red"]}, "label")
