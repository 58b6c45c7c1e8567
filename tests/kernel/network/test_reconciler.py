"""A node like the lab's, really made, each test on a machine of its own; as root."""

import asyncio
import re
import select
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.lab_machine import CLIENT, NGINX_NS, OVERLAY, TASKS, lab, lab_node_with_a_peer, reconciled
from tests.fakes.lab_network import (
    BRIDGE,
    GWBRIDGE,
    HOST_ADDRESS,
    INGRESS,
    NGINX,
    VIP,
    all_parts,
    empty_node,
    lab_node,
)
from tests.fakes.machine import (
    addresses,
    ask,
    everything,
    ip,
    links,
    nft,
    own_machine,
    ping,
    serve,
)
from tests.faults.damages import DAMAGES
from tests.faults.pairs import without_macs

from shoal.errors import Internal
from shoal.kernel import netns
from shoal.network.apply import apply
from shoal.network.describe import HOST_PART, sandbox_part
from shoal.network.marks import nascent_group
from shoal.network.node import (
    INGRESS_NETNS,
    INGRESS_SANDBOX,
    Endpoint,
    NodeNetwork,
    Publication,
    Sandbox,
    VirtualService,
    mac_of,
)
from shoal.network.observe import observe
from shoal.network.plan import Add
from shoal.network.reconciler import Reconciler
from shoal.network.repairs import Repair

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def machine() -> Iterator[None]:
    with own_machine():
        yield


def test_what_the_lab_shows() -> None:
    async def go() -> None:
        async with reconciled(lab_node()):
            assert {n["name"] for n in ip("netns list")} == {OVERLAY, NGINX_NS, INGRESS_NETNS, *TASKS}
            host = links()
            for name, address in (("docker0", "172.17.0.1/16"), ("docker_gwbridge", "172.18.0.1/16")):
                assert addresses(host[name]) == [address]
                assert (host[name]["mtu"], host[name]["address"]) == (1500, mac_of(address))
                assert "UP" in host[name]["flags"]
            veths = [name for name in host if re.fullmatch("veth[0-9a-f]{7}", name)]
            assert len(veths) == 3
            assert {host[name]["master"] for name in veths} == {"docker_gwbridge"}
            assert set(host) == {"lo", "docker0", "docker_gwbridge", *veths}

            overlay = links(OVERLAY)
            assert list(overlay) == ["lo", "br0", "vxlan0", "veth0", "veth1", "veth2"]
            assert {link["mtu"] for name, link in overlay.items() if name != "lo"} == {1450}
            assert addresses(overlay["br0"]) == ["10.255.0.1/16"]
            vxlan = overlay["vxlan0"]["linkinfo"]["info_data"]
            assert (vxlan["id"], vxlan["port"], vxlan["learning"]) == (4096, 4789, False)
            assert vxlan["proxy"] and vxlan["l2miss"] and vxlan["l3miss"]
            assert all(overlay[name]["master"] == "br0" for name in ("vxlan0", "veth0", "veth1", "veth2"))
            assert all("UP" in link["flags"] for link in overlay.values())
            assert "LOWER_UP" in overlay["lo"]["flags"]

            ingress = links(INGRESS_NETNS)
            assert list(ingress) == ["lo", "eth0", "eth1"]
            assert (ingress["eth0"]["address"], ingress["eth1"]["address"]) == (
                "02:42:0a:ff:00:02",
                "02:42:ac:12:00:02",
            )
            assert addresses(ingress["eth0"]) == ["10.255.0.2/16"]
            assert addresses(ingress["eth1"]) == ["172.18.0.2/16"]
            assert (ingress["eth0"]["mtu"], ingress["eth1"]["mtu"]) == (1450, 1500)

            one = links(TASKS[0])
            assert {name: addresses(link) for name, link in one.items()} == {
                "lo": ["127.0.0.1/8"],
                "eth0": ["10.255.0.4/16"],
                "eth1": ["10.0.0.3/24"],
                "eth2": ["172.18.0.3/16"],
            }
            assert [r["gateway"] for r in ip("route show default", TASKS[0])] == ["172.18.0.1"]
            assert overlay["veth1"]["ifalias"] == "shoal: task web.1 eth0"
            assert one["eth0"]["ifalias"] == "shoal: task web.1"

    asyncio.run(go())


def test_the_mesh_shows_the_client_and_goes_round() -> None:
    async def go() -> None:
        async with lab() as (_, client):
            for ns, host, source in (("", "127.0.0.1", HOST_ADDRESS), ("", HOST_ADDRESS, HOST_ADDRESS)):
                assert sorted([await ask(ns, host, 80) for _ in range(4)]) == sorted(
                    2 * [f"{t} {source}" for t in TASKS]
                )
            answers = [await ask(client, HOST_ADDRESS, 80) for _ in range(4)]
            assert sorted(answers) == sorted(2 * [f"{t} {CLIENT}" for t in TASKS])
            # From a task through the host's own address: it comes as the bridge's, for its own network is the way back.
            assert {(await ask(TASKS[0], HOST_ADDRESS, 80)).split()[0] for _ in range(2)} == set(TASKS)
            with pytest.raises(ConnectionRefusedError):
                await ask(client, HOST_ADDRESS, 81)

    asyncio.run(go())


def test_a_vip_answers_and_goes_round_and_pings() -> None:
    async def go() -> None:
        async with lab() as (reconciler, client):
            answers = [await ask(TASKS[0], VIP, 8080) for _ in range(4)]
            assert sorted(a.split()[0] for a in answers) == sorted(2 * TASKS)
            # A connection to another task shows who asks, on the network they share.
            assert f"{TASKS[1]} 10.0.0.3" in answers
            assert await ping(TASKS[0], VIP)
            assert await ping(TASKS[0], "10.0.0.4")
            assert await ping(TASKS[0], CLIENT)
            node = replace(lab_node(), services={NGINX: (VirtualService("web", VIP, ()),)})
            await reconciler.apply(node, [sandbox_part("task1"), sandbox_part("task2")])
            before = asyncio.get_running_loop().time()
            with pytest.raises(ConnectionRefusedError):
                await ask(TASKS[0], VIP, 8080)
            assert asyncio.get_running_loop().time() - before < 0.5
            assert await ping(TASKS[0], VIP)

    asyncio.run(go())


def test_tasks_meet_on_their_overlay_not_on_the_gateway_bridge() -> None:
    async def go() -> None:
        async with lab():
            assert (await ask(TASKS[0], "10.0.0.4", 8080)).split()[0] == TASKS[1]
            with pytest.raises(OSError):
                await ask(TASKS[0], "172.18.0.4", 8080)
            assert not await ping(TASKS[0], "172.18.0.4")
            assert await ping(TASKS[0], "172.18.0.1")

    asyncio.run(go())


def container(name: str, network: str, address: str, *publications: Publication) -> Sandbox:
    gateway = {BRIDGE: "172.17.0.1", GWBRIDGE: "172.18.0.1"}[network]
    place = Endpoint(network, "eth0", (address,), mac_of(address), (gateway,))
    return Sandbox(name, name, f"container {name}", (place,), publications)


def with_containers(*containers: Sandbox) -> NodeNetwork:
    node = empty_node()
    return replace(node, sandboxes={**node.sandboxes, **{c.sandbox_id: c for c in containers}})


def test_host_mode_publication_shows_the_client() -> None:
    published = container("c1", BRIDGE, "172.17.0.2/16", Publication("tcp", 8000, "172.17.0.2", 8080))
    other = container("c2", BRIDGE, "172.17.0.3/16", Publication("tcp", 8001, "172.17.0.3", 8080, "127.0.0.1"))

    async def go() -> None:
        async with lab(with_containers(published, other)) as (_, client):
            assert await ask(client, HOST_ADDRESS, 8000) == f"c1 {CLIENT}"
            assert (await ask("", "127.0.0.1", 8000)).split()[0] == "c1"
            assert (await ask("", HOST_ADDRESS, 8000)).split()[0] == "c1"
            assert (await ask("", "127.0.0.1", 8001)).split()[0] == "c2"
            # Its own published port, and its neighbour's, from within.
            assert (await ask("c1", "172.17.0.1", 8000)).split()[0] == "c1"
            assert (await ask("c2", "172.17.0.1", 8000)).split()[0] == "c1"
            with pytest.raises(ConnectionRefusedError):
                await ask(client, HOST_ADDRESS, 8001)

    asyncio.run(go())


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_published_ports_answer_whether_or_not_bridges_are_filtered(filtered: str) -> None:
    """Docker and Kubernetes turn br_netfilter on, and the kernel then translates within a bridge."""
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not switch.exists():
        pytest.skip("this kernel has no br_netfilter")
    published = container("c1", BRIDGE, "172.17.0.2/16", Publication("tcp", 8000, "172.17.0.2", 8080))
    node = with_containers(published, container("c2", BRIDGE, "172.17.0.3/16"))
    mesh = lab_node()
    node = replace(mesh, sandboxes={**mesh.sandboxes, **node.sandboxes})
    switch.write_text(filtered)

    async def go() -> None:
        async with lab(node) as (_, client):
            for asker in ("c1", "c2", client):
                assert (await ask(asker, HOST_ADDRESS, 8000)).split()[0] == "c1"
                assert {(await ask(asker, HOST_ADDRESS, 80)).split()[0] for _ in range(2)} == set(TASKS)
            with pytest.raises(OSError):
                await ask(TASKS[0], "172.18.0.4", 8080)

    asyncio.run(go())


def test_bridges_are_apart_and_neighbours_are_not() -> None:
    a = container("c1", BRIDGE, "172.17.0.2/16")
    b = container("c2", BRIDGE, "172.17.0.3/16")
    c = container("c3", GWBRIDGE, "172.18.0.9/16")

    async def go() -> None:
        async with lab(with_containers(a, b, c)) as (_, client):
            assert await ask("c1", "172.17.0.3", 8080) == "c2 172.17.0.2"
            with pytest.raises(OSError):
                await ask("c1", "172.18.0.9", 8080)
            ip("route add 172.17.0.0/16 via 10.99.0.1", client)
            with pytest.raises(OSError):
                await ask(client, "172.17.0.2", 8080)
            assert await ping("c1", CLIENT)

    asyncio.run(go())


async def heard(reconciler: Reconciler) -> list[Repair]:
    """What is mended because the kernel has told of it, or because of a look at the sysctls, as the daemon does it."""
    mended: list[Repair] = []
    while await asyncio.to_thread(select.select, [reconciler], [], [], 0.2) != ([], [], []):
        mended += await reconciler.mend()
    return mended + await reconciler.mend_settings()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_heard_of_and_mended_and_nothing_else_is_touched(damage: str) -> None:
    do, where = DAMAGES[damage]

    async def go() -> None:
        async with lab(lab_node_with_a_peer()) as (reconciler, client):
            assert await heard(reconciler) == []
            before = await reconciler.observe()
            identities = {ns: netns.identify(netns.BASE / ns).inode for ns in netns.list_names()}
            do()
            mended = await heard(reconciler)
            assert mended
            assert where & {repair.where for repair in mended}, mended
            assert {repair.where for repair in mended} <= where | {INGRESS_NETNS}, mended
            assert await reconciler.repair() == []
            after = await reconciler.observe()
            assert without_macs(after) == without_macs(before)
            assert {ns: netns.identify(netns.BASE / ns).inode for ns in netns.list_names()} == identities
            assert {(await ask(client, HOST_ADDRESS, 80)).split()[0] for _ in range(2)} == set(TASKS)
            assert await ping(TASKS[0], VIP)

    asyncio.run(go())


def test_our_own_changes_are_not_taken_for_damage() -> None:
    async def go() -> None:
        node = lab_node()
        async with reconciled(node) as reconciler:
            await heard(reconciler)
            looks = reconciler.looks
            gone = replace(node, sandboxes={k: s for k, s in node.sandboxes.items() if s.netns != TASKS[0]})
            for each in (gone, node):
                await reconciler.apply(each, all_parts(node))
                await reconciler.settle()
                assert await heard(reconciler) == []
            assert reconciler.looks == looks

    asyncio.run(go())


def test_what_a_container_makes_in_its_own_namespace_is_its_own() -> None:
    async def go() -> None:
        async with reconciled(lab_node()) as reconciler:
            ip("addr add 10.7.7.7/24 dev eth1", TASKS[0])
            ip("addr add 172.17.0.99/16 dev docker0")
            ip("link add docker0 type bridge", TASKS[0])
            ip("addr add 172.30.0.1/16 dev docker0", TASKS[0])
            ip("link add v0 type veth peer name v1", TASKS[0])
            ip("link set v0 master docker0", TASKS[0])
            ip("route add 10.9.0.0/16 via 10.7.7.1", TASKS[0])
            ip("neigh add 10.7.7.9 lladdr 02:00:00:00:00:07 dev eth1", TASKS[0])
            nft("add table ip mine; add chain ip mine c", TASKS[0])
            before = everything(TASKS[0]).split(", "), everything().split(", ")
            assert await heard(reconciler) == []
            assert await reconciler.repair() == []
            after = everything(TASKS[0]).split(", "), everything().split(", ")
            assert [set(one) ^ set(other) for one, other in zip(before, after, strict=True)] == [set(), set()]

    asyncio.run(go())


def test_what_is_not_ours_stays_as_it_is() -> None:
    async def go() -> None:
        ip("link add br9 type bridge")
        ip("addr add 192.168.77.1/24 dev br9")
        ip("link set br9 up")
        ip("netns add stranger")
        ip("link add veth77 type veth peer name eth0 netns stranger")
        ip("link set veth77 master br9 up")
        ip("link set veth77 alias somebody:else")
        ip("link set eth0 up", "stranger")
        ip("route add 10.200.0.0/16 dev br9")
        ip("rule add fwmark 7 lookup 77 prio 100")
        nft("add table ip other; add chain ip other c { type filter hook forward priority 7; }; add table ip6 shoaling")
        nft("add table ip shoal", "stranger")
        before = everything(), everything("stranger")
        node = lab_node()
        async with reconciled(node) as reconciler:
            assert everything("stranger") == before[1]
            ip("link del docker0")
            await reconciler.repair()
            await reconciler.apply(NodeNetwork(), all_parts(node))
        await _until(lambda: (everything(), everything("stranger")) == before)

    asyncio.run(go())


async def _until(condition: Callable[[], bool]) -> None:
    """The kernel tidies namespaces away in its own time."""
    for _ in range(40):
        if condition():
            return
        await asyncio.sleep(0.05)
    assert condition()


def test_removing_everything_leaves_nothing() -> None:
    async def go() -> None:
        before = everything()
        node = lab_node()
        async with reconciled(node) as reconciler:
            await reconciler.apply(NodeNetwork(), all_parts(node))
            assert netns.list_names() == []
            assert list(netns.BASE.iterdir()) == []
            assert await reconciler.observe() == {}
            await reconciler.settle()
            assert set(links()) == {"lo"}
        await _until(lambda: everything() == before)
        assert nft("list ruleset") == ""

    asyncio.run(go())


def test_a_namespace_of_somebody_elses_is_not_taken() -> None:
    async def go() -> None:
        ip(f"netns add {TASKS[0]}")
        ip("link set lo up", TASKS[0])
        before = everything(TASKS[0])
        async with reconciled(empty_node()) as reconciler:
            with pytest.raises(Internal, match="not ours"):
                await reconciler.apply(lab_node(), all_parts(lab_node()))
            assert everything(TASKS[0]) == before
            assert "eth1" in links(TASKS[1])
            # With the obstacle away, the next call goes on where this one could not.
            ip(f"netns del {TASKS[0]}")
            await reconciler.apply(lab_node(), [HOST_PART])
            assert await reconciler.repair() == []
            assert set(links(TASKS[0])) == {"lo", "eth0", "eth1", "eth2"}

    asyncio.run(go())


def test_a_bridge_of_another_engines_is_not_taken() -> None:
    async def go() -> None:
        ip("link add docker0 type bridge")
        ip("addr add 172.17.0.1/16 dev docker0")
        ip("link set docker0 up mtu 1400")
        before = _as_it_is("docker0")
        async with reconciled(NodeNetwork()) as reconciler:
            with pytest.raises(Internal, match="docker0 on this machine is not ours"):
                await reconciler.apply(empty_node(), all_parts(empty_node()))
            await reconciler.apply(NodeNetwork(), all_parts(empty_node()))
        assert _as_it_is("docker0") == before

    asyncio.run(go())


def _as_it_is(bridge: str) -> list[object]:
    """What somebody has set on a bridge of theirs; its timers and counters go on by themselves."""
    link = links()[bridge]
    localnet = Path(f"/proc/sys/net/ipv4/conf/{bridge}/route_localnet").read_text()
    return [link["ifindex"], link["address"], link["mtu"], link.get("ifalias"), addresses(link), localnet]


def test_links_left_half_made_by_a_crash_are_finished_or_removed() -> None:
    group = f"group {nascent_group('shoal')}"

    async def go() -> None:
        ip(f"link add docker0 {group} type bridge")
        async with reconciled(empty_node()) as reconciler:
            assert await reconciler.repair() == []
            assert addresses(links()["docker0"]) == ["172.17.0.1/16"]
            assert links()["docker0"]["group"] == "default"
            outer = next(name for name in links() if name.startswith("veth"))
        ip("link del docker_gwbridge")
        ip(f"link del {outer}")
        ip(f"link add {outer} {group} type veth peer name other0 {group}")
        ip(f"link add half {group} type bridge")
        async with reconciled(empty_node()) as reconciler:
            assert await reconciler.repair() == []
            assert not {"other0", "half"} & links().keys()

    asyncio.run(go())


def test_a_namespace_left_by_a_crash_is_used() -> None:
    async def go() -> None:
        netns.create(TASKS[0])
        async with reconciled(lab_node()) as reconciler:
            assert await reconciler.repair() == []

    asyncio.run(go())


def test_an_endpoint_that_moves_keeps_its_routes() -> None:
    def node(address: str, port: int) -> NodeNetwork:
        place = Endpoint(BRIDGE, "eth0", (address,), mac_of(address), ("172.17.0.1",))
        overlay = Endpoint(INGRESS, "eth1", ("10.255.0.9/16",), mac_of("10.255.0.9"), (), port)
        return with_containers(Sandbox("c1", "c1", "container c1", (place, overlay), on_mesh=True))

    async def go() -> None:
        async with reconciled(node("172.17.0.2/16", 1)) as reconciler:
            for address, port in (("172.17.0.7/16", 1), ("172.17.0.7/16", 2)):
                await reconciler.apply(node(address, port), [sandbox_part("c1")])
                assert await reconciler.repair() == []
                assert addresses(links("c1")["eth0"]) == [address]
                assert [route["gateway"] for route in ip("route show default", "c1")] == ["172.17.0.1"]
                assert await ping("c1", "172.17.0.1")

    asyncio.run(go())


def test_a_network_that_goes_and_comes_back_at_once() -> None:
    async def go() -> None:
        node = lab_node()
        async with reconciled(node) as reconciler:
            for _ in range(3):
                await reconciler.apply(empty_node(), all_parts(node))
                await reconciler.apply(node, all_parts(node))
            assert await reconciler.repair() == []

    asyncio.run(go())


def test_a_task_goes_though_its_networks_namespace_has_lost_its_name() -> None:
    async def go() -> None:
        async with reconciled(lab_node()) as reconciler:
            netns.delete(OVERLAY)
            await reconciler.apply(lab_node(1), [HOST_PART, sandbox_part("task2"), sandbox_part(INGRESS_SANDBOX)])
            await reconciler.apply(lab_node(1), [sandbox_part("task1")])
            assert await reconciler.repair()
            assert await reconciler.repair() == []
            assert set(links(OVERLAY)) == {"lo", "br0", "vxlan0", "veth0", "veth1"}

    asyncio.run(go())


def test_names_are_answered_beside_a_server_of_the_containers_own() -> None:
    async def go() -> None:
        sandbox = replace(container("c1", BRIDGE, "172.17.0.2/16"), dns=(40053, 40054))
        async with reconciled(with_containers(sandbox)) as reconciler:
            own = [await serve("c1", "own", 53), await serve("c1", "names", 40054)]
            assert (await ask("c1", "172.17.0.2", 53)).split()[0] == "own"
            assert (await ask("c1", "127.0.0.1", 53)).split()[0] == "own"
            assert (await ask("c1", "127.0.0.11", 53)).split()[0] == "names"
            for server in own:
                server.close()

            with udp("c1", ("0.0.0.0", 53)) as theirs, udp("c1", ("127.0.0.11", 40053)) as names:
                assert exchange("c1", "127.0.0.1", theirs) == ("127.0.0.1", 53)
                assert exchange("c1", "127.0.0.11", names) == ("127.0.0.11", 53)
            await reconciler.apply(with_containers(replace(sandbox, dns=None)), [sandbox_part("c1")])
            assert nft("list ruleset", "c1") == ""

    asyncio.run(go())


def udp(ns: str, address: tuple[str, int] | None = None) -> socket.socket:
    """A socket in a namespace."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(2)
        if address is not None:
            sock.bind(address)
        return sock

    return netns.run_in(netns.BASE / ns, make)


def exchange(ns: str, host: str, server: socket.socket) -> tuple[str, int]:
    """Ask ``host`` on port 53; who the answer of ``server`` comes from."""
    with udp(ns) as asking:
        asking.sendto(b"?", (host, 53))
        _, whom = server.recvfrom(10)
        server.sendto(b"!", whom)
        _, answerer = asking.recvfrom(10)
        return answerer[0], answerer[1]


def test_a_restart_takes_over_what_is_there() -> None:
    async def go() -> None:
        node = lab_node()
        async with reconciled(node) as first:
            before = await first.observe()
        async with reconciled(node) as second:
            assert await second.observe() == before
            assert await second.repair() == []
        # What nobody wants any more goes when the next one starts.
        async with reconciled(empty_node()) as third:
            assert {n["name"] for n in ip("netns list")} == {OVERLAY, INGRESS_NETNS}
            assert await third.repair() == []

    asyncio.run(go())


def test_tasks_come_and_go_one_by_one() -> None:
    async def go() -> None:
        async with reconciled(empty_node()) as reconciler:
            one, two = lab_node(1), lab_node(2)
            await reconciler.apply(one, [*all_parts(one)])
            await reconciler.apply(
                two, [HOST_PART, sandbox_part("task1"), sandbox_part("task2"), sandbox_part(INGRESS_SANDBOX)]
            )
            assert await reconciler.repair() == []
            await reconciler.apply(empty_node(), all_parts(two))
            assert await reconciler.repair() == []
            assert set(links(OVERLAY)) == {"lo", "br0", "vxlan0", "veth0"}

    asyncio.run(go())


@pytest.mark.parametrize("taken", [False, True])
def test_a_name_that_goes_while_it_is_looked_for_does_not_lose_its_namespace(taken: bool) -> None:
    async def go() -> None:
        async with reconciled(lab_node()) as reconciler:
            before, wanted = await reconciler.observe(), reconciler._all_wanted()
            identity = netns.identify(netns.BASE / TASKS[0])

            def take_away() -> None:
                netns.delete(TASKS[0])
                if taken:
                    ip(f"netns add {TASKS[0]}")

            take_away()
            assert without_macs(await reconciler.run(lambda handles: observe(handles, wanted))) == without_macs(before)
            assert netns.identify(netns.BASE / TASKS[0]) == identity
            take_away()
            space = wanted["netns", TASKS[0]]
            assert await reconciler.run(lambda handles: apply([Add(space)], handles)) == []
            assert netns.identify(netns.BASE / TASKS[0]) == identity
            assert [repair.kind for repair in await reconciler.repair()] == ["netns"]
            assert await reconciler.repair() == []

    asyncio.run(go())


def test_of_namespaces_that_are_gone_nothing_is_kept() -> None:
    async def go() -> None:
        async with reconciled(empty_node()) as reconciler:
            watch, handles = reconciler._watch, reconciler._handles
            kept = [len(each) for each in (watch._links, watch._rules, watch._by_fd, watch._inodes, handles._inodes)]
            await reconciler.apply(lab_node(), all_parts(lab_node()))
            await reconciler.apply(empty_node(), all_parts(lab_node()))
            now = [len(each) for each in (watch._links, watch._rules, watch._by_fd, watch._inodes, handles._inodes)]
            assert now == kept

    asyncio.run(go())
