"""Figures for Prometheus (``--metrics-addr``), in its text format 0.0.4. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Metric:
    """One figure: a gauge or counter with its values by labels."""

    name: str
    help: str
    kind: str
    values: Mapping[tuple[tuple[str, str], ...], float] = field(default_factory=dict)


def gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    """A gauge with one value."""
    return Metric(name, text, "gauge", {tuple(labels.items()): value})


def by_label(name: str, text: str, label: str, values: Mapping[str, float], *, kind: str = "gauge") -> Metric:
    """A gauge (or a ``kind`` counter) with a value for each value of one label."""
    return Metric(name, text, kind, {((label, key),): value for key, value in values.items()})


def render(metrics: Iterable[Metric]) -> str:
    """All figures as text."""
    lines: list[str] = []
    for metric in metrics:
        lines.append(f"# HELP {metric.name} {metric.help}")
        lines.append(f"# TYPE {metric.name} {metric.kind}")
        for labels, value in metric.values.items():
            lines.append(f"{metric.name}{_labels(labels)} {value:g}")
    return "\n".join(lines) + "\n"


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    pairs = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels)
    return f"{{{pairs}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
