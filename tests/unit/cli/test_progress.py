import io

import pytest

from shoal.cli.converge import Tracker, newest
from shoal.cli.progress import bar, show_messages
from shoal.client.engine import Json
from shoal.errors import Internal


def task(slot: int, state: str, desired: str = "running", node: str = "n1") -> Json:
    return {
        "Slot": slot,
        "DesiredState": desired,
        "Status": {"State": state},
        "NodeID": node,
        "CreatedAt": f"2026-01-0{slot}T00:00:00Z",
    }


def test_bars() -> None:
    assert bar({"current": 9, "total": 9, "hidecounts": True}) == f"[{'=' * 50}>] "
    assert bar({"current": 1, "total": 9, "hidecounts": True}) == f"[{'=' * 5}>{' ' * 45}] "
    assert bar({"current": 1_200_000, "total": 3_000_000}, 80) == "   1.2MB/3MB"
    assert bar({}) == ""


def test_messages_without_a_terminal_leave_bars_out() -> None:
    out = io.StringIO()
    messages = [
        {"status": "Pulling from x", "id": "latest"},
        {"status": "Downloading", "id": "aa", "progressDetail": {"current": 1, "total": 2}},
        {"status": "Pull complete", "id": "aa", "progressDetail": {}},
        {"stream": "loaded\n"},
        {"aux": {"ID": "x"}},
    ]
    assert show_messages(messages, out) == [{"ID": "x"}]
    assert out.getvalue() == "latest: Pulling from x\naa: Pull complete\nloaded\n"
    with pytest.raises(Internal, match="^boom$"):
        show_messages([{"errorDetail": {"message": "boom"}}], out)


def test_a_service_converges_when_every_slot_runs() -> None:
    out = io.StringIO()
    tracker = Tracker(out)
    service = {"Spec": {"Mode": {"Replicated": {"Replicas": 2}}}}
    assert not tracker.update(service, [task(1, "new")], {"n1"}, rollback=False)
    assert tracker.update(service, [task(1, "running"), task(2, "running")], {"n1"}, rollback=False)
    lines = out.getvalue().split("\n")
    assert lines[:3] == ["overall progress: 0 out of 2 tasks", "1/2:  ", "2/2:  "]
    assert lines[-2] == "overall progress: 2 out of 2 tasks"


def test_the_furthest_task_of_a_slot_counts_and_lost_nodes_do_not() -> None:
    tasks = [task(1, "running"), task(1, "preparing"), task(2, "running", node="gone"), task(3, "failed")]
    assert [item["Status"]["State"] for item in newest(tasks, {"n1"}, by_node=False).values()] == ["running"]
