"""Prometheus's text format."""

from shoal.observe.metrics import by_label, gauge, render


def test_every_figure_has_its_help_its_type_and_its_labels() -> None:
    text = render(
        [gauge("up", "Whether it is.", 1), by_label("tasks", "By state.", "state", {"running": 2.0, 'a"b\\': 0.5})]
    )
    assert text == (
        "# HELP up Whether it is.\n# TYPE up gauge\nup 1\n"
        "# HELP tasks By state.\n# TYPE tasks gauge\n"
        'tasks{state="running"} 2\ntasks{state="a\\"b\\\\"} 0.5\n'
    )
