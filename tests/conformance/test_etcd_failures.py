"""What a store on etcd holds when connections break and members die: a real etcd, and a line that loses what it should.

Every commit is reported as what it is, done or not done, and is done once.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from tests.fakes.cut import Cut
from tests.fakes.etcd import EtcdServer, compact, etcd_servers

from shoal.aio.broadcast import Lagged
from shoal.aio.clock import SystemClock
from shoal.aio.tasks import spawn
from shoal.errors import FailedPrecondition, Unavailable, Uncertain
from shoal.objects.ids import ServiceId, TaskId
from shoal.objects.service import Service, ServiceSpec
from shoal.objects.task import Task
from shoal.store.backend import Change, Fence, Transaction
from shoal.store.backends.etcd import EtcdBackend
from shoal.store.etcd.address import Address
from shoal.store.etcd.calls import RANGE, TXN, delete, end_of, put
from shoal.store.etcd.client import Etcd
from shoal.store.etcd.pb.rpc_pb2 import RangeRequest, TxnRequest
from shoal.store.etcd.server import SERVER_FLAGS
from shoal.store.store import Store
from shoal.store.tx import Tx


def run(flow: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(flow, 60))


def a_prefix() -> str:
    return f"/test/{uuid4().hex}/"


def backend(prefix: str, *endpoints: str, attempt: float = 0.5, patience: float = 20) -> EtcdBackend:
    return EtcdBackend(etcd=Etcd(Address(endpoints), attempt=attempt, patience=patience), prefix=prefix)


async def opened(prefix: str, *endpoints: str, attempt: float = 0.5, patience: float = 20) -> Store:
    kept = backend(prefix, *endpoints, attempt=attempt, patience=patience)
    return await Store.open(backend=kept, clock=SystemClock())


@asynccontextmanager
async def a_line(server: EtcdServer) -> AsyncGenerator[Cut, None]:
    """In a folder whose path is short enough for a socket's."""
    with TemporaryDirectory() as folder:
        async with Cut(Path(folder, "cut"), server.endpoint) as cut:
            yield cut


async def create(store: Store, *keys: str) -> None:
    await store.update(lambda tx: [tx.create(Task(id=TaskId(key))) for key in keys])


def tasks(store: Store) -> list[str]:
    return sorted(task.id for task in store.view.all(Task))


async def until(store: Store, *keys: str) -> None:
    with store.watch() as events:
        while tasks(store) != sorted(keys):
            with suppress(Lagged):
                await events.drain()


async def keys_of(server: EtcdServer, prefix: str) -> dict[str, bytes]:
    etcd = Etcd(Address((server.endpoint,)))
    start = prefix.encode()
    found = await etcd.ask(RANGE, RangeRequest(key=start, range_end=end_of(start)))
    await etcd.close()
    return {kv.key.decode().removeprefix(prefix): kv.value for kv in found.kvs}


async def edit(server: EtcdServer, request: TxnRequest) -> None:
    etcd = Etcd(Address((server.endpoint,)))
    await etcd.ask(TXN, request)
    await etcd.close()


def test_a_commit_whose_answer_is_lost_is_done_once_and_said_to_be_done(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        witness = await opened(prefix, etcd_server.endpoint)
        async with a_line(etcd_server) as line:
            store = await opened(prefix, line.endpoint)
            await create(store, "before")
            calls = 0

            def change(tx: Tx) -> None:
                nonlocal calls
                calls += 1
                tx.create(Task(id=TaskId("lost")))

            with store.watch() as events:
                line.mute = True
                update = spawn(store.update(change), name="update")
                await until(witness, "before", "lost")
                line.hang_up()
                await update
                assert [[e.obj.id for e in batch] for batch in await events.drain()] == [["lost"]]
            assert (calls, store.revision, tasks(store)) == (1, 2, ["before", "lost"])
            await create(store, "after")
            await until(witness, "after", "before", "lost")
            await store.close()
        await witness.close()

    run(flow())


def test_it_is_found_although_others_have_committed_since(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        witness = await opened(prefix, etcd_server.endpoint)
        async with a_line(etcd_server) as line:
            store = await opened(prefix, line.endpoint)
            line.mute = True
            update = spawn(create(store, "lost"), name="update")
            await until(witness, "lost")
            await create(witness, "other")
            await witness.update(lambda tx: tx.delete(Task(id=TaskId("lost"))))
            line.hang_up()
            await update
            await until(store, "other")
            assert store.revision == 3
            await store.close()
        await witness.close()

    run(flow())


def test_a_commit_that_never_arrives_is_sent_again(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        async with a_line(etcd_server) as line:
            store = await opened(prefix, line.endpoint)
            await create(store, "before")
            line.deaf = True
            update = spawn(create(store, "lost"), name="update")
            await asyncio.sleep(0.1)
            line.hang_up()
            await update
            assert (store.revision, tasks(store)) == (2, ["before", "lost"])
            await store.close()

    run(flow())


def test_without_an_answer_it_is_uncertain_and_the_next_one_certainly_not_done(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        witness = await opened(prefix, etcd_server.endpoint)
        async with a_line(etcd_server) as line:
            store = await opened(prefix, line.endpoint, attempt=0.2, patience=0.5)
            await create(store, "before")
            line.mute = True
            with pytest.raises(Uncertain, match="no quorum of the swarm's managers answers: .*cannot be said"):
                await create(store, "lost")
            with pytest.raises(Unavailable, match="nothing can be changed; what runs goes on") as refused:
                await create(store, "refused")
            assert not isinstance(refused.value, Uncertain)
            assert store.revision == 1 and tasks(store) == ["before"]
            line.hang_up()
            # It hears what became of the first, and goes on.
            await until(store, "before", "lost")
            await create(store, "after")
            await until(witness, "after", "before", "lost")
            await store.close()
        await witness.close()

    run(flow())


def test_an_error_after_a_lost_answer_leaves_the_commit_in_doubt_and_says_so(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        async with a_line(etcd_server) as line:
            store = await opened(a_prefix(), line.endpoint)
            await create(store, "before")
            line.mute = True
            # etcd refuses it each time, and is heard the second time only.
            text = "".join(uuid4().hex for _ in range(120_000))
            large = Service(id=ServiceId("large"), spec=ServiceSpec(name="large", labels={"text": text}))
            update = spawn(store.update(lambda tx: tx.create(large)), name="update")
            await asyncio.sleep(1)
            line.hang_up()
            with pytest.raises(Uncertain, match="--max-request-bytes.*; whether this was done cannot be said"):
                await update
            await store.close()

    run(flow())


def test_who_waited_behind_one_that_had_no_answer_waits_no_longer(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        witness = await opened(prefix, etcd_server.endpoint)
        async with a_line(etcd_server) as line:
            store = await opened(prefix, line.endpoint, attempt=0.2, patience=0.5)
            line.deaf = True
            waiting = [create(store, f"t{number}") for number in range(100)]
            async with asyncio.timeout(10):  # and not a hundred times 0.5 s
                answers = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(answer) for answer in answers] == [Uncertain] + [Unavailable] * 99
            line.deaf = False
            line.hang_up()
            await asyncio.sleep(0.2)
            await create(store, "after")
            await until(witness, "after")
            await store.close()
        await witness.close()

    run(flow())


def test_a_store_that_hears_nothing_of_the_others_says_so(etcd_server: EtcdServer) -> None:
    """Its own questions are answered, its watch is not: it can't know what to build on."""

    class Deaf(EtcdBackend):
        async def follow(self, revision: int) -> AsyncGenerator[Transaction, None]:
            await asyncio.Event().wait()
            yield Transaction(0, "", [])

    async def flow() -> None:
        prefix = a_prefix()
        witness = await opened(prefix, etcd_server.endpoint)
        kept = Deaf(etcd=Etcd(Address((etcd_server.endpoint,))), prefix=prefix)
        store = await Store.open(backend=kept, clock=SystemClock(), patience=0.2)
        await create(witness, "other")
        with pytest.raises(Unavailable, match="nothing was changed: .* does not hear"):
            await create(store, "mine")
        assert tasks(witness) == ["other"]
        await store.close()
        await witness.close()

    run(flow())


def test_a_broken_watch_misses_nothing(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        writer = await opened(prefix, etcd_server.endpoint)
        async with a_line(etcd_server) as line:
            store = await opened(prefix, line.endpoint)
            with store.watch() as events:
                for number in range(5):
                    line.mute = number % 2 == 0
                    await create(writer, f"t{number}")
                    line.hang_up()
                await until(store, *(f"t{number}" for number in range(5)))
                heard = [[event.obj.id for event in batch] for batch in await events.drain()]
            assert heard == [[f"t{number}"] for number in range(5)]
            await store.close()
        await writer.close()

    run(flow())


def test_after_a_compaction_it_starts_afresh_and_so_do_its_watchers(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        writer = await opened(prefix, etcd_server.endpoint)
        async with a_line(etcd_server) as line:
            store = await opened(prefix, line.endpoint)
            await create(writer, "gone", "stays")
            await until(store, "gone", "stays")
            with store.watch() as events:
                line.mute = True
                await create(writer, "new")
                await writer.update(lambda tx: tx.delete(Task(id=TaskId("gone"))))
                await compact(etcd_server)
                line.hang_up()
                with pytest.raises(Lagged):
                    await events.drain()
                assert (store.revision, tasks(store)) == (3, ["new", "stays"])
                await create(writer, "later")
                assert [[e.obj.id for e in batch] for batch in await events.drain()] == [["later"]]
            await store.close()
        await writer.close()

    run(flow())


def test_one_that_was_put_back_to_an_older_state_is_taken_as_it_is(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        store = await opened(prefix, etcd_server.endpoint)
        await create(store, "old")
        old = await keys_of(etcd_server, prefix)
        await create(store, "new")
        start = prefix.encode()
        with store.watch() as events:
            removed = [delete(start + key.encode()) for key in await keys_of(etcd_server, prefix)]
            await edit(etcd_server, TxnRequest(success=removed))
            with pytest.raises(Lagged):
                await events.drain()
            assert (store.revision, tasks(store)) == (0, [])
            restored = [put(start + key.encode(), value) for key, value in old.items()]
            await edit(etcd_server, TxnRequest(success=restored))
            await events.drain()
            assert (store.revision, tasks(store)) == (1, ["old"])
            await create(store, "next")
        await store.close()

    run(flow())


def test_a_large_transaction_is_whole_and_leaves_no_pack(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        store, other = await opened(prefix, etcd_server.endpoint), await opened(prefix, etcd_server.endpoint)
        await create(store, "t0")
        await until(other, "t0")
        with other.watch() as events:
            many = [Task(id=TaskId(f"t{number}"), labels={"x": str(number) * 500}) for number in range(1, 1000)]
            await store.update(lambda tx: [tx.create(task) for task in many])
            (batch,) = await events.drain()
        assert len(batch) == 999 and other.snapshot() == store.snapshot()
        await store.update(lambda tx: [tx.delete(task) for task in tx.all(Task)])
        await until(other)
        assert list(await keys_of(etcd_server, prefix)) == ["state/head"]
        await store.close()
        await other.close()

    run(flow())


def test_a_large_transaction_whose_writer_died_over_it_is_finished_by_the_next(etcd_server: EtcdServer) -> None:
    class Dying(EtcdBackend):
        async def _spread(self, head: Any, changes: list[Change]) -> None:
            raise Unavailable("killed")

    async def flow() -> None:
        prefix = a_prefix()
        other = await opened(prefix, etcd_server.endpoint)
        kept = Dying(etcd=Etcd(Address((etcd_server.endpoint,))), prefix=prefix)
        store = await Store.open(backend=kept, clock=SystemClock())
        names = [f"t{number}" for number in range(250)]
        await create(store, "t0")

        def change(tx: Tx) -> None:
            tx.delete(Task(id=TaskId("t0")))
            for name in names[1:]:
                tx.create(Task(id=TaskId(name)))

        await store.update(change)
        await until(other, *names[1:])
        # Who starts now sees all of it, too.
        fresh = await opened(prefix, etcd_server.endpoint)
        assert fresh.snapshot() == other.snapshot()
        assert "state/pack" in await keys_of(etcd_server, prefix)
        await create(other, "next")
        await until(fresh, "next", *names[1:])
        await until(store, "next", *names[1:])
        found = await keys_of(etcd_server, prefix)
        assert found.keys() == {"state/head", "state/task/next", *(f"state/task/{name}" for name in names[1:])}
        for each in (store, other, fresh):
            await each.close()

    run(flow())


def test_what_is_too_large_for_etcd_is_refused_with_the_flag_that_helps(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        store = await opened(a_prefix(), etcd_server.endpoint)
        await create(store, "a")
        # Nothing that could be made smaller by packing.
        text = "".join(uuid4().hex for _ in range(120_000))
        with pytest.raises(FailedPrecondition, match="--max-request-bytes"):
            await store.update(lambda tx: tx.create(Task(id=TaskId("b"), labels={"x": text})))
        await create(store, "c")
        assert (tasks(store), store.revision) == (["a", "c"], 2)
        await store.close()

    run(flow())


def test_an_etcd_of_our_own_takes_a_whole_swarm_at_once(three: list[EtcdServer]) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        # No answer is waited for here as long as a machine with little to spare may need.
        store = await opened(prefix, *(server.endpoint for server in three), attempt=20)
        many = [Task(id=TaskId(f"t{number}"), labels={"x": uuid4().hex * 300}) for number in range(2000)]
        await store.update(lambda tx: [tx.create(task) for task in many])
        assert len(await keys_of(three[1], prefix)) == 2001
        await store.close()

    run(flow())


def test_who_is_beaten_again_and_again_gets_a_turn(etcd_server: EtcdServer) -> None:
    """A rival commits before each attempt, as far as it can."""
    prefix = a_prefix()
    rivals: list[asyncio.Task[None]] = []
    leases: list[int] = []

    class Beaten(EtcdBackend):
        rival: Store

        async def commit(self, transaction: Transaction, fence: Fence | None = None) -> None:
            rivals.append(spawn(create(self.rival, f"rival{len(rivals)}"), name="rival"))
            await asyncio.wait(rivals, timeout=0.5)
            turn = await self._etcd.ask(RANGE, RangeRequest(key=f"{prefix}turn".encode()))
            leases.extend(kv.lease for kv in turn.kvs)
            await super().commit(transaction, fence)

    async def flow() -> None:
        rival = await opened(prefix, etcd_server.endpoint)
        kept = Beaten(etcd=Etcd(Address((etcd_server.endpoint,))), prefix=prefix)
        kept.rival = rival
        store = await Store.open(backend=kept, clock=SystemClock())
        await create(store, "slow")
        assert len(rivals) == 4
        # Whoever dies in its turn holds up nobody for long: it hangs on a lease.
        assert leases and all(leases)
        await asyncio.gather(*rivals)
        await until(store, "slow", *(f"rival{number}" for number in range(4)))
        assert list(await keys_of(etcd_server, f"{prefix}turn")) == []
        await rival.close()
        await store.close()

    run(flow())


def test_swarms_share_an_etcd(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        one = await opened(f"{prefix}a/", etcd_server.endpoint)
        other = await opened(f"{prefix}ab/", etcd_server.endpoint)
        await create(one, "mine")
        await create(other, "yours")
        await other.update(lambda tx: tx.create(Service(id=ServiceId("s"), spec=ServiceSpec(name="web"))))
        assert (tasks(one), one.revision, tasks(other), other.revision) == (["mine"], 1, ["yours"], 2)
        await one.close()
        await other.close()

    run(flow())


@pytest.fixture(scope="module")
def three() -> Iterator[list[EtcdServer]]:
    with etcd_servers(3, SERVER_FLAGS) as servers:
        yield servers


def test_a_member_that_dies_or_freezes_is_done_without(three: list[EtcdServer]) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        endpoints = [server.endpoint for server in three]
        store = await opened(prefix, *endpoints)
        last = await opened(prefix, *reversed(endpoints))
        await create(store, "t0")
        expected = ["t0"]
        for number, server in enumerate(three):
            if number == 0:
                server.freeze()
            else:
                server.kill()
            await create(store, f"t{number}-a")
            await create(last, f"t{number}-b")
            expected += [f"t{number}-a", f"t{number}-b"]
            for each in (store, last):
                await until(each, *expected)
            if number == 0:
                server.thaw()
            else:
                server.start()
        await store.close()
        await last.close()

    run(flow())


def test_without_a_quorum_it_is_read_and_not_written_until_there_is_one(three: list[EtcdServer]) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        endpoints = [server.endpoint for server in three]
        store = await opened(prefix, *endpoints, patience=2)
        await create(store, "before")
        three[1].kill()
        three[2].kill()
        with pytest.raises(Unavailable, match="no quorum of the swarm's managers answers"):
            await create(store, "lost")
        with pytest.raises(Unavailable, match="so nothing can be changed; what runs goes on"):
            await create(store, "refused")
        assert tasks(store) == ["before"]
        three[1].start()
        three[2].start()
        while True:
            try:
                await create(store, "after")
                break
            except Unavailable:
                continue
        # The first was sent to a member that may have kept it until there was a quorum.
        assert tasks(store) in (["after", "before"], ["after", "before", "lost"])
        again = await opened(prefix, *endpoints)
        assert tasks(again) == tasks(store)
        await store.close()
        await again.close()

    run(flow())
