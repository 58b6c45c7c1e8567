"""Two managers on real etcds over loopback: how the state comes to be shared, and what is left of a move that was cut
off."""

import asyncio
import os
import random
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.keeper import FakeKeeper
from tests.fakes.light_engine import eventually
from tests.fakes.runtime import FakeRuntime
from tests.unit.daemon.test_recover import recovered, spoil
from tests.unit.daemon.test_swarm import Node, joining, node

from shoal.daemon import membership
from shoal.daemon.place import OwnEtcd
from shoal.errors import Conflict, Damaged, FailedPrecondition, InvalidArgument, Unavailable
from shoal.manager.manager import Manager
from shoal.objects.defaults import PEER_OFFSET
from shoal.objects.network import NetworkSpec
from shoal.store.etcd.address import Address

pytestmark = pytest.mark.timeout(120)
Work = Callable[[Node, Node], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_etcd_left(tmp_path: Path) -> Iterator[None]:
    yield
    for pid in tmp_path.glob("*/run/etcd/etcd.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(pid.read_text()), signal.SIGKILL)


def lives(folder: Path, *works: Work, between: Callable[[], object] = lambda: None) -> None:
    """One life of two nodes' shoalds after the other; the first founds a swarm, which the second joins."""
    port = free_ports()
    runtimes, keepers = [FakeRuntime(), FakeRuntime()], [FakeKeeper(), FakeKeeper()]

    async def life(work: Work, *, is_first: bool) -> None:
        async with (
            node(folder / "one", port, runtimes[0], keepers[0]) as one,
            node(folder / "two", port, runtimes[1], keepers[1], "127.0.0.2") as two,
        ):
            if is_first:
                await one.swarm.init(one.request())
                await two.swarm.join(joining(one))
            await asyncio.wait_for(work(one, two), 60)  # type: ignore[arg-type]

    for number, work in enumerate(works):
        if number:
            between()
        asyncio.run(life(work, is_first=number == 0))


def free_ports() -> int:
    """A port that is free together with etcd's, below those that the kernel gives to connections."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + PEER_OFFSET))
            return port


def own(made: Node) -> str:
    assert made.swarm.membership is not None
    return made.swarm.membership.node_id


async def set_role(control: Manager, node_id: str, role: str) -> None:
    """As a client does it: again, where the node has changed meanwhile."""
    while True:
        found = control.nodes.get(node_id)
        with suppress(InvalidArgument):
            return await control.nodes.update(node_id, replace(found.spec, role=role), found.version.index)
        await asyncio.sleep(0.01)


async def promoted(one: Node, two: Node) -> None:
    """Have two managers, and wait until both are."""
    await set_role(one.swarm.control(), own(two), "manager")
    await eventually(lambda: two.swarm.manager is not None, seconds=30)


def names(made: Node) -> set[str]:
    return {network.spec.name for network in made.swarm.control().networks.list()}


def test_a_worker_becomes_a_manager_and_a_worker_again(tmp_path: Path) -> None:
    async def work(one: Node, two: Node) -> None:
        before = one.swarm.control().store.revision
        await one.swarm.control().networks.create(NetworkSpec(name="before"))
        await promoted(one, two)
        assert one.swarm.control().store.revision > before
        assert not (tmp_path / "one" / "swarm" / "state.db").exists()
        await two.swarm.control().networks.create(NetworkSpec(name="after"))
        await eventually(lambda: names(one) == names(two) == {"ingress", "before", "after"})
        # Exactly one of them leads, and the other knows which.
        managers = [one.swarm.control(), two.swarm.control()]
        await eventually(lambda: [m.is_leader for m in managers].count(True) == 1)
        await eventually(lambda: list(two.swarm.control().managers)[0] in (own(one), own(two)))
        await set_role(two.swarm.control(), own(two), "worker")
        await eventually(lambda: two.swarm.membership is not None and not two.swarm.membership.is_manager)
        assert two.swarm.manager is None and not (tmp_path / "two" / "swarm" / "etcd").exists()
        await one.swarm.control().networks.create(NetworkSpec(name="alone"))
        with pytest.raises(Unavailable, match="Worker nodes can't be used"):
            two.swarm.control()
        await two.swarm.leave(force=False)
        await one.swarm.leave(force=True)
        for made in (one, two):
            made.nothing_of_a_swarm()

    lives(tmp_path, work)


def test_both_are_managers_again_after_a_restart_on_the_etcds_that_went_on(tmp_path: Path) -> None:
    pids: list[str] = []

    def running() -> list[str]:
        return [(tmp_path / name / "run" / "etcd" / "etcd.pid").read_text() for name in ("one", "two")]

    async def first(one: Node, two: Node) -> None:
        await promoted(one, two)
        await one.swarm.control().networks.create(NetworkSpec(name="kept"))
        pids.extend(running())

    async def again(one: Node, two: Node) -> None:
        for made in (one, two):
            await eventually(lambda made=made: made.swarm.manager is not None)  # type: ignore[misc]
            assert "kept" in names(made)
        assert running() == pids

    lives(tmp_path, first, again)


def test_what_is_left_of_a_move_that_was_cut_off_does_no_harm(tmp_path: Path) -> None:
    """Before it was settled the file has the state, and after it etcd, whatever else there is."""
    folder = tmp_path / "one" / "swarm"

    def leave_an_etcd() -> None:
        (folder / "etcd" / "member").mkdir(parents=True)
        shutil.copy(folder / "state.db", tmp_path / "older.db")

    async def first(one: Node, two: Node) -> None:
        await one.swarm.control().networks.create(NetworkSpec(name="kept"))

    async def second(one: Node, two: Node) -> None:
        assert "kept" in names(one) and not (folder / "etcd").exists()
        await eventually(lambda: one.swarm.control().nodes.get(own(two)).is_ready)
        await promoted(one, two)
        await one.swarm.control().networks.create(NetworkSpec(name="later"))

    async def third(one: Node, two: Node) -> None:
        await eventually(lambda: one.swarm.manager is not None)
        assert {"kept", "later"} <= names(one) and not (folder / "state.db").exists()

    steps = [leave_an_etcd, lambda: shutil.copy(tmp_path / "older.db", folder / "state.db")]
    lives(tmp_path, first, second, third, between=lambda: steps.pop(0)())


@pytest.mark.parametrize("harm", [spoil, os.unlink])
def test_a_manager_whose_memory_of_itself_is_lost(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    """Its certificate says who it is and where it is reached; what port it had, nothing does."""
    lives(tmp_path, promoted)
    folder = tmp_path / "two" / "swarm"
    before = membership.read(folder)
    harm(folder / "membership.json")
    with pytest.raises(Damaged):
        membership.read(folder)
    assert "made anew for node" in "\n".join(recovered(tmp_path / "two"))
    found = membership.read(folder)
    assert before is not None and found is not None
    assert (found.node_id, found.is_manager, found.store) == (before.node_id, True, "etcd")
    assert found.advertise == "127.0.0.2:2377"
    assert not recovered(tmp_path / "two")[0].startswith("the swarm")


def test_a_manager_whose_certificate_is_lost_has_to_come_anew(tmp_path: Path) -> None:
    lives(tmp_path, promoted)
    spoil(tmp_path / "two" / "swarm" / "certificates" / "swarm-node.crt")
    assert "Demote and remove it on another manager" in "\n".join(recovered(tmp_path / "two"))
    assert membership.read(tmp_path / "two" / "swarm") is None


def test_a_users_own_etcd_holds_the_state_from_the_start_and_nothing_after_the_end(tmp_path: Path) -> None:
    """The etcd of another swarm's manager is as good as any for that."""

    async def work(one: Node, two: Node) -> None:
        await promoted(one, two)
        address = Address((f"unix:{tmp_path}/one/run/etcd/client:1",), "/users/own/")
        third = tmp_path / "three"
        async with node(third, one.port, FakeRuntime(), FakeKeeper(), "127.0.0.3", store=OwnEtcd(address)) as three:
            request = three.request(listen_addr=f"127.0.0.3:{one.port}", advertise_addr=f"127.0.0.3:{one.port}")
            await three.swarm.init(request)
            await three.swarm.control().networks.create(NetworkSpec(name="theirs"))
            assert three.swarm.membership is not None and three.swarm.membership.store == "external"
            assert not (third / "swarm" / "state.db").exists() and not (third / "swarm" / "etcd").exists()
            assert "theirs" not in names(one)
            # What is there is not founded over.
            async with node(
                tmp_path / "four", one.port, FakeRuntime(), FakeKeeper(), "127.0.0.4", store=OwnEtcd(address)
            ) as four:
                with pytest.raises(Conflict, match="holds a swarm's state under /users/own/ already"):
                    await four.swarm.init(replace(request, listen_addr=f"127.0.0.4:{one.port}"))
                assert four.swarm.membership is None
            # A manager that is not started with the same place cannot share it.
            await set_role(one.swarm.control(), own(two), "worker")
            await eventually(lambda: two.swarm.manager is None)
            await two.swarm.leave(force=False)
            token = three.swarm.control().cluster.get().join_tokens.manager
            asked = joining(three, join_token=token, remote_addrs=[f"127.0.0.3:{one.port}"])
            with pytest.raises(FailedPrecondition, match="either all are started with --store, as here, or none"):
                await two.swarm.join(asked)
            assert [n.id for n in three.swarm.control().nodes.list()] == [own(three)]
            await three.swarm.leave(force=True)
            await three.swarm.init(request)
            assert "theirs" not in names(three)
            await three.swarm.leave(force=True)

    lives(tmp_path, work)


def test_a_manager_that_is_started_without_the_users_etcd_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        port, runtime, keeper = free_ports(), FakeRuntime(), FakeKeeper()
        async with node(tmp_path / "one", port, runtime, keeper) as one:
            await one.swarm.init(one.request())
            assert one.swarm.membership is not None
            external = replace(one.swarm.membership, store="external")
            with pytest.raises(FailedPrecondition, match="start shoald with --store"):
                await one.swarm._place.open(external, one.swarm._clock)

    asyncio.run(main())
