"""What every backend has to hold for the store above it: memory, SQLite and etcd alike."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from shoal.aio.broadcast import Lagged
from shoal.aio.clock import SystemClock
from shoal.aio.tasks import spawn
from shoal.errors import Conflict, Internal, NotFound
from shoal.objects.ids import NetworkId, ServiceId, TaskId
from shoal.objects.network import Network, NetworkSpec
from shoal.objects.service import Service, ServiceSpec
from shoal.objects.task import Task
from shoal.store.backend import Backend, Change, Fence, Transaction
from shoal.store.backends.etcd import EtcdBackend
from shoal.store.backends.memory import MemoryBackend
from shoal.store.backends.sqlite import SQLiteBackend
from shoal.store.etcd.address import Address
from shoal.store.etcd.client import Etcd
from shoal.store.store import Store
from shoal.store.tx import Action, Tx

Make = Callable[[], Backend]


@pytest.fixture(params=["memory", "sqlite", "etcd"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Opens the same contents again and again, as a restarted daemon does."""
    if request.param == "sqlite":
        return lambda: SQLiteBackend(tmp_path / "swarm" / "state.db")
    if request.param == "etcd":
        server, prefix = request.getfixturevalue("etcd_server"), f"/test/{uuid4().hex}/"
        return lambda: EtcdBackend(etcd=Etcd(Address((server.endpoint,))), prefix=prefix)
    backend = MemoryBackend()
    return lambda: backend


def run(flow: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(flow, 60))


async def opened(backend: Backend) -> Store:
    return await Store.open(backend=backend, clock=SystemClock())


def service(number: int, name: str | None = None) -> Service:
    return Service(id=ServiceId(f"s{number}"), spec=ServiceSpec(name=name or f"web{number}"))


def test_an_empty_backend_is_at_revision_zero(make: Make) -> None:
    async def flow() -> None:
        backend = make()
        contents = await backend.load()
        assert (contents.revision, contents.objects) == (0, [])
        await backend.close()

    run(flow())


def test_load_gives_what_was_committed(make: Make) -> None:
    async def flow() -> None:
        backend = make()
        await backend.load()
        await backend.commit(
            Transaction(1, "x", [Change("task", "a", b"1"), Change("task", "b", b"2"), Change("node", "a", b"3")])
        )
        await backend.commit(
            Transaction(2, "y", [Change("task", "a", b"4"), Change("task", "b", None), Change("task", "never", None)])
        )
        await backend.close()
        again = make()
        contents = await again.load()
        assert contents.revision == 2
        assert {(c.kind, c.key): c.value for c in contents.objects} == {("task", "a"): b"4", ("node", "a"): b"3"}
        await again.close()

    run(flow())


def test_a_commit_is_all_or_nothing(make: Make) -> None:
    async def flow() -> None:
        backend = make()
        await backend.commit(Transaction(1, "x", [Change("task", "a", b"1")]))
        broken = Change("task", object(), b"x")  # type: ignore[arg-type]
        try:
            await backend.commit(Transaction(2, "y", [Change("task", "a", b"2"), Change("task", "c", b"3"), broken]))
        except Internal:
            await backend.commit(Transaction(2, "z", []))
            await backend.close()
            again = make()
            contents = await again.load()
            assert {(c.kind, c.key): c.value for c in contents.objects} == {("task", "a"): b"1"}
            await again.close()
        else:
            assert not isinstance(backend, SQLiteBackend)

    run(flow())


def test_a_store_opened_again_has_everything_and_goes_on_counting(make: Make) -> None:
    async def flow() -> None:
        store = await opened(make())
        for number in range(5):
            await store.update(lambda tx, n=number: tx.create(service(n)))  # type: ignore[misc]
        await store.update(lambda tx: tx.delete(service(3)))
        before = {s.id: s for s in store.view.all(Service)}
        await store.close()
        again = await opened(make())
        assert {s.id: s for s in again.view.all(Service)} == before
        assert again.revision == 6
        await again.update(lambda tx: tx.create(service(9)))
        assert again.view.all(Service)[-1].version.index == 7
        assert (found := again.view.by_name(Service, "web9")) is not None and found.id == "s9"
        assert again.view.by_name(Service, "web3") is None
        await again.close()

    run(flow())


def test_a_failing_closure_changes_nothing(make: Make) -> None:
    async def flow() -> None:
        store = await opened(make())
        await store.update(lambda tx: tx.create(service(1)))
        before = store.view.all(Service)

        def change(tx: Tx) -> None:
            tx.create(service(2))
            tx.delete(service(1))
            raise RuntimeError("no")

        with store.watch() as events:
            with pytest.raises(RuntimeError):
                await store.update(change)
            assert store.view.all(Service) == before
            assert store.revision == 1
            await store.update(lambda tx: tx.create(service(3)))
            assert [[e.obj.id for e in batch] for batch in await events.drain()] == [["s3"]]
        await store.close()
        again = await opened(make())
        assert {s.id for s in again.view.all(Service)} == {"s1", "s3"}
        await again.close()

    run(flow())


def test_a_transaction_without_changes_is_none(make: Make) -> None:
    async def flow() -> None:
        store = await opened(make())
        assert await store.update(lambda tx: len(tx.all(Task))) == 0
        await store.update(lambda tx: tx.delete(service(1)))
        assert store.revision == 0
        await store.close()

    run(flow())


def test_names_and_ids_are_taken_once(make: Make) -> None:
    async def flow() -> None:
        store = await opened(make())
        await store.update(lambda tx: tx.create(service(1, "web")))
        for wrong in (service(1, "other"), service(2, "web")):
            with pytest.raises(Conflict):
                await store.update(lambda tx, s=wrong: tx.create(s))  # type: ignore[misc]
        with pytest.raises(NotFound):
            await store.update(lambda tx: tx.update(service(7)))
        await store.update(
            lambda tx: tx.create(Network(id=NetworkId("n"), spec=NetworkSpec(name="web")))
        )  # a name is unique within its kind only
        await store.close()

    run(flow())


def test_a_cancelled_update_still_commits(make: Make) -> None:
    async def flow() -> None:
        store = await opened(make())
        task = asyncio.get_running_loop().create_task(store.update(lambda tx: tx.create(service(1))))
        await asyncio.sleep(0)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        # Its commit is over once the caller is told, so the next one finds it.
        assert await store.update(lambda tx: [s.id for s in tx.all(Service)]) == ["s1"]
        await store.close()
        again = await opened(make())
        assert again.revision == 1
        await again.close()

    run(flow())


def test_no_second_cancellation_lets_two_commits_overlap() -> None:
    class Slow(MemoryBackend):
        running = 0

        async def commit(self, transaction: Transaction, fence: Fence | None = None) -> None:
            assert self.running == 0, "two commits at once"
            self.running += 1
            await asyncio.sleep(0.02)
            self.running -= 1
            await super().commit(transaction, fence)

    async def flow() -> None:
        store = await opened(Slow())
        loop = asyncio.get_running_loop()
        first = loop.create_task(store.update(lambda tx: tx.create(service(1))))
        await asyncio.sleep(0.005)
        second = loop.create_task(store.update(lambda tx: tx.create(service(2))))
        for _ in range(3):
            first.cancel()
            await asyncio.sleep(0)
        await second
        with pytest.raises(asyncio.CancelledError):
            await first
        assert [s.version.index for s in store.view.all(Service)] == [1, 2]

    run(flow())


def test_a_commit_that_fails_changes_nothing() -> None:
    class Full(MemoryBackend):
        async def commit(self, transaction: Transaction, fence: Fence | None = None) -> None:
            if len(transaction.changes) > 1:
                raise Internal("disk full")
            await super().commit(transaction, fence)

    async def flow() -> None:
        store = await opened(Full())
        with store.watch() as events:
            with pytest.raises(Internal):
                await store.update(lambda tx: [tx.create(service(n)) for n in range(2)])
            assert store.view.all(Service) == [] and store.revision == 0
            await store.update(lambda tx: tx.create(service(5)))
            assert [len(batch) for batch in await events.drain()] == [1]

    run(flow())


def test_watchers_see_each_transaction_once_and_in_order(make: Make) -> None:
    async def flow() -> None:
        store = await opened(make())
        seen: list[tuple[Action, str, int]] = []
        with store.watch() as events:
            await asyncio.gather(
                *(store.update(lambda tx, n=n: tx.create(service(n))) for n in range(20))  # type: ignore[misc]
            )
            for found in store.view.all(Service)[:10]:
                await store.update(lambda tx, s=found: tx.update(s))  # type: ignore[misc]
            await store.update(lambda tx: [tx.delete(s) for s in tx.all(Service)])
            for batch in await events.drain():
                revisions = {e.obj.version.index for e in batch if e.action is not Action.DELETE}
                assert len(revisions) <= 1
                seen += [(e.action, e.obj.id, e.obj.version.index) for e in batch]
        created = [index for action, _, index in seen if action is Action.CREATE]
        updated = [index for action, _, index in seen if action is Action.UPDATE]
        assert created == list(range(1, 21)) and updated == list(range(21, 31))
        assert len([1 for action, *_ in seen if action is Action.DELETE]) == 20
        await store.close()

    run(flow())


def test_an_event_has_what_was_and_what_is(make: Make) -> None:
    async def flow() -> None:
        store = await opened(make())
        with store.watch() as events:
            await store.update(lambda tx: tx.create(Task(id=TaskId("t"))))
            await store.update(lambda tx: tx.update(Task(id=TaskId("t"), slot=3)))
            await store.update(lambda tx: tx.delete(Task(id=TaskId("t"))))
            create, update, delete = [event for batch in await events.drain() for event in batch]
        assert create.old is None
        assert (update.old, update.obj.version.index) == (create.obj, 2)
        assert isinstance(update.obj, Task) and update.obj.slot == 3
        assert update.obj.created_at == create.obj.created_at
        assert delete.obj == update.obj
        await store.close()

    run(flow())


def test_a_watcher_that_lags_is_told_and_can_start_afresh() -> None:
    async def flow() -> None:
        store = await opened(MemoryBackend())
        with store.watch() as events:
            for number in range(100_001):
                store._events.send([])  # the limit, without 100,000 commits
                del number
            with pytest.raises(Lagged):
                await events.drain()
            await store.update(lambda tx: tx.create(service(1)))
            assert [e.obj.id for batch in await events.drain() for e in batch] == ["s1"]

    run(flow())


def test_closing_ends_the_watches(make: Make) -> None:
    async def flow() -> None:
        store = await opened(make())
        with store.watch() as events:
            await store.close()
            assert await events.drain() == []

    run(flow())


_WRITER = """
import asyncio, sys
from pathlib import Path
from shoal.aio.clock import SystemClock
from shoal.objects.ids import TaskId
from shoal.objects.task import Task
from shoal.store.backends.sqlite import SQLiteBackend
from shoal.store.store import Store

async def main():
    store = await Store.open(backend=SQLiteBackend(Path(sys.argv[1])), clock=SystemClock())
    number = store.revision
    while True:
        number += 1
        await store.update(lambda tx: [tx.create(Task(id=TaskId(f"{number}-{part}"))) for part in range(3)])
        print(number, flush=True)

asyncio.run(main())
"""


def test_a_killed_writer_loses_nothing_that_it_was_told_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    acknowledged = 0
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert writer.stdout is not None
        for _ in range(15):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        acknowledged = int(rest[-1]) if rest else acknowledged
        writer.stdout.close()
        writer.wait()

        async def flow(least: int = acknowledged) -> None:
            store = await opened(SQLiteBackend(path))
            assert store.revision >= least
            numbers = {int(t.id.split("-")[0]) for t in store.view.all(Task)}
            assert numbers == set(range(1, store.revision + 1))
            assert len(store.view.all(Task)) == 3 * store.revision
            await store.close()

        run(flow())


def test_a_file_of_a_newer_shoal_is_left_alone(tmp_path: Path) -> None:
    async def flow() -> None:
        backend = SQLiteBackend(tmp_path / "state.db")
        await backend.load()
        await backend._run(lambda: backend._open()._db.execute("PRAGMA user_version=99"))
        await backend.close()
        newer = SQLiteBackend(tmp_path / "state.db")
        with pytest.raises(Internal, match="newer"):
            await newer.load()
        await newer.close()

    run(flow())


def test_what_is_no_database_is_an_internal_error(tmp_path: Path) -> None:
    async def flow() -> None:
        (tmp_path / "state.db").write_bytes(b"not a database at all, but long enough to be read as one" * 20)
        backend = SQLiteBackend(tmp_path / "state.db")
        with pytest.raises(Internal):
            await backend.load()
        await backend.close()

    run(flow())


def test_a_store_moves_and_nobody_notices(make: Make) -> None:
    async def flow() -> None:
        backend = make()
        store = await opened(MemoryBackend())
        for number in range(3):
            await store.update(lambda tx, number=number: tx.create(service(number)))  # type: ignore[misc]
        with store.watch() as events:
            fenced = store.fenced(None)
            settled: list[int] = []

            async def settle() -> None:
                settled.append((await make().load()).revision)

            moving = spawn(store.move(backend, settle=settle), name="move")
            await asyncio.sleep(0)
            # It waits for the move, and is done in the new place.
            await fenced.update(lambda tx: tx.create(service(3)))
            await moving
            assert settled == [3]
            heard = [event.obj.id for batch in await events.drain() for event in batch]
            assert heard == ["s3"]
        assert store.revision == 4 and len(store.view.all(Service)) == 4
        await store.close()
        again = await opened(make())
        assert again.revision == 4 and {s.id for s in again.view.all(Service)} == {"s0", "s1", "s2", "s3"}
        assert again.view.by_name(Service, "web2") is not None
        await again.close()

    run(flow())


def test_a_place_that_has_a_state_takes_no_other_and_the_store_stays_where_it_is(make: Make) -> None:
    async def flow() -> None:
        taken = await opened(make())
        await taken.update(lambda tx: tx.create(service(9)))
        await taken.close()
        store = await opened(MemoryBackend())
        await store.update(lambda tx: tx.create(service(1)))
        other = make()

        async def settle() -> None:
            raise AssertionError("it was not moved")

        with pytest.raises(Conflict):
            await store.move(other, settle=settle)
        await other.close()
        await store.update(lambda tx: tx.create(service(2)))
        assert store.revision == 2
        await store.close()
        again = await opened(make())
        assert [s.id for s in again.view.all(Service)] == ["s9"]
        await again.close()

    run(flow())


def test_a_move_that_cannot_be_settled_is_none(make: Make) -> None:
    async def flow() -> None:
        store = await opened(MemoryBackend())
        await store.update(lambda tx: tx.create(service(1)))
        other = make()

        async def settle() -> None:
            raise NotFound("the disk is gone")

        with pytest.raises(NotFound):
            await store.move(other, settle=settle)
        await other.close()
        await store.update(lambda tx: tx.create(service(2)))
        assert {s.id for s in store.view.all(Service)} == {"s1", "s2"}
        await store.close()

    run(flow())
