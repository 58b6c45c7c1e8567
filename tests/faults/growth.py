"""Whether a figure that is taken again and again grows. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Figure:
    """What may become of one figure. With neither ``part`` nor ``slack`` it must be the same each time; else the median
    of the late ones may be above that of the early ones by ``part`` of it and ``slack``. Where ``least``, the least
    of them counts: what waits to be collected comes and goes, and only adds."""

    name: str
    unit: str = ""
    part: float = 0
    slack: float = 0
    least: bool = False

    @property
    def is_exact(self) -> bool:
        return not self.part and not self.slack

    def shown(self, value: float) -> str:
        """Whole, but for what is less than 10 of a unit."""
        return f"{value:.0f}" if not self.unit or value >= 10 else f"{value:.2f}"


@dataclass(frozen=True)
class Trend:
    """A figure in the early and in the late window of a run."""

    early: float
    late: float


def trend(values: Sequence[float], typical: Callable[[Sequence[float]], float] = median) -> Trend:
    """The second fifth, when caches have filled, against the last one. Raises ValueError for fewer than two values."""
    if len(values) < 2:
        raise ValueError("two values at least make a trend")
    fifth = max(1, len(values) // 5)
    first = fifth if len(values) >= 5 else 0
    return Trend(typical(values[first : first + fifth]), typical(values[-fifth:]))


def growing(figures: Sequence[Figure], rows: Sequence[Mapping[str, float]]) -> list[str]:
    """A line for each figure that is not as it must be."""
    lines = []
    for figure in figures:
        values = [row[figure.name] for row in rows]
        seen = trend(values, min if figure.least else median)
        if figure.is_exact:
            if others := sorted({value for value in values if value != values[0]}):
                lines.append(f"{figure.name}: {values[0]:g} at first, then {', '.join(f'{each:g}' for each in others)}")
        elif seen.late > seen.early * (1 + figure.part) + figure.slack:
            early, late = (f"{figure.shown(value)} {figure.unit}".strip() for value in (seen.early, seen.late))
            allowed = f"{figure.part:.0%} and {figure.slack:g} more are allowed"
            lines.append(f"{figure.name}: {early} early, {late} late; {allowed}")
    return lines


def table(figures: Sequence[Figure], rows: Sequence[Mapping[str, float]]) -> list[str]:
    """The rows under the figures' names, in columns."""
    head = [f"{figure.name} {figure.unit}".strip() for figure in figures]
    cells = [head, *([figure.shown(row[figure.name]) for figure in figures] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(head))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
