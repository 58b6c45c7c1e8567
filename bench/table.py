"""Figures, their medians, and the table that compares two engines."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Unit(Enum):
    """What a figure counts."""

    SECONDS = "s"
    BYTES = "bytes"
    PER_SECOND = "/s"

    @property
    def more_is_better(self) -> bool:
        """Whether a high figure is a good one."""
        return self is Unit.PER_SECOND


@dataclass(frozen=True)
class Row:
    """One figure of both engines. ``ratio`` is Shoal's in the peer's; below 1 Shoal needs less, or, of what there
    should be more, gives less. None where an engine has no figure."""

    what: str
    unit: Unit
    peer: float | None
    shoal: float | None

    @property
    def ratio(self) -> float | None:
        """Shoal's figure in the peer's."""
        return self.shoal / self.peer if self.peer and self.shoal is not None else None

    @property
    def is_better(self) -> bool | None:
        """Whether Shoal is at least as good."""
        if self.ratio is None:
            return None
        return self.ratio >= 1 if self.unit.more_is_better else self.ratio <= 1


class Samples:
    """What was measured, by what and engine, in the order in which it was first measured."""

    def __init__(self) -> None:
        self._units: dict[str, Unit] = {}
        self._found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def add(self, what: str, unit: Unit, engine: str, values: Sequence[float]) -> None:
        """More of the same figure."""
        self._units.setdefault(what, unit)
        self._found[what][engine] += values

    def rows(self) -> list[Row]:
        """A row a figure, with each engine's median."""
        return [
            Row(what, unit, _median(self._found[what].get("peer")), _median(self._found[what].get("shoal")))
            for what, unit in self._units.items()
        ]

    def as_json(self) -> list[dict[str, Any]]:
        """The medians and every sample, for a later comparison; seconds, bytes, and so on as they are."""
        return [
            {
                "what": row.what,
                "unit": row.unit.value,
                "peer": row.peer,
                "shoal": row.shoal,
                "ratio": row.ratio,
                "samples": _rounded(self._found[row.what]),
            }
            for row in self.rows()
        ]


def _median(values: Sequence[float] | None) -> float | None:
    return statistics.median(values) if values else None


def _rounded(samples: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {engine: [float(f"{value:.4g}") for value in values] for engine, values in samples.items()}


def format_figure(value: float | None, unit: Unit) -> str:
    """Three digits that count, and the unit a person would take."""
    if value is None:
        return "-"
    if unit is Unit.BYTES:
        return f"{value / 1e6:.1f} MB"
    if unit is Unit.PER_SECOND:
        return f"{value:,.0f} /s"
    if value >= 1:
        return f"{value:.2f} s"
    return f"{value * 1e3:.0f} ms" if value >= 0.1 else f"{value * 1e3:.3g} ms"


def format_table(rows: Sequence[Row]) -> str:
    """The table, a line a row; a ratio on the wrong side of 1 is marked."""
    lines = [("", "dockerd", "Shoal", "ratio")]
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}{'' if row.is_better else ' !'}"
        lines.append((row.what, format_figure(row.peer, row.unit), format_figure(row.shoal, row.unit), ratio))
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    return "\n".join(
        f"{line[0]:<{widths[0]}}  {line[1]:>{widths[1]}}  {line[2]:>{widths[2]}}  {line[3]:<{widths[3]}}".rstrip()
        for line in lines
    )
