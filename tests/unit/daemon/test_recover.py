"""Each part of a node's state is spoilt, found out, and made good as far as it goes."""

import asyncio
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from tests.fakes.keeper import FakeKeeper
from tests.fakes.light_engine import eventually
from tests.fakes.runtime import FakeRuntime
from tests.unit.daemon.test_swarm import Node, free_port, joining, node, run

from shoal.daemon import membership
from shoal.daemon.recover import check_presence, recover
from shoal.durable.objectfile import ObjectFile, Row, mark_of
from shoal.engine import copies
from shoal.errors import Damaged, Unavailable
from shoal.objects.network import NetworkSpec
from shoal.objects.service import ContainerSpec, ReplicatedService, ServiceMode, ServiceSpec, TaskSpec

NOW = datetime.now(UTC)
WEB = ServiceSpec(
    name="web",
    task_template=TaskSpec(container_spec=ContainerSpec(image="web")),
    mode=ServiceMode(replicated=ReplicatedService(replicas=0)),
)


def recovered(folder: Path) -> list[str]:
    return list(recover(folder, NOW))


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def swarm_again(tmp_path: Path, harm: Callable[[Path], object], *, words: str, told: str) -> None:
    """Found a swarm, harm it: the manager says so, and after a recovery it is the same again."""
    ids: list[str] = []

    async def first(made: Node) -> None:
        ids.append(await made.swarm.init(made.request()))
        control = made.swarm.control()
        ids.append(control.cluster.get().id)
        await control.networks.create(NetworkSpec(name="over"))
        await control.services.create(WEB)

    async def without(made: Node) -> None:
        info = made.swarm.info()
        assert info.local_node_state == "error" and words in info.error and "--recover" in info.error
        assert not info.control_available
        with pytest.raises(Unavailable, match="the manager on this node does not run: .*--recover"):
            made.swarm.control()
        with pytest.raises(Unavailable, match="Use `--force`"):
            await made.swarm.leave(force=False)
        assert made.engine.networks.cluster.ingress_addresses, "the node goes on with what it was told"

    async def again(made: Node) -> None:
        control = made.swarm.control()
        assert [control.nodes.list()[0].id, control.cluster.get().id] == ids
        assert made.swarm.info().local_node_state == "active"
        assert {network.spec.name for network in control.networks.list()} == {"ingress", "over"}
        assert [service.spec.name for service in control.services.list()] == ["web"]
        await made.swarm.leave(force=True)
        made.nothing_of_a_swarm()

    steps: list[Callable[[], object]] = [lambda: harm(tmp_path / "swarm"), lambda: lines.extend(recovered(tmp_path))]
    lines: list[str] = []
    run(tmp_path, first, without, again, between=lambda runtime: steps.pop(0)())
    assert told in "\n".join(lines), lines
    assert recovered(tmp_path) == [f"all state below {tmp_path} can be trusted: nothing was changed"]


@pytest.mark.parametrize("name", ["swarm-node.crt", "swarm-node.key", "swarm-root-ca.crt"])
@pytest.mark.parametrize("harm", [spoil, os.unlink])
def test_certificates(tmp_path: Path, name: str, harm: Callable[[Path], object]) -> None:
    swarm_again(
        tmp_path,
        lambda folder: harm(folder / "certificates" / name),
        words="the certificates in",
        told="new ones were issued by the swarm's authority",
    )


def test_a_log_that_was_lost(tmp_path: Path) -> None:
    def harm(folder: Path) -> None:
        mark_of(folder / "state.db").write_text("999")

    swarm_again(tmp_path, harm, words="and 999 had been acknowledged", told="objects were kept")


def test_the_swarms_state_without_this_node(tmp_path: Path) -> None:
    def harm(folder: Path) -> None:
        file = ObjectFile.open(folder / "state.db", what="it", root=folder)
        file.commit([Row(kind, key, None) for kind, key, _ in file.rows("node")])
        file.close()

    swarm_again(tmp_path, harm, words="is not in it", told="does not know this node")


def test_the_swarms_state_that_is_gone(tmp_path: Path) -> None:
    async def first(made: Node) -> None:
        await made.swarm.init(made.request())

    async def without(made: Node) -> None:
        assert "state.db is missing" in made.swarm.info().error
        await made.swarm.leave(force=True)
        made.nothing_of_a_swarm()

    def harm(runtime: object) -> None:
        (tmp_path / "swarm" / "state.db").unlink()
        before = sorted(os.listdir(tmp_path / "swarm"))
        assert "the swarm's own object is lost" in "\n".join(recovered(tmp_path))
        assert sorted(os.listdir(tmp_path / "swarm")) == before

    run(tmp_path, first, without, between=harm)


@pytest.mark.parametrize("harm", [spoil, os.unlink])
def test_membership(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    known: list[membership.Membership] = []

    async def first(made: Node) -> None:
        await made.swarm.init(made.request())
        assert made.swarm.membership is not None
        known.append(made.swarm.membership)

    async def again(made: Node) -> None:
        assert made.swarm.membership is not None
        assert made.swarm.membership.node_id == known[0].node_id
        assert made.swarm.membership.advertise == known[0].advertise
        assert made.swarm.control().nodes.list()

    def between(runtime: object) -> None:
        harm(tmp_path / "swarm" / "membership.json")
        with pytest.raises(Damaged):
            membership.read(tmp_path / "swarm")
        assert "made anew for node" in "\n".join(recovered(tmp_path))

    run(tmp_path, first, again, between=between)


@pytest.mark.parametrize(
    ("name", "told"),
    [("membership.json", "cannot be trusted"), ("certificates/swarm-node.crt", "cannot be trusted"), ("", "")],
)
def test_a_worker_that_is_whole_is_left_alone_and_a_spoilt_one_may_join_again(
    tmp_path: Path, name: str, told: str
) -> None:
    async def main() -> None:
        port, runtime, keeper = free_port(), FakeRuntime(), FakeKeeper()
        worker = tmp_path / "worker"
        async with node(tmp_path / "manager", port, FakeRuntime(), FakeKeeper()) as manager:
            await manager.swarm.init(manager.request())
            async with node(worker, port, runtime, keeper, "127.0.0.2") as made:
                await made.swarm.join(joining(manager))
            if name:
                spoil(worker / "swarm" / name)
            lines = recovered(worker)
            if not told:
                assert lines == [f"all state below {worker} can be trusted: nothing was changed"]
            else:
                assert told in lines[0] and "Join again" in lines[-1]
            async with node(worker, port, runtime, keeper, "127.0.0.2") as made:
                assert (made.swarm.membership is None) == bool(told)
                if told:
                    await eventually(lambda: made.swarm.info().local_node_state == "inactive")
                    down = joining(manager, advertise_addr="127.0.0.3")
                    await made.swarm.join(down)
                await eventually(lambda: made.swarm.info().local_node_state == "active")
                await made.swarm.leave(force=False)
            await manager.swarm.leave(force=True)

    asyncio.run(asyncio.wait_for(main(), 30))


@pytest.mark.parametrize("harm", ["spoil", "unlink", "unlink all"])
def test_the_nodes_state_comes_back_from_containers_own_files(tmp_path: Path, harm: str) -> None:
    keys: list[str] = []

    async def first(made: Node) -> None:
        await made.swarm.init(made.request())
        keys.append(await made.engine.run("web", network="bridge"))
        await asyncio.to_thread((tmp_path / "volumes" / "kept" / "_data").mkdir, parents=True)

    def between(runtime: object) -> None:
        path = tmp_path / "node.db"
        if harm == "spoil":
            path.write_bytes(b"\0" * 8192 + path.read_bytes()[8192:])
        else:
            for suffix in ("", "-mark") if harm == "unlink all" else ("",):
                Path(f"{path}{suffix}").unlink()
        with pytest.raises(Damaged):
            check_presence(tmp_path)
            ObjectFile.open(path, what="it", root=tmp_path)
        lines = "\n".join(recovered(tmp_path))
        assert f"restored from its own files: container {keys[0]}" in lines
        assert "restored from its own files: volume kept" in lines

    async def again(made: Node) -> None:
        assert made.engine.state("web") == "running"
        assert [volume.name for volume in await made.engine.volumes.list({})] == ["kept"]
        assert made.swarm.control().nodes.list()

    run(tmp_path, first, again, between=between)


def test_a_container_that_nothing_is_known_of_is_left_alone_after_a_recovery(tmp_path: Path) -> None:
    async def first(made: Node) -> None:
        await made.engine.run("web", network="bridge")
        await made.engine.run("lost", network="bridge")

    def between(runtime: object) -> None:
        path = tmp_path / "node.db"
        file = ObjectFile.open(path, what="it", root=tmp_path)
        lost = [key for _, key, value in file.rows("container") if msgspec.json.decode(value)["Name"] == "lost"]
        file.commit([Row("container", lost[0], None)])
        file.close()
        shutil.rmtree(tmp_path / "containers" / lost[0])
        spoil_sum(path)
        recovered(tmp_path)

    async def again(made: Node) -> None:
        assert {found.name for found in made.engine.records.all()} == {"web"}
        assert len(await made.engine.runtime.list()) == 2

    run(tmp_path, first, again, between=between)


def spoil_sum(path: Path) -> None:
    """Have the file be one that cannot be trusted, and no row be lost."""
    mark_of(path).write_text("999")


def test_copies_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    for name, text in (("a", b"{"), ("b", b"\xff\xfe"), ("c", b"{}")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "record.json").write_bytes(text)
    assert copies.load(tmp_path) == {}
