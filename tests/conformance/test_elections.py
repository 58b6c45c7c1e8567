"""Who leads, and that whoever does not can't write as if: in memory, as the model, and on etcd."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from tests.fakes.clock import FakeClock
from tests.fakes.cut import Cut
from tests.fakes.election import MemoryElections
from tests.fakes.etcd import EtcdServer

from shoal.aio.clock import SystemClock
from shoal.aio.tasks import spawn
from shoal.objects.ids import TaskId
from shoal.objects.task import Task
from shoal.store.backend import Backend, Deposed
from shoal.store.backends.etcd import EtcdBackend
from shoal.store.backends.memory import MemoryBackend
from shoal.store.election import Election, Leadership, Unopposed
from shoal.store.etcd.address import Address
from shoal.store.etcd.calls import RANGE, REVOKE
from shoal.store.etcd.client import Etcd
from shoal.store.etcd.election import EtcdElection
from shoal.store.etcd.pb.rpc_pb2 import LeaseRevokeRequest, RangeRequest
from shoal.store.store import Store


@dataclass
class Swarm:
    """Backends that share their contents, candidates, and how to take the leadership from whoever has it."""

    backend: Callable[[], Backend]
    candidate: Callable[[str], Election]
    depose: Callable[[], Awaitable[None]]


@pytest.fixture(params=["memory", "etcd"])
def swarm(request: pytest.FixtureRequest) -> Swarm:
    if request.param == "etcd":
        return on_etcd(request.getfixturevalue("etcd_server"))
    backend = MemoryBackend()
    elections = MemoryElections(backend)

    async def depose() -> None:
        elections.depose()

    return Swarm(lambda: backend, lambda name: elections, depose)


def on_etcd(server: EtcdServer) -> Swarm:
    prefix = f"/test/{uuid4().hex}/"

    def etcd() -> Etcd:
        return Etcd(Address((server.endpoint,)))

    def candidate(name: str) -> Election:
        return EtcdElection(etcd=etcd(), prefix=prefix, candidate=name, clock=SystemClock())

    async def depose() -> None:
        connection = etcd()
        present = await connection.ask(RANGE, RangeRequest(key=f"{prefix}leader".encode()))
        await connection.ask(REVOKE, LeaseRevokeRequest(ID=present.kvs[0].lease))
        await connection.close()

    return Swarm(lambda: EtcdBackend(etcd=etcd(), prefix=prefix), candidate, depose)


def run(flow: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(flow, 60))


async def create(store: Store, key: str) -> None:
    await store.update(lambda tx: tx.create(Task(id=TaskId(key))))


def test_one_leads_and_the_next_once_it_has_given_up(swarm: Swarm) -> None:
    async def flow() -> None:
        order: list[str] = []

        async def second() -> None:
            async with swarm.candidate("b").lead() as leadership:
                order.append("b leads")
                assert not leadership.is_over

        async with swarm.candidate("a").lead() as first:
            order.append("a leads")
            waiting = spawn(second(), name="b")
            await asyncio.sleep(0.1)
            order.append("a gives up")
        assert first.is_over
        await waiting
        assert order == ["a leads", "a gives up", "b leads"]

    run(flow())


def test_a_leader_commits_and_one_that_was_deposed_changes_nothing(swarm: Swarm) -> None:
    async def flow() -> None:
        store = await Store.open(backend=swarm.backend(), clock=SystemClock())
        other = await Store.open(backend=swarm.backend(), clock=SystemClock())
        async with swarm.candidate("a").lead() as old:
            leading = store.fenced(old.fence)
            await create(leading, "one")
            await swarm.depose()
            async with swarm.candidate("b").lead() as new:
                with pytest.raises(Deposed):
                    await create(leading, "two")
                await create(other.fenced(new.fence), "three")
                # Others' transactions come between, so that the deposed one's is run again: it is refused all the same.
                with pytest.raises(Deposed):
                    await create(leading, "four")
                # What is no loop's is written by any manager.
                await create(store, "five")
                assert [task.id for task in leading.view.all(Task)] == ["one", "three", "five"]
                assert leading.revision == store.revision == 3
        await store.close()
        await other.close()

    run(flow())


def test_a_leader_is_told_that_it_is_deposed(swarm: Swarm) -> None:
    async def flow() -> None:
        async with swarm.candidate("a").lead() as leadership:
            await swarm.depose()
            await leadership.over()
            assert leadership.is_over

    run(flow())


def test_a_fenced_store_is_the_same_store(swarm: Swarm) -> None:
    async def flow() -> None:
        store = await Store.open(backend=swarm.backend(), clock=SystemClock())
        async with swarm.candidate("a").lead() as leadership:
            leading = store.fenced(leadership.fence)
            with store.watch() as events, leading.watch() as same:
                await create(leading, "one")
                await create(store, "two")
                assert await events.drain() == await same.drain()
                assert leading.snapshot() == store.snapshot()
        await store.close()

    run(flow())


def test_who_is_alone_leads_at_once_and_needs_no_fence() -> None:
    async def flow() -> None:
        store = await Store.open(backend=MemoryBackend(), clock=SystemClock())
        async with Unopposed().lead() as leadership:
            await create(store.fenced(leadership.fence), "one")
            assert not leadership.is_over
        assert leadership.is_over
        await store.close()

    run(flow())


def test_a_leader_that_hears_nothing_gives_itself_up_before_another_can_lead(etcd_server: EtcdServer) -> None:
    """By its own clock alone, which the test turns."""

    async def flow() -> None:
        clock = FakeClock()
        with TemporaryDirectory() as folder:
            async with Cut(Path(folder, "cut"), etcd_server.endpoint) as cut:
                etcd = Etcd(Address((cut.endpoint,)))
                election = EtcdElection(etcd=etcd, prefix=f"/test/{uuid4().hex}/", candidate="a", clock=clock)
                async with election.lead() as leadership:
                    await cut.close()
                    await _turn(clock, leadership, 2.4)
                    assert not leadership.is_over
                    await _turn(clock, leadership, 0.6)
                    assert leadership.is_over
                await etcd.close()

    run(flow())


async def _turn(clock: FakeClock, leadership: Leadership, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        await clock.advance(0.1)
        await asyncio.sleep(0.01)
