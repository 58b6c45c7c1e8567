"""The node's networks: pools, addresses, what fails half-way, what is on them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.fakes.light_engine import LightEngine, bridge, eventually, light_engine

from shoal.aio.tasks import spawn
from shoal.engine.cluster import ClusterNetworks
from shoal.engine.networks import Want
from shoal.errors import Conflict, Forbidden, Internal, InvalidArgument, NotFound, ShoalError
from shoal.network.node import Mesh, MeshPort, OverlayNetwork
from shoal.objects.container import EndpointIPAMConfig, EndpointSettings
from shoal.objects.network import MTU_OPTION, IPAMConfig
from shoal.wire.keeper import NetworkRecords

OVERLAY = ClusterNetworks(
    overlays={"o1": OverlayNetwork("o1", "over", 4097, ("10.9.0.1/24",), 1450, 4789)},
    records={"o1": NetworkRecords()},
)


def run(folder: Path, work: Callable[[LightEngine], Awaitable[None]]) -> None:
    async def main() -> None:
        async with light_engine(folder) as engine:
            await asyncio.wait_for(work(engine), 20)

    asyncio.run(main())


async def refused(engine: LightEngine, kind: type[ShoalError], words: str, name: str, subnet: str = "") -> None:
    before = engine.local_networks.all(), engine.kernel.node
    with pytest.raises(kind, match=words):
        await engine.local_networks.create(bridge(name, subnet))
    assert (engine.local_networks.all(), engine.kernel.node) == before


def test_networks_come_and_go(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        assert {n.name for n in engine.local_networks.all()} == {"bridge", "host", "none"}
        made = await engine.local_networks.create(bridge("net"))
        assert made.pools[0].subnet not in {engine.local_networks.get("bridge").pools[0].subnet}
        assert engine.kernel.node.bridges[made.id].bridge == f"br-{made.id[:12]}"
        await refused(engine, Conflict, "network with name net already exists", "net")
        await refused(
            engine, Forbidden, "Pool overlaps with other one on this address space", "x", made.pools[0].subnet or ""
        )
        await refused(engine, InvalidArgument, "invalid subnet", "x", "10.300.0.0/16")
        await refused(engine, InvalidArgument, "no available IPv4 addresses", "x", "10.77.0.0/32")
        await refused(engine, Forbidden, "predefined", "host")
        await refused(engine, InvalidArgument, "invalid network name", "a b")
        key = await engine.run("web", network="net")
        with pytest.raises(Forbidden, match="has active endpoints"):
            await engine.local_networks.remove("net", members={})
        with pytest.raises(Forbidden, match="net id .* has active endpoints"):
            await engine.local_networks.remove("net", members={key: "web"})
        await engine.containers.remove(key, force=True)
        await engine.local_networks.remove("net", members={})
        with pytest.raises(NotFound):
            engine.local_networks.get("net")
        for name in ("bridge", "host", "none"):
            with pytest.raises(Forbidden, match=f"{name} is a pre-defined network and cannot be removed"):
                await engine.local_networks.remove(name, members={})

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        (IPAMConfig(subnet="10.77.0.0/24", range="10.78.0.0/25"), "invalid ip-range"),
        (IPAMConfig(subnet="10.77.0.0/24", range="rubbish"), "invalid ip-range"),
        (IPAMConfig(subnet="10.77.0.0/24", range="10.77.0.0/16"), "invalid ip-range"),
        (IPAMConfig(subnet="10.77.0.0/24", gateway="10.78.0.1"), "invalid gateway"),
        (IPAMConfig(subnet="10.77.0.0/24", auxiliary_addresses={"a": "10.78.0.9"}), "invalid auxiliary address"),
        (IPAMConfig(subnet="10.77.0.0/24", auxiliary_addresses={"a": "rubbish"}), "invalid auxiliary address"),
    ],
)
def test_pools_that_cannot_be(tmp_path: Path, pool: IPAMConfig, words: str) -> None:
    async def work(engine: LightEngine) -> None:
        wanted = bridge("net")
        with pytest.raises(InvalidArgument, match=words):
            await engine.local_networks.create(type(wanted)(id="", name="net", driver="", created="", pools=[pool]))
        with pytest.raises(InvalidArgument, match="mtu"):
            await engine.local_networks.create(bridge("net", options={MTU_OPTION: "many"}))
        with pytest.raises(InvalidArgument, match="more than one subnet"):
            two = [IPAMConfig(subnet="10.77.0.0/24"), IPAMConfig(subnet="10.78.0.0/24")]
            await engine.local_networks.create(type(wanted)(id="", name="net", driver="", created="", pools=two))
        assert len(engine.local_networks.all()) == 3

    run(tmp_path, work)


def test_the_kernel_refuses_a_bridge(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        before = engine.kernel.node
        engine.kernel.fails = [Internal("no")]
        with pytest.raises(Internal):
            await engine.local_networks.create(bridge("net"))
        assert engine.kernel.node == before
        made = await engine.local_networks.create(bridge("net"))
        assert made.id in engine.kernel.node.bridges

    run(tmp_path, work)


def test_the_default_bridge_stays_the_same_network(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        old = engine.local_networks.get("bridge")
        await engine.local_networks.load(bip="10.66.0.1/16", bridge="docker9", mtu=1400)
        new = engine.local_networks.get("bridge")
        assert (new.id, new.bridge, new.options[MTU_OPTION]) == (old.id, "docker9", "1400")
        assert new.pools == [IPAMConfig(subnet="10.66.0.0/16", gateway="10.66.0.1")]
        await engine.local_networks.load(bip=None, bridge="docker9", mtu=None)
        assert engine.local_networks.get("bridge").pools == new.pools
        made = await engine.local_networks.create(bridge("net", "10.67.0.0/16"))
        with pytest.raises(InvalidArgument, match="overlaps with the network net"):
            await engine.local_networks.load(bip=f"{(made.pools[0].gateway)}/16", bridge="docker9", mtu=None)
        with pytest.raises(InvalidArgument, match="invalid --bip"):
            await engine.local_networks.load(bip="rubbish", bridge="docker9", mtu=None)
        await engine.local_networks.load(bip=None, bridge="none", mtu=None)
        with pytest.raises(NotFound):
            engine.local_networks.get("bridge")

    run(tmp_path, work)


def test_addresses_come_back(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        made = await engine.local_networks.create(bridge("net", "10.77.0.0/29"))

        async def plug(name: str) -> None:
            await engine.networks.plug(name, netns=name, owner=name, wants=[Want(made.id)])

        for name in "abcde":
            await plug(name)
        with pytest.raises(ShoalError, match="no available"):
            await plug("f")
        for name in "abcde":
            if name == "b":
                engine.kernel.fails = [Internal("no")]
                with pytest.raises(Internal):
                    await engine.networks.unplug(name)
            else:
                await engine.networks.unplug(name)
        engine.kernel.fails = [Internal("no")]
        with pytest.raises(Internal):
            await plug("a")
        for name in "abcde":
            await plug(name)
        assert set(engine.kernel.node.sandboxes) == set("abcde")

    run(tmp_path, work)


def test_two_families_are_all_or_nothing(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        pools = [IPAMConfig(subnet="10.77.0.0/29"), IPAMConfig(subnet="fd00:77::/64")]
        made = await engine.local_networks.create(
            type(bridge("x"))(id="", name="net", driver="", created="", pools=pools)
        )
        first = await engine.networks.plug("a", netns="a", owner="a", wants=[Want(made.id, ("fd00:77::9",))])
        assert len(first.endpoints[0].addresses) == 2
        for _ in range(10):
            with pytest.raises(Conflict):
                await engine.networks.plug("b", netns="b", owner="b", wants=[Want(made.id, ("fd00:77::9",))])
        for name in "bcde":
            await engine.networks.plug(name, netns=name, owner=name, wants=[Want(made.id)])

    run(tmp_path, work)


def test_connecting_and_disconnecting(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        net = await engine.local_networks.create(bridge("net", "10.77.0.0/29"))
        key = await engine.run("web", network="bridge")
        for _ in range(8):
            await engine.attachments.connect(net.id, "net", "web", EndpointSettings(aliases=["www"]))
            with pytest.raises(Forbidden, match="already exists in network net"):
                await engine.attachments.connect(net.id, "net", "web", None)
            assert engine.keeper.addresses(net.id, "www") == engine.keeper.addresses(net.id, "web") != set()
            assert "127.0.0.11" in (engine.folder / "containers" / key / "resolv.conf").read_text()
            await engine.containers.rename("web", "new")
            assert engine.keeper.addresses(net.id, "new") and not engine.keeper.addresses(net.id, "web")
            await engine.containers.rename("new", "web")
            await engine.attachments.disconnect(net.id, "net", "web", force=False)
            assert engine.keeper.addresses(net.id, "web") == set()
            assert key not in engine.keeper.served
            engine.kernel.fails = [Internal("no")]
            with pytest.raises(Internal):
                await engine.attachments.connect(net.id, "net", "web", None)
            assert list(engine.records.get(key).networks) == ["bridge"]
            assert len(engine.kernel.node.sandboxes[key].endpoints) == 1
        with pytest.raises(Forbidden, match="is not connected to network net"):
            await engine.attachments.disconnect(net.id, "net", "web", force=False)
        taken = EndpointSettings(ipam_config=EndpointIPAMConfig(ipv4_address="10.77.0.1"))
        with pytest.raises(Conflict):
            await engine.attachments.connect(net.id, "net", "web", taken)

    run(tmp_path, work)


def test_an_end_while_it_is_connected(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        net = await engine.local_networks.create(bridge("net", "10.77.0.0/29"))
        for turns in range(12):
            key = await engine.run("web", network="bridge")
            connecting = spawn(engine.attachments.connect(net.id, "net", "web", None), name="test")
            for _ in range(turns):
                await asyncio.sleep(0)
            engine.runtime.end(key)
            try:
                await connecting
            except ShoalError:
                pass
            await eventually(lambda: engine.state("web") == "exited")
            await engine.lifecycle.cleared(key)
            engine.nothing_of(key)
            await engine.containers.remove(key)

    run(tmp_path, work)


def test_plain_containers_on_the_swarms_networks(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        await engine.local_networks.ensure_gateway_bridge()
        await engine.networks.set_cluster(OVERLAY)
        key = await engine.run("web", network="bridge")
        await engine.attachments.connect("o1", "over", "web", None)
        assert engine.attacher.attached == [(key, "o1")]
        assert "o1" in engine.kernel.node.overlays
        await engine.attachments.disconnect("o1", "over", "web", force=False)
        assert engine.attacher.attached == []
        assert engine.kernel.node.overlays == {}
        engine.kernel.fails = [Internal("no")]
        with pytest.raises(Internal):
            await engine.attachments.connect("o1", "over", "web", None)
        assert engine.attacher.attached == []
        # One without any way out gets that of docker_gwbridge, for as long as it is on the swarm's network.
        lone = await engine.run("lone")
        await engine.attachments.connect("o1", "over", "lone", None)
        assert len(engine.kernel.node.sandboxes[lone].endpoints) == 2
        await engine.attachments.disconnect("o1", "over", "lone", force=False)
        assert engine.kernel.node.sandboxes[lone].endpoints == ()
        await engine.local_networks.remove_gateway_bridge()

    run(tmp_path, work)


def test_the_meshs_ports_are_nobody_elses(tmp_path: Path) -> None:
    async def work(engine: LightEngine) -> None:
        port = MeshPort(protocol="tcp", published=21831, target=80, service="s", backends=())
        await engine.networks.set_cluster(ClusterNetworks(mesh=Mesh("ing", (port,), (), None)))
        assert engine.networks.host_ports.of_mesh == {("tcp", 21831)}
        await engine.networks.set_cluster(ClusterNetworks())
        assert not engine.networks.host_ports.of_mesh

    run(tmp_path, work)
