import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "bench" / "table.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_table", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks for its module there while it is made.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


table = _load()
SECONDS, BYTES, PER_SECOND = table.Unit.SECONDS, table.Unit.BYTES, table.Unit.PER_SECOND


def test_a_row_has_the_medians_of_all_rounds() -> None:
    samples = table.Samples()
    samples.add("start", SECONDS, "peer", [4.0, 1.0])
    samples.add("start", SECONDS, "shoal", [1.0])
    samples.add("start", SECONDS, "peer", [2.0])
    assert samples.rows() == [table.Row("start", SECONDS, 2.0, 1.0)]
    assert samples.rows()[0].ratio == 0.5


def test_rows_stay_in_the_order_of_measuring() -> None:
    samples = table.Samples()
    for what in ("b", "a", "b"):
        samples.add(what, SECONDS, "peer", [1.0])
    assert [row.what for row in samples.rows()] == ["b", "a"]


@pytest.mark.parametrize(
    ("unit", "peer", "shoal", "better"),
    [
        (SECONDS, 2.0, 1.0, True),
        (SECONDS, 1.0, 2.0, False),
        (PER_SECOND, 2.0, 1.0, False),
        (PER_SECOND, 1.0, 2.0, True),
        (BYTES, 1.0, None, None),
        (BYTES, None, 1.0, None),
    ],
)
def test_more_is_better_only_of_what_comes_by_the_second(
    unit: object, peer: float | None, shoal: float | None, better: bool | None
) -> None:
    assert table.Row("x", unit, peer, shoal).is_better is better


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, SECONDS, "-"),
        (0.0002134, SECONDS, "0.213 ms"),
        (0.0481, SECONDS, "48.1 ms"),
        (0.141, SECONDS, "141 ms"),
        (1.634, SECONDS, "1.63 s"),
        (97_000_000.0, BYTES, "97.0 MB"),
        (21937.4, PER_SECOND, "21,937 /s"),
    ],
)
def test_figures_read_as_a_person_writes_them(value: float | None, unit: object, text: str) -> None:
    assert table.format_figure(value, unit) == text


def test_the_table_marks_where_the_peer_is_better() -> None:
    rows = [table.Row("run", SECONDS, 0.4, 0.1), table.Row("memory", BYTES, 1e8, 2e8), table.Row("x", BYTES, None, 1e6)]
    assert table.format_table(rows).splitlines() == [
        "         dockerd     Shoal  ratio",
        "run       400 ms    100 ms  0.25",
        "memory  100.0 MB  200.0 MB  2.00 !",
        "x              -    1.0 MB  -",
    ]


def test_every_sample_is_kept_for_a_later_comparison() -> None:
    samples = table.Samples()
    samples.add("run", SECONDS, "peer", [0.123456, 0.2])
    assert samples.as_json() == [
        {"what": "run", "unit": "s", "peer": 0.161728, "shoal": None, "ratio": None, "samples": {"peer": [0.1235, 0.2]}}
    ]
