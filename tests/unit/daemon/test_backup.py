"""A backup is a swarm at one revision, whole, and nothing else is taken for one."""

import asyncio
import io
import random
import tarfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.unit.daemon.test_swarm import Node, run

from shoal.aio.clock import SystemClock
from shoal.aio.tasks import spawn
from shoal.daemon.backup import pack, unpack
from shoal.daemon.state import SwarmState
from shoal.errors import InvalidArgument, Unavailable
from shoal.manager.found import FoundingRequest, found
from shoal.objects.ids import NetworkId, TaskId
from shoal.objects.network import Network, NetworkSpec
from shoal.objects.task import Task
from shoal.store.tables import Stored

FOUNDING = found(FoundingRequest(advertise="192.0.2.1:2377"), datetime.now(UTC))


def some_objects(count: int) -> list[Stored]:
    return [*FOUNDING.objects, *(Task(id=TaskId(f"t{n}")) for n in range(count))]


def packed(count: int = 2500) -> bytes:
    pieces = pack(some_objects(count), revision=7, node_id=FOUNDING.node_id, created="now")
    return b"".join(pieces)


def read(content: bytes) -> list[Stored]:
    return unpack(io.BytesIO(content)).objects


def test_what_was_packed_is_unpacked() -> None:
    found = unpack(io.BytesIO(packed()))
    assert found.objects == some_objects(2500)
    assert (found.manifest.revision, found.manifest.objects, found.node.id) == (7, 2503, FOUNDING.node_id)
    with tarfile.open(fileobj=io.BytesIO(packed())) as archive:
        assert archive.getnames() == [
            "shoal-state",
            "objects/000000",
            "objects/000001",
            "objects/000002",
            "manifest.json",
        ]
        assert {info.mode for info in archive} == {0o600}


def test_a_cut_file_is_refused_wherever_it_is_cut() -> None:
    content, rng = packed(200), random.Random(3)
    # What is only filled up to a whole record says nothing.
    whole = len(content) - 1024
    for length in [0, 1, 511, 512, whole - 513, *(rng.randrange(whole - 512) for _ in range(60))]:
        with pytest.raises(InvalidArgument, match="no backup of a swarm|is not whole"):
            read(content[:length])


def test_a_flipped_bit_is_refused_or_does_not_matter() -> None:
    content, rng, refused = packed(200), random.Random(3), 0
    for _ in range(150):
        bad = bytearray(content)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        try:
            assert read(bytes(bad)) == some_objects(200)
        except InvalidArgument:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("content", [b"hello" * 300, b"\0" * 4096, b"\x1f\x8b" * 600])
def test_what_is_no_backup_says_so(content: bytes) -> None:
    with pytest.raises(InvalidArgument, match="no backup of a swarm: make one with 'shoal state export FILE'"):
        read(content)


def test_another_tar_is_no_backup() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("manifest.json"))
    with pytest.raises(InvalidArgument, match="no backup"):
        read(buffer.getvalue())


def test_a_newer_format_says_what_to_import_it_with() -> None:
    head = msgspec.json.encode({"format": 2, "shoal": "9.1"})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("shoal-state")
        info.size = len(head)
        archive.addfile(info, io.BytesIO(head))
    with pytest.raises(InvalidArgument, match=r"has format 2, .* reads up to 1: import it with Shoal 9\.1 or newer"):
        read(buffer.getvalue())


def state_of(made: Node) -> SwarmState:
    return SwarmState(made.swarm, spool=made.engine.folder, clock=SystemClock())


async def exported(made: Node) -> bytes:
    return b"".join([piece async for piece in state_of(made).export_state()])


async def import_(made: Node, content: bytes, *, force: bool = False) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    address = f"127.0.0.1:{made.port}"
    await state_of(made).import_state(pieces(), force=force, listen=address, advertise=address)


def what_it_is(made: Node) -> object:
    cluster = made.swarm.control().cluster.get()
    names = {network.id: network.spec.name for network in made.swarm.control().networks.list()}
    return cluster.id, cluster.join_tokens, cluster.root_ca_key, names, made.swarm.control().node_id


def test_a_swarm_moves_to_a_machine_that_is_in_none(tmp_path: Path) -> None:
    saved: list[bytes] = []
    known: list[object] = []

    async def before(made: Node) -> None:
        with pytest.raises(Unavailable, match="not a swarm manager"):
            await exported(made)
        await made.swarm.init(made.request())
        await made.swarm.control().networks.create(NetworkSpec(name="over"))
        saved.append(await exported(made))
        known.append(what_it_is(made))
        await made.swarm.leave(force=True)
        made.nothing_of_a_swarm()

    async def after(made: Node) -> None:
        for bad in (b"rubbish", saved[0][:-2000]):
            with pytest.raises(InvalidArgument):
                await import_(made, bad)
            made.nothing_of_a_swarm()
        await import_(made, saved[0])
        assert what_it_is(made) == known[0]
        assert made.engine.networks.cluster.ingress_addresses
        with pytest.raises(Unavailable, match="already part of a swarm.* --force"):
            await import_(made, saved[0])

    async def again(made: Node) -> None:
        assert what_it_is(made) == known[0]
        await made.swarm.leave(force=True)
        await made.swarm.init(made.request())
        assert what_it_is(made) != known[0]
        with pytest.raises(InvalidArgument):
            await import_(made, saved[0][:3000], force=True)
        assert made.swarm.control().nodes.list(), "a file that is not whole changes nothing"
        await import_(made, saved[0], force=True)
        assert what_it_is(made) == known[0]
        await made.swarm.leave(force=True)
        made.nothing_of_a_swarm()

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    run(tmp_path / "a", before)
    run(tmp_path / "b", after, again)


def test_on_its_own_node_it_takes_the_place_of_what_is_there(tmp_path: Path) -> None:
    async def work(made: Node) -> None:
        await made.swarm.init(made.request())
        saved, known = await exported(made), what_it_is(made)
        revision = made.swarm.control().store.revision
        await made.swarm.control().networks.create(NetworkSpec(name="later"))
        later = made.swarm.control().store.revision
        await import_(made, saved, force=True)
        assert what_it_is(made) == known
        assert made.swarm.control().store.revision > later > revision
        assert len(list((tmp_path / "swarm").glob("state.db.damaged-*"))) >= 1
        await made.swarm.leave(force=True)
        made.nothing_of_a_swarm()

    run(tmp_path, work)


def test_an_export_is_of_one_revision_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    async def work(made: Node) -> None:
        await made.swarm.init(made.request())
        store = made.swarm.control().store
        networks = [Network(id=NetworkId(f"n{n}"), spec=NetworkSpec(name=f"n{n}")) for n in range(30)]
        for network in networks:
            await store.update(lambda tx, network=network: tx.create(network))  # type: ignore[misc]
        stop = asyncio.Event()

        async def scribble() -> None:
            number = 0
            while not stop.is_set():
                number += 1

                def change(tx: object, number: int = number) -> None:
                    for network in networks:
                        spec = replace(network.spec, labels={"round": str(number)})
                        tx.update(replace(network, spec=spec))  # type: ignore[attr-defined]

                await store.update(change)

        writer = spawn(scribble(), name="scribble")
        for _ in range(20):
            await asyncio.sleep(0.005)
            objects = read(await exported(made))
            rounds = {str(o.spec.labels) for o in objects if isinstance(o, Network) and o.id.startswith("n")}
            assert len({r for r in rounds if r != "None"}) <= 1
        stop.set()
        await writer
        await made.swarm.leave(force=True)

    run(tmp_path, work)
