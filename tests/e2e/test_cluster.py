"""A swarm of three machines: joining, the mesh and names over all of them, machines that die, and no manager at all."""

import time
from collections.abc import Iterator

import pytest
from tests.e2e.harness import eventually
from tests.e2e.lab import Cluster, Place, a_place
from tests.e2e.load import load

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module", name="place")
def _place() -> Iterator[Place]:
    with a_place("cluster") as place:
        yield place


@pytest.fixture(scope="module", name="three")
def _three(place: Place) -> Iterator[Cluster]:
    before = place.snapshot()
    yield Cluster(place, 3)
    place.lab("down")
    assert place.left(before) == [] and place.cgroups(f"{place.name}-") == []


@pytest.fixture(name="cluster")
def _cluster(three: Cluster) -> Cluster:
    three.reset()
    return three


def test_every_node_answers_and_the_task_sees_the_client(cluster: Cluster) -> None:
    cluster.web("-p", "80:80", "--constraint", "node.hostname==node2")
    assert set(cluster.tasks("web").values()) == {"node2"}
    for host in cluster.hosts:
        for inside in ("", *cluster.hosts):
            assert cluster.http(host, inside=inside) == "200"
    seen = {
        line.split()[0]
        for name in cluster.containers("node2")
        for line in cluster.docker("logs", name.strip("/"), host="node2").lines
        if "GET /" in line
    }
    outside = cluster.place.run("ip", "-br", "-4", "address").out
    clients = {*cluster.address.values(), *(word.split("/")[0] for word in outside.split() if "/" in word)}
    assert set(cluster.address.values()) <= seen <= clients


def test_ports_in_host_mode_are_those_of_the_tasks_node(cluster: Cluster) -> None:
    cluster.web(
        *("-p", "mode=host,published=81,target=80", "--constraint", "node.hostname==node3"), replicas=1, name="own"
    )
    assert [cluster.http(host, port=81) for host in cluster.hosts] == ["000", "000", "200"]


def test_names_and_addresses_lead_from_any_node_to_any_other(cluster: Cluster) -> None:
    cluster.docker("network", "create", "-d", "overlay", "--attachable", "net")
    # A worker that has no task on the network, nor ever had, gets a plain container onto it all the same.
    cluster.docker("run", "-d", "--name", "plain", "--network", "net", "busybox", "sleep", "1000", host="node2")
    cluster.docker("run", "-d", "--name", "late", "busybox", "sleep", "1000", host="node3")
    cluster.docker("network", "connect", "net", "late", host="node3")
    assert " 0% packet loss" in cluster.docker("exec", "late", "ping", "-c1", "-W2", "plain", host="node3").out
    cluster.docker("rm", "-f", "late", host="node3")
    cluster.web("--network", "net", replicas=3)
    assert sorted(cluster.tasks("web").values()) == cluster.hosts
    ask = ("run", "--rm", "--network", "net", "busybox")
    for host in ("node1", "node3"):
        shown = cluster.docker(*ask, "nslookup", "tasks.web", host=host).out
        assert shown.count("Address: 10.") == 3
        assert "</html>" in cluster.docker(*ask, "wget", "-qO-", "http://web", host=host).out
        assert " 0% packet loss" in cluster.docker(*ask, "ping", "-c1", "-W2", "plain", host=host).out
    peers = cluster.docker("network", "inspect", "--format", "{{range .Peers}}{{.IP}} {{end}}", "net").out.split()
    assert sorted(peers) == sorted(cluster.address.values())
    # It goes from a node with the last that is on it there.
    cluster.docker("service", "rm", "web")
    eventually(lambda: "net" not in cluster.docker("network", "ls", "--format", "{{.Name}}", host="node3").lines)
    assert "net" in cluster.docker("network", "ls", "--format", "{{.Name}}", host="node2").lines


def test_a_machine_that_dies_is_replaced_and_comes_back(cluster: Cluster) -> None:
    cluster.web("-p", "80:80", replicas=6)
    before = cluster.tasks("web")
    kept = {host: cluster.containers(host) for host in ("node1", "node2")}
    cluster.place.lab("kill", "node3")
    died = time.monotonic()
    last_failure = died
    while time.monotonic() < died + 8:
        if "200" != cluster.http("node1", seconds=0.3):
            last_failure = time.monotonic()
        time.sleep(0.05)
    assert last_failure - died < 6
    assert cluster.nodes()["node3"] == "Down"
    cluster.running("web", 6)
    after = cluster.tasks("web")
    assert set(after.values()) == {"node1", "node2"}
    assert {key for key, node in before.items() if node != "node3"} <= set(after)
    cluster.place.lab("start", "node3")
    cluster.all_ready()
    # What it ran is not wanted any more, and nothing is moved back for it.
    eventually(lambda: cluster.containers("node3") == {})
    assert cluster.tasks("web") == after
    for host, containers in kept.items():
        assert containers.items() <= cluster.containers(host).items()
    eventually(lambda: cluster.http("node3") == "200")


def test_a_machine_that_is_cut_off_is_replaced_and_agrees_when_it_is_back(cluster: Cluster) -> None:
    cluster.web("-p", "80:80", replicas=3)
    cluster.place.lab("cut", "node2")
    eventually(lambda: cluster.nodes()["node2"] == "Down")
    cluster.running("web", 3)
    assert set(cluster.tasks("web").values()) == {"node1", "node3"}
    # Cut off from the others it goes on by itself.
    assert cluster.http("node2", inside="node2") == "200"
    assert [cluster.http(host) for host in ("node1", "node3") for _ in range(6)] == ["200"] * 12
    cluster.place.lab("heal", "node2")
    cluster.all_ready()
    eventually(lambda: cluster.containers("node2") == {})


def test_without_any_manager_everything_goes_on(cluster: Cluster) -> None:
    cluster.docker("network", "create", "-d", "overlay", "net")
    cluster.web("-p", "80:80", "--network", "net", "--constraint", "node.hostname!=node1", replicas=4)
    tasks = cluster.tasks("web")
    kept = cluster.containers("node3")
    cluster.place.lab("kill", "node1")
    # Ended by itself, and started anew, on its own node.
    name = next(iter(kept)).strip("/")
    pid = cluster.docker("inspect", "--format", "{{.State.Pid}}", name, host="node3").out
    cluster.place.inside("node3", "kill", "-9", pid)
    cluster.place.lab("reboot", "node2")
    eventually(lambda: len(cluster.containers("node2")) == 2 and len(cluster.containers("node3")) == 2)
    eventually(lambda: [cluster.http(host) for host in ("node2", "node3") for _ in range(4)] == ["200"] * 8)
    shown = cluster.docker("exec", name, "/bin/busybox", "nslookup", "tasks.web", host="node3").out
    assert shown.count("Address: 10.") == 4
    started = {host: cluster.containers(host) for host in ("node2", "node3")}
    cluster.place.lab("start", "node1")
    cluster.all_ready()
    time.sleep(1)
    assert cluster.tasks("web") == tasks
    assert {host: cluster.containers(host) for host in ("node2", "node3")} == started


def test_a_drained_node_loses_no_request(cluster: Cluster) -> None:
    # A process that was started does not listen yet: only its health check tells when it does.
    healthy = ("--health-cmd", "/bin/busybox wget -qO /dev/null http://127.0.0.1/", "--health-interval", "300ms")
    cluster.web("-p", "80:80", *healthy, replicas=2)
    urls = [f"http://{address}" for address in cluster.address.values()]
    with load(cluster.place.spawn, *urls) as asking:
        for host in ("node2", "node3"):
            cluster.docker("node", "update", "--availability", "drain", host)
            eventually(lambda host=host: host not in cluster.tasks("web").values())  # type: ignore[misc]
            cluster.running("web", 2)
            cluster.docker("node", "update", "--availability", "active", host)
    asking.assert_nothing_lost(least=100)


def test_tokens_and_removals(cluster: Cluster) -> None:
    token = cluster.docker("swarm", "join-token", "-q", "worker").out
    cluster.docker("swarm", "leave", host="node3")
    eventually(lambda: cluster.nodes()["node3"] == "Down")
    cluster.docker("swarm", "join-token", "--rotate", "worker")
    join = ("swarm", "join", f"{cluster.address['node1']}:2377", "--token")
    assert "A valid join token is necessary" in cluster.docker(*join, token, host="node3", check=False).text
    fresh = cluster.docker("swarm", "join-token", "-q", "worker").out
    refused = cluster.docker(
        "swarm", "join", "--token", fresh, f"{cluster.address['node2']}:2377", host="node3", check=False
    )
    assert refused.status == 1 and "connection refused" in refused.text
    cluster.docker(*join, fresh, host="node3")
    cluster.all_ready()
    cluster.docker("node", "rm", "node3", check=False)
    words = ("node", "ls", "--format", "{{.ID}} {{.Hostname}} {{.Status}}")
    for row in cluster.docker(*words).lines:
        if row.endswith("node3 Down"):
            cluster.docker("node", "rm", row.split()[0])
    assert len(cluster.docker("node", "ls", "-q").lines) == 3
    # Taken out by force while it runs something: it stops that by itself.
    cluster.web("--constraint", "node.hostname==node3", replicas=1)
    cluster.docker("node", "rm", "--force", "node3")
    eventually(lambda: cluster.containers("node3") == {})
    assert "was removed from its swarm" in cluster.docker("info", host="node3", check=False).text
    cluster.docker("swarm", "leave", host="node3")
    cluster.docker(*join, fresh, host="node3")
    cluster.all_ready()
    cluster.running("web", 1)


def test_large_answers_pass_over_small_links(place: Place) -> None:
    """An underlay of 1280 bytes, without any setting; the box has a lab beside it."""
    small = Place(place.folder)
    small.box, small.name = place.box, f"{place.name}s"
    cluster = Cluster(small, 2, "--mtu", "1280")
    try:
        cluster.docker("network", "create", "-d", "overlay", "--attachable", "net")
        cluster.web("-p", "80:80", "--network", "net", "--constraint", "node.hostname==node2", replicas=1)
        (name,) = (name.strip("/") for name in cluster.containers("node2"))
        fill = "dd if=/dev/zero of=/usr/share/nginx/html/large bs=100k count=20"
        cluster.docker("exec", name, "/bin/busybox", "sh", "-c", fill, host="node2")
        ask = ("run", "--rm", "--network", "net", "busybox")
        assert " mtu 1230 " in cluster.docker(*ask, "ip", "link", "show", "eth0").out
        count = cluster.docker(*ask, "sh", "-c", "wget -qO- http://web/large | wc -c").out
        assert count.strip() == str(20 * 100 * 1024)
        for inside in ("", "node1"):
            assert cluster.http("node1", path="/large", inside=inside, seconds=5) == "200"
    finally:
        small.lab("down")
