"""What backends have to hold that several stores share: memory, as the model, and etcd."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from shoal.aio.clock import SystemClock
from shoal.errors import Conflict
from shoal.objects.ids import ServiceId, TaskId
from shoal.objects.service import Service, ServiceSpec
from shoal.objects.task import Task
from shoal.store.backend import Backend, Behind, Change, Transaction
from shoal.store.backends.etcd import EtcdBackend
from shoal.store.backends.memory import MemoryBackend
from shoal.store.etcd.address import Address
from shoal.store.etcd.client import Etcd
from shoal.store.store import Store
from shoal.store.tx import Action, Event, Tx, View

Make = Callable[[], Backend]


@pytest.fixture(params=["memory", "etcd"])
def make(request: pytest.FixtureRequest) -> Make:
    """Each call is another manager's hold on the same contents."""
    if request.param == "etcd":
        server, prefix = request.getfixturevalue("etcd_server"), f"/test/{uuid4().hex}/"
        return lambda: EtcdBackend(etcd=Etcd(Address((server.endpoint,))), prefix=prefix)
    backend = MemoryBackend()
    return lambda: backend


def run(flow: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(flow, 60))


async def opened(stack: AsyncExitStack, make: Make, number: int) -> list[Store]:
    stores = [await Store.open(backend=make(), clock=SystemClock()) for _ in range(number)]
    for store in stores:
        stack.push_async_callback(store.close)
    return stores


async def reached(store: Store, revision: int) -> None:
    with store.watch() as events:
        while store.revision < revision:
            await events.drain()


def state(view: View) -> dict[str, object]:
    return {obj.id: obj for kind in (Service, Task) for obj in view.all(kind)}  # type: ignore[type-var]


def bump(tx: Tx) -> int:
    """One more in the only task's slot."""
    task = tx.get(Task, "counter")
    assert task is not None
    tx.update(replace(task, slot=(task.slot or 0) + 1))
    return task.slot or 0


def others(tx: Tx) -> list[Task]:
    return [task for task in tx.all(Task) if task.id != "counter"]


def applied(batches: list[list[Event]]) -> dict[str, object]:
    seen: dict[str, object] = {}
    for event in (event for batch in batches for event in batch):
        assert (event.old is None) == (event.action is Action.CREATE)
        assert seen.get(event.obj.id) == event.old
        if event.action is Action.DELETE:
            del seen[event.obj.id]
        else:
            seen[event.obj.id] = event.obj
    return seen


def test_a_store_sees_what_another_commits(make: Make) -> None:
    async def flow() -> None:
        async with AsyncExitStack() as stack:
            one, other = await opened(stack, make, 2)
            with other.watch() as events:
                await one.update(lambda tx: tx.create(Service(id=ServiceId("s"), spec=ServiceSpec(name="web"))))
                (batch,) = await events.drain()
            assert [(e.action, e.obj) for e in batch] == [(Action.CREATE, one.view.get(Service, "s"))]
            assert other.view.by_name(Service, "web") == one.view.get(Service, "s")
            assert (one.revision, other.revision) == (1, 1)

    run(flow())


def test_a_revision_is_given_once(make: Make) -> None:
    async def flow() -> None:
        one, other = make(), make()
        for backend in (one, other):
            await backend.load()
        await one.commit(Transaction(1, "one", [Change("task", "a", b"1")]))
        for revision in (1, 3):
            with pytest.raises(Behind) as behind:
                await other.commit(Transaction(revision, "other", [Change("task", "a", b"2")]))
            assert (behind.value.revision, behind.value.doubt) == (1, False)
        contents = await other.load()
        assert (contents.revision, contents.objects) == (1, [Change("task", "a", b"1")])
        for backend in (one, other):
            await backend.close()

    run(flow())


def test_transactions_are_followed_whole_and_from_where_one_wants(make: Make) -> None:
    async def flow() -> None:
        one, other = make(), make()
        await other.load()
        changes = [Change("task", f"t{n}", b"{}") for n in range(300)]
        made = [
            Transaction(1, "a", [Change("task", "x", b"1"), Change("node", "y", b"2")]),
            Transaction(2, "b", changes),
            Transaction(3, "c", [Change("task", "x", None)]),
        ]
        for transaction in made:
            await one.commit(transaction)
        for start in (0, 1, 2):
            stream = other.follow(start)
            for transaction in made[start:]:
                heard = await anext(stream)
                key = lambda change: (change.kind, change.key)  # noqa: E731
                assert sorted(heard.changes, key=key) == sorted(transaction.changes, key=key)
                assert (heard.revision, heard.id) == (transaction.revision, transaction.id)
            await stream.aclose()
        for backend in (one, other):
            await backend.close()

    run(flow())


def test_a_closure_that_came_second_is_run_again_over_the_newer_state(make: Make) -> None:
    async def flow() -> None:
        async with AsyncExitStack() as stack:
            one, other = await opened(stack, make, 2)
            await one.update(lambda tx: tx.create(Task(id=TaskId("counter"), slot=0)))
            await reached(other, 1)
            # Nothing is awaited between the two, so neither can have heard of the other's.
            slots = await asyncio.gather(one.update(bump), other.update(bump))
            assert sorted(slots) == [0, 1]
            await asyncio.gather(*(reached(store, 3) for store in (one, other)))
            assert state(one.view) == state(other.view)

    run(flow())


def test_what_another_did_is_in_the_transaction_before_it_is_in_the_events_of_the_next(make: Make) -> None:
    async def flow() -> None:
        async with AsyncExitStack() as stack:
            one, other = await opened(stack, make, 2)
            with other.watch() as events:
                await one.update(lambda tx: tx.create(Task(id=TaskId("a"))))
                seen: list[list[str]] = []

                def change(tx: Tx) -> None:
                    seen.append([task.id for task in tx.all(Task)])
                    tx.create(Task(id=TaskId("b")))

                await other.update(change)
                assert seen[-1] == ["a"]
                heard = await events.drain()
            assert [event.obj.id for batch in heard for event in batch] == ["a", "b"]

    run(flow())


def test_a_closure_that_fails_on_the_newer_state_changes_nothing(make: Make) -> None:
    async def flow() -> None:
        async with AsyncExitStack() as stack:
            one, other = await opened(stack, make, 2)

            def only(tx: Tx) -> None:
                if tx.all(Task):
                    raise Conflict("there is one")
                tx.create(Task(id=TaskId(uuid4().hex)))

            made = await asyncio.gather(one.update(only), other.update(only), return_exceptions=True)
            assert sorted(str(found) for found in made) == ["None", "there is one"]
            for store in (one, other):
                await reached(store, 1)
                assert len(store.view.all(Task)) == 1

    run(flow())


def test_a_name_that_another_has_taken_meanwhile_is_refused(make: Make) -> None:
    async def flow() -> None:
        async with AsyncExitStack() as stack:
            stores = await opened(stack, make, 3)
            made = await asyncio.gather(
                *(
                    store.update(
                        lambda tx, n=n: tx.create(Service(id=ServiceId(f"s{n}"), spec=ServiceSpec(name="web")))  # type: ignore[misc]
                    )
                    for n, store in enumerate(stores)
                ),
                return_exceptions=True,
            )
            assert [type(found) for found in made if found is not None] == [Conflict, Conflict]
            for store in stores:
                await reached(store, 1)
                assert len(store.view.all(Service)) == 1

    run(flow())


@pytest.mark.parametrize("seed", range(3))
def test_no_update_is_lost_and_all_see_all_in_one_order(make: Make, seed: int) -> None:
    """Stores that create, change, count and delete against each other: every watcher's events add up to the state, and
    the counter to the number of those who counted."""

    async def flow() -> None:
        async with AsyncExitStack() as stack:
            stores = await opened(stack, make, 3)
            watches = [stack.enter_context(store.watch()) for store in stores]
            await stores[0].update(lambda tx: tx.create(Task(id=TaskId("counter"), slot=0)))
            for store in stores:
                await reached(store, 1)
            counted = 0

            async def work(number: int, store: Store) -> None:
                nonlocal counted
                chance = random.Random(f"{seed}/{number}")
                for step in range(20):
                    match chance.randrange(4):
                        case 0:
                            await store.update(bump)
                            counted += 1
                        case 1:
                            await store.update(lambda tx: [tx.delete(t) for t in others(tx)[:2]])
                        case _:
                            size = chance.choice([1, 2, 150])
                            await store.update(
                                lambda tx, step=step, size=size: [  # type: ignore[misc]
                                    tx.create(Task(id=TaskId(f"{number}-{step}-{part}"))) for part in range(size)
                                ]
                            )
                    await asyncio.sleep(chance.random() / 500)

            await asyncio.gather(*(work(number, store) for number, store in enumerate(stores)))
            last = max(store.revision for store in stores)
            for store in stores:
                await reached(store, last)
            histories = [await watch.drain() for watch in watches]
            for store, history in zip(stores, histories, strict=True):
                assert len(history) == last
                assert applied(history) == state(store.view)
            assert histories[0] == histories[1] == histories[2]
            counter = stores[0].view.get(Task, "counter")
            assert counter is not None and counter.slot == counted
            fresh = (await opened(stack, make, 1))[0]
            assert state(fresh.view) == state(stores[0].view)

    run(flow())
