"""The file of the last events."""

from pathlib import Path

from shoal.engine.journal import Journal
from shoal.objects.events import Actor, EventMessage


def event(number: int) -> EventMessage:
    return EventMessage(type="container", action="start", actor=Actor(id=str(number)), time=1, time_nano=number)


def numbers(journal: Journal) -> list[int]:
    return [event.time_nano for event in journal.last]


def test_what_was_written_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "events"
    journal = Journal(path, kept=3)
    for number in range(5):
        journal.write(event(number))
    # Whoever wrote it was killed: nothing has been closed.
    assert Journal(path, kept=3).last == [event(2), event(3), event(4)]


def test_the_file_does_not_grow(tmp_path: Path) -> None:
    path = tmp_path / "events"
    journal = Journal(path, kept=3)
    most = 0
    for number in range(100):
        journal.write(event(number))
        most = max(most, len(path.read_bytes().splitlines()))
    assert most == 12
    assert numbers(Journal(path, kept=3)) == [97, 98, 99]


def test_a_line_that_was_cut_off_costs_that_event_alone(tmp_path: Path) -> None:
    path = tmp_path / "events"
    journal = Journal(path, kept=9)
    for number in range(3):
        journal.write(event(number))
    path.write_bytes(path.read_bytes()[:-20])
    journal = Journal(path, kept=9)
    journal.write(event(3))
    assert numbers(Journal(path, kept=9)) == [0, 1, 3]


def test_where_nothing_can_be_written_events_go_on(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "events"
    journal = Journal(path, kept=9)
    journal.write(event(1))
    assert numbers(journal) == [1]
    path.parent.mkdir()
    journal.write(event(2))
    assert numbers(Journal(path, kept=9)) == [1, 2], "as soon as it can be, all are there"
