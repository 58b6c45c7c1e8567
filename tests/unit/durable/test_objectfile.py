"""A file is either what was acknowledged, or refused; and what is refused gives back what can be proved."""

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.durable.objectfile import ObjectFile, Row, mark_of
from shoal.durable.salvage import replace, salvage
from shoal.errors import Damaged, NoRoom

Objects = dict[tuple[str, str], bytes]


def opened(path: Path) -> ObjectFile:
    return ObjectFile.open(path, what="the state", root=path.parent)


def contents(file: ObjectFile) -> Objects:
    return {(kind, key): value for kind, key, value in file.rows()}


def fill(path: Path, rounds: int = 60, *, close: bool = True) -> tuple[Objects, ObjectFile]:
    """Some hundred objects of all sizes, some of them changed and removed again."""
    rng, file, model = random.Random(4), opened(path), Objects()
    for number in range(rounds):
        rows = []
        for _ in range(rng.randint(1, 8)):
            kind, key = rng.choice(("task", "service")), f"{rng.randrange(300):03d}"
            value = rng.randbytes(rng.choice((20, 300, 1500, 6000))).hex().encode() if rng.random() < 0.8 else None
            rows.append(Row(kind, key, value))
            model.pop((kind, key), None)
            if value is not None:
                model[kind, key] = value
        file.commit(rows)
        assert file.number == number + 1
    if close:
        file.close()
    return model, file


def reads_or_refuses(path: Path, model: Objects) -> bool:
    """Whether the file is refused; one that is not has to hold everything."""
    try:
        file = opened(path)
    except Damaged as error:
        assert str(path) in str(error)
        return True
    found = contents(file)
    file.close()
    assert found == model
    return False


def copy(source: Path, target: Path) -> Path:
    target.mkdir()
    for name in os.listdir(source):
        shutil.copyfile(source / name, target / name)
    return target / "a.db"


def test_all_is_there_after_a_restart(tmp_path: Path) -> None:
    model, _ = fill(tmp_path / "a.db")
    assert not reads_or_refuses(tmp_path / "a.db", model)
    assert (tmp_path / "a.db").stat().st_mode & 0o777 == 0o600


def cut(path: Path, rng: random.Random) -> None:
    with open(path, "r+b") as file:
        file.truncate(rng.randrange(path.stat().st_size))


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 3, 50))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def blank(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    at = rng.randrange(len(content)) & ~4095
    content[at : at + 4096] = bytes(4096)
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [cut, flip, blank])
def test_a_harmed_file_is_refused_or_whole_and_gives_back_what_it_has(
    tmp_path: Path, harm: Callable[[Path, random.Random], None]
) -> None:
    model, _ = fill(tmp_path / "good" / "a.db")
    refused, back = 0, 0
    for seed in range(40):
        path = copy(tmp_path / "good", tmp_path / f"{harm.__name__}{seed}")
        harm(path, random.Random(seed))
        before = path.read_bytes()
        if not reads_or_refuses(path, model):
            continue
        refused += 1
        assert path.read_bytes() == before, "what is refused is left alone"
        found = salvage(path)
        assert path.read_bytes() == before
        for kind, key, value in found.rows:
            assert model[kind, key] == value, "what is given back was really there"
        assert len(found.rows) == len(model) or found.dropped
        back += len(found.rows)
        aside = replace(path, found.rows, found.number, what="the state", root=path.parent, stamp="now")
        assert aside.read_bytes() == before
        again = opened(path)
        assert contents(again) == {(kind, key): value for kind, key, value in found.rows}
        again.close()
    assert refused > 20
    # One harm costs little: half of a file that is cut, next to nothing of another.
    assert back > refused * len(model) * (0.3 if harm is cut else 0.8), f"{back} of {refused * len(model)}"


def test_harm_to_the_log_of_a_file_that_was_not_closed(tmp_path: Path) -> None:
    model, file = fill(tmp_path / "good" / "a.db", close=False)
    refused = 0
    for seed in range(60):
        path = copy(tmp_path / "good", tmp_path / str(seed))
        wal = path.with_name("a.db-wal")
        rng = random.Random(seed)
        [cut, flip, blank, lambda path, rng: path.unlink()][seed % 4](wal, rng)
        refused += reads_or_refuses(path, model)
    file.close()
    assert refused > 40


def test_an_old_copy_is_refused_and_recovered_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    old, _ = fill(path, 10)
    shutil.copyfile(path, tmp_path / "old")
    file = opened(path)
    file.commit([Row("service", "web", b"{}")])
    file.close()
    shutil.copyfile(tmp_path / "old", path)
    with pytest.raises(Damaged, match="ends with transaction 10, and 11 had been acknowledged"):
        opened(path)
    found = salvage(path)
    assert {(kind, key): value for kind, key, value in found.rows} == old and not found.dropped


def test_an_old_log_beside_a_newer_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    model, file = fill(path, 10, close=False)
    shutil.copyfile(tmp_path / "a.db-wal", tmp_path / "old")
    file.close()
    file = opened(path)
    for _ in range(3):
        file.commit([Row("service", "web", b"{}")])
    file.close()
    shutil.copyfile(tmp_path / "old", tmp_path / "a.db-wal")
    with pytest.raises(Damaged):
        opened(path)


def test_a_lost_file_is_refused_as_long_as_its_mark_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    fill(path, 3)
    path.unlink()
    with pytest.raises(Damaged, match="ends with transaction 0, and 3"):
        opened(path)
    path.unlink()
    mark_of(path).unlink()
    assert not reads_or_refuses(path, {})


def test_a_mark_that_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    model, _ = fill(path, 3)
    mark_of(path).write_bytes(b"\0" * 20)
    assert not reads_or_refuses(path, model)
    assert int(mark_of(path).read_text()) == 3


def test_a_file_of_the_first_format_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    db = sqlite3.connect(path)
    db.executescript(
        "CREATE TABLE object (kind TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID;"
        "CREATE TABLE revision (one INTEGER PRIMARY KEY, number INTEGER NOT NULL);"
        "INSERT INTO object VALUES ('service', 'web', CAST('{}' AS BLOB)); INSERT INTO revision VALUES (1, 7);"
        "PRAGMA user_version=1;"
    )
    db.close()
    for _ in range(2):
        file = opened(path)
        assert file.number == 7 and contents(file) == {("service", "web"): b"{}"}
        file.close()


def test_a_transaction_that_fails_leaves_what_was_and_takes_the_next(tmp_path: Path) -> None:
    file = opened(tmp_path / "a.db")
    file.commit([Row("a", "1", b"x")])
    limit = file._db.execute("PRAGMA page_count").fetchone()[0]
    file._db.execute(f"PRAGMA max_page_count={limit}")
    for _ in range(2):
        with pytest.raises(NoRoom, match=f"no space left on device: free some below {tmp_path}"):
            file.commit([Row("a", "2", b"y" * 100_000), Row("a", "1", None)])
    assert contents(file) == {("a", "1"): b"x"} and file.number == 1
    file._db.execute("PRAGMA max_page_count=10000")
    file.commit([Row("a", "2", b"y" * 100_000)])
    file.close()
    assert not reads_or_refuses(tmp_path / "a.db", {("a", "1"): b"x", ("a", "2"): b"y" * 100_000})


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_replacement_that_is_cut_off_is_done_again(tmp_path: Path, steps: int) -> None:
    model, file = fill(tmp_path / "live" / "a.db", 20, close=False)
    path = copy(tmp_path / "live", tmp_path / "killed")
    file.close()
    aside = path.with_name("a.db.damaged-now")
    mark_of(path).write_text("99")
    found = salvage(path)
    # As far as replace() had come when the machine stopped.
    os.link(path, aside)
    if steps > 1:
        os.replace(f"{path}-wal", f"{aside}-wal")
    if steps > 2:
        fresh = opened(path.with_name("fresh"))
        fresh.commit([Row(*row) for row in found.rows], 99)
        fresh.close()
        os.replace(path.with_name("fresh"), path)
        assert not reads_or_refuses(path, model)
        return
    assert reads_or_refuses(path, model), "it is not taken for whole half way"
    found = salvage(path)
    again = replace(path, found.rows, 99, what="the state", root=tmp_path, stamp="now")
    assert again.name == "a.db.damaged-now-2"
    assert not reads_or_refuses(path, {row[:2]: row[2] for row in found.rows})
