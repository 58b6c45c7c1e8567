from collections.abc import Sequence

import pytest
from tests.faults.growth import Figure, growing, table, trend

EXACT = Figure("links")
LOOSE = Figure("memory", "MB", part=0.1, slack=1)

LEAST = Figure("blocks", part=0.2, least=True)


def rows(figure: Figure, values: Sequence[float]) -> list[dict[str, float]]:
    return [{figure.name: value} for value in values]


def test_the_trend_leaves_out_how_it_began() -> None:
    seen = trend([1, 2, 10, 11, 12, 12, 12, 20, 21, 99])
    assert (seen.early, seen.late) == (10.5, 60)
    assert trend([3, 4]).early == 3
    with pytest.raises(ValueError, match="two values"):
        trend([1])


@pytest.mark.parametrize(
    ("figure", "values", "said"),
    [
        (EXACT, [7, 7, 7], []),
        (EXACT, [7, 7, 8], ["links: 7 at first, then 8"]),
        (EXACT, [7, 6, 7], ["links: 7 at first, then 6"]),
        (LOOSE, [40, 50, 50, 56, 56], []),
        (LOOSE, [40, 50, 51, 54, 57], ["memory: 50 MB early, 57 MB late; 10% and 1 more are allowed"]),
        (LOOSE, [40, 50, 99, 99, 50], []),
        (LEAST, [9, 9, 10, 30, 20, 20, 20, 20, 30, 12], []),
        (LEAST, [9, 9, 10, 30, 20, 20, 20, 20, 30, 13], ["blocks: 10 early, 13 late; 20% and 0 more are allowed"]),
    ],
)
def test_what_grows(figure: Figure, values: list[float], said: list[str]) -> None:
    assert growing([figure], rows(figure, values)) == said


def test_the_table() -> None:
    assert table([EXACT, LOOSE], [{"links": 7, "memory": 1.234}, {"links": 7, "memory": 12.5}]) == [
        "links  memory MB",
        "    7       1.23",
        "    7         12",
    ]
