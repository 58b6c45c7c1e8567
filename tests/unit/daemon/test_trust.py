"""The swarm's root is changed, and what becomes of nodes that are there, away, or just coming."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.fakes.keeper import FakeKeeper
from tests.fakes.light_engine import eventually
from tests.fakes.runtime import FakeRuntime
from tests.unit.daemon.test_swarm import Node, free_port, joining, node, with_two

from shoal.agent import joining as dialling
from shoal.errors import Forbidden, Unavailable
from shoal.manager.cluster import the_cluster
from shoal.objects.cluster import Cluster
from shoal.pki import files
from shoal.pki.authority import verify_issued
from shoal.pki.files import NodeFiles
from shoal.store.tx import Tx
from shoal.wire.docker.swarm import TokenRotation


def present(manager: Node) -> Cluster:
    return manager.swarm.control().cluster.get()


def root_of(manager: Node) -> str:
    info = present(manager).tls_info
    assert info is not None
    return info.trust_root or ""


def held(made: Node) -> NodeFiles:
    return files.load(files.certificates_folder(made.engine.folder))


async def rotate(manager: Node) -> None:
    cluster = present(manager)
    ca = replace(cluster.spec.ca_config, force_rotate=(cluster.spec.ca_config.force_rotate or 0) + 1)
    await manager.swarm.update(replace(cluster.spec, ca_config=ca), cluster.version.index, TokenRotation())


def is_of(made: Node, root: str) -> bool:
    """Whether a node's certificate is of that root."""
    try:
        verify_issued(held(made).certificate, root.encode())
    except Forbidden:
        return False
    return True


def has_changed(made: Node, root: str) -> bool:
    """Whether a node goes by that root alone."""
    return is_of(made, root) and held(made).root == root.encode()


def is_ready(manager: Node, made: Node) -> bool:
    assert made.swarm.membership is not None
    return manager.swarm.control().nodes.get(made.swarm.membership.node_id).is_ready


def test_all_nodes_change_and_the_old_root_is_worth_nothing_any_more(tmp_path: Path) -> None:
    async def work(manager: Node, other: Node) -> None:
        await other.swarm.join(joining(manager))
        old, of_old = root_of(manager), joining(manager)
        stolen = tmp_path / "stolen"
        files.save(stolen, held(other))
        address = [f"127.0.0.1:{manager.port}"]
        await dialling.renew(address, stolen, "")
        await rotate(manager)
        assert present(manager).rotation is not None
        await eventually(lambda: present(manager).rotation is None)
        new = root_of(manager)
        assert new != old
        await eventually(lambda: has_changed(manager, new) and has_changed(other, new))
        assert is_ready(manager, manager) and is_ready(manager, other)
        assert other.swarm.info().error == ""
        # Its holder trusts nobody any more, and nobody trusts him.
        with pytest.raises(Unavailable, match="certificate"):
            await dialling.renew(address, stolen, "")
        files.save(stolen, NodeFiles(new.encode(), files.load(stolen).certificate, files.load(stolen).key))
        with pytest.raises(Unavailable):
            await dialling.renew(address, stolen, "")
        await other.swarm.leave(force=True)
        with pytest.raises(Forbidden, match="remote CA does not match fingerprint"):
            await other.swarm.join(of_old)
        await other.swarm.join(joining(manager))

    with_two(tmp_path, work)


@pytest.mark.parametrize("issues", [False, True])
def test_who_joins_during_a_rotation_comes_by_the_present_token(tmp_path: Path, issues: bool) -> None:
    async def work(manager: Node, other: Node) -> None:
        await other.swarm.join(joining(manager))
        await other.swarm.stop()
        old = root_of(manager)
        await rotate(manager)

        def go_on(tx: Tx) -> None:
            cluster = the_cluster(tx)
            assert cluster.rotation is not None
            tx.update(replace(cluster, rotation=replace(cluster.rotation, issues=issues)))

        await eventually(lambda: held(manager).root.count(b"BEGIN") == 2)
        await manager.swarm.control().store.update(go_on)
        await eventually(lambda: not issues or not is_of(manager, old))
        async with node(tmp_path / "three", manager.port, FakeRuntime(), FakeKeeper(), "127.0.0.3") as third:
            await third.swarm.join(
                joining(manager, listen_addr=f"127.0.0.3:{manager.port}", advertise_addr="127.0.0.3")
            )
            assert held(third).root == held(manager).root and is_of(third, old) != issues
            # As long as anybody is away, the rotation is not over.
            await asyncio.sleep(0.2)
            assert present(manager).rotation is not None and root_of(manager) == old
            assert other.swarm.membership is not None
            await manager.swarm.control().nodes.remove(other.swarm.membership.node_id, force=True)
            await eventually(lambda: present(manager).rotation is None)
            new = root_of(manager)
            await eventually(lambda: has_changed(manager, new) and has_changed(third, new))
            await third.swarm.leave(force=True)

    with_two(tmp_path, work)


def test_a_rotation_goes_on_after_a_restart_of_the_manager(tmp_path: Path) -> None:
    async def main() -> None:
        port, runtime, keeper = free_port(), FakeRuntime(), FakeKeeper()
        async with node(tmp_path / "two", port, FakeRuntime(), FakeKeeper(), "127.0.0.2") as other:
            async with node(tmp_path / "one", port, runtime, keeper) as manager:
                await manager.swarm.init(manager.request())
                await other.swarm.join(joining(manager))
                await rotate(manager)
            async with node(tmp_path / "one", port, runtime, keeper) as manager:
                await eventually(lambda: present(manager).rotation is None)
                new = root_of(manager)
                await eventually(lambda: has_changed(manager, new) and has_changed(other, new))
                await other.swarm.leave(force=True)
                await manager.swarm.leave(force=True)

    asyncio.run(asyncio.wait_for(main(), 60))
