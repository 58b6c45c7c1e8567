"""A state that was kept elsewhere is brought into etcd: whole, or not at all."""

import asyncio
from collections.abc import Coroutine
from typing import Any
from uuid import uuid4

import pytest
from tests.fakes.etcd import EtcdServer

from shoal.aio.clock import SystemClock
from shoal.errors import Conflict, Unavailable
from shoal.objects.ids import TaskId
from shoal.objects.task import Task
from shoal.store.backend import Contents
from shoal.store.backends.etcd import EtcdBackend
from shoal.store.backends.memory import MemoryBackend
from shoal.store.etcd.address import Address
from shoal.store.etcd.calls import RANGE, TXN, end_of
from shoal.store.etcd.client import Etcd, Unanswered
from shoal.store.etcd.head import Head
from shoal.store.etcd.pb.rpc_pb2 import RangeRequest, RequestOp
from shoal.store.store import Store


def run(flow: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(flow, 60))


def a_prefix() -> str:
    return f"/test/{uuid4().hex}/"


def backend(server: EtcdServer, prefix: str) -> EtcdBackend:
    return EtcdBackend(etcd=Etcd(Address((server.endpoint,)), patience=20), prefix=prefix)


async def opened(server: EtcdServer, prefix: str) -> Store:
    return await Store.open(backend=backend(server, prefix), clock=SystemClock())


async def create(store: Store, key: str) -> None:
    await store.update(lambda tx: tx.create(Task(id=TaskId(key))))


async def a_state(*, tasks: int) -> Contents:
    """Of revision 3, and hardly smaller when packed: a task is some 3 KB."""
    kept = MemoryBackend()
    store = await Store.open(backend=kept, clock=SystemClock())
    await create(store, "first")
    await create(store, "second")
    many = [Task(id=TaskId(f"t{n}"), labels={"x": "".join(uuid4().hex for _ in range(100))}) for n in range(tasks)]
    await store.update(lambda tx: [tx.create(task) for task in many])
    return await kept.load()


async def keys(server: EtcdServer, prefix: str) -> list[str]:
    etcd = Etcd(Address((server.endpoint,)))
    found = await etcd.ask(RANGE, RangeRequest(key=prefix.encode(), range_end=end_of(prefix.encode())))
    await etcd.close()
    return [kv.key.decode().removeprefix(prefix) for kv in found.kvs]


def same(one: Contents, other: Contents) -> bool:
    first, second = ({(change.kind, change.key): change for change in each.objects} for each in (one, other))
    return (one.revision, first) == (other.revision, second)


async def is_all_of(server: EtcdServer, prefix: str, state: Contents) -> None:
    """It is what is there, with nothing beside it, and goes on."""
    store = await opened(server, prefix)
    assert store.revision == state.revision
    await create(store, "next")
    assert store.revision == state.revision + 1
    assert sorted(await keys(server, f"{prefix}state/")) == sorted(
        ["head", "task/next", *(f"{change.kind}/{change.key}" for change in state.objects)]
    )
    await store.close()


def test_a_state_goes_on_at_its_revision_and_is_heard_of(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix, state = a_prefix(), await a_state(tasks=1000)
        waiting = await opened(etcd_server, prefix)
        seeding = backend(etcd_server, prefix)
        await seeding.seed(state)
        assert same(await seeding.load(), state)
        async with asyncio.timeout(20):
            while waiting.revision != state.revision:  # noqa: ASYNC110 (whoever watches is told to begin anew)
                await asyncio.sleep(0.01)
        with pytest.raises(Conflict, match="holds a swarm's state already, of revision 3"):
            await seeding.seed(await a_state(tasks=1))
        await is_all_of(etcd_server, prefix, state)
        await waiting.close()
        await seeding.close()

    run(flow())


def test_a_seed_that_was_cut_off_before_its_head_is_nothing(etcd_server: EtcdServer) -> None:
    class Dying(EtcdBackend):
        async def _seeded(self, head: Head, writes: list[RequestOp]) -> None:
            if writes[0].request_put.key.endswith(b"head"):
                raise Unavailable("killed")
            await super()._seeded(head, writes)

    async def flow() -> None:
        prefix, state = a_prefix(), await a_state(tasks=1000)
        dying = Dying(etcd=Etcd(Address((etcd_server.endpoint,))), prefix=prefix)
        with pytest.raises(Unavailable):
            await dying.seed(state)
        assert len(await keys(etcd_server, f"{prefix}state/pack/")) > 1
        assert same(await dying.load(), Contents(0, []))
        await dying.close()
        other, seeding = await a_state(tasks=200), backend(etcd_server, prefix)
        await seeding.seed(other)
        await seeding.close()
        await is_all_of(etcd_server, prefix, other)

    run(flow())


def test_one_that_was_cut_off_after_its_head_is_whole_and_finished_by_the_next(etcd_server: EtcdServer) -> None:
    class Dying(EtcdBackend):
        async def _spread(self, head: Any, changes: Any) -> None:
            raise Unavailable("killed")

    async def flow() -> None:
        prefix, state = a_prefix(), await a_state(tasks=1000)
        dying = Dying(etcd=Etcd(Address((etcd_server.endpoint,))), prefix=prefix)
        await dying.seed(state)
        assert same(await dying.load(), state)
        await dying.close()
        await is_all_of(etcd_server, prefix, state)

    run(flow())


def test_one_whose_answers_are_lost_is_done_and_said_to_be_done(etcd_server: EtcdServer) -> None:
    class Forgetful(Etcd):
        """Of each of its transactions it loses the first answer."""

        def __init__(self, address: Address) -> None:
            super().__init__(address, patience=20)
            self.known: list[bytes] = []

        async def ask(self, method: Any, request: Any) -> Any:
            answer = await super().ask(method, request)
            if (asked := request.SerializeToString()) in self.known or method is not TXN:
                return answer
            self.known.append(asked)
            raise Unanswered("lost", begun=True)

    async def flow() -> None:
        prefix, state = a_prefix(), await a_state(tasks=1000)
        etcd = Forgetful(Address((etcd_server.endpoint,)))
        seeding = EtcdBackend(etcd=etcd, prefix=prefix)
        await seeding.seed(state)
        assert len(etcd.known) > 10
        await seeding.close()
        await is_all_of(etcd_server, prefix, state)

    run(flow())


def test_where_nothing_was_nothing_is_written(etcd_server: EtcdServer) -> None:
    async def flow() -> None:
        prefix = a_prefix()
        seeding = backend(etcd_server, prefix)
        await seeding.seed(Contents(0, []))
        await seeding.close()
        assert await keys(etcd_server, prefix) == []
        store = await opened(etcd_server, prefix)
        await create(store, "a")
        await store.close()
        late = backend(etcd_server, prefix)
        with pytest.raises(Conflict):
            await late.seed(Contents(0, []))
        await late.close()

    run(flow())
