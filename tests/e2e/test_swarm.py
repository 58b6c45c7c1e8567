"""The lab's steps, each by itself, with the real client."""

import re
from collections import Counter

import pytest
from tests.e2e.harness import NOT_A_MANAGER, Machine, eventually

pytestmark = [pytest.mark.root, pytest.mark.e2e]

GONE_WITH_THE_SWARM = ("link", "network namespace", "nft table", "route", "rule", "mount", "process")


def addresses(link: dict[str, list[dict[str, str]]]) -> list[str]:
    return [f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"] if a["family"] == "inet"]


def create(machine: Machine, name: str, *words: str, replicas: int = 2) -> None:
    shape = ("--name", name, "--replicas", str(replicas), "--stop-grace-period", "500ms")
    machine.docker("service", "create", "-q", "-d", *shape, *words)
    machine.running(name, f"{replicas}/{replicas}")


def requests(machine: Machine, service: str, agent: str) -> list[tuple[str, str]]:
    """The requests with that user agent in the tasks' access logs: container and client address."""
    return [
        (container, line.split()[0])
        for container in machine.containers(service)
        for line in machine.docker("logs", container).lines
        if f'"{agent}"' in line
    ]


def test_docker0_is_there_before_any_swarm(machine: Machine) -> None:
    links = machine.links()
    assert addresses(links["docker0"]) == ["172.17.0.1/16"]
    assert "docker_gwbridge" not in links
    assert machine.namespaces() == set()


def test_init_makes_the_labs_devices_at_once(machine: Machine) -> None:
    said = machine.docker("swarm", "init").out
    assert re.search(r"    docker swarm join --token SWMTKN-1-[a-z0-9]{50}-[a-z0-9]{25} 192\.168\.77\.10:2377", said)
    links = machine.links()
    assert addresses(links["docker_gwbridge"]) == ["172.18.0.1/16"]
    network = machine.inspect("ingress")["Id"]
    assert machine.namespaces() == {"ingress_sbox", f"1-{network[:10]}"}

    sandbox = machine.links("ingress_sbox")
    assert addresses(sandbox["eth0"]) == ["10.255.0.2/16"]
    assert sandbox["eth0"]["address"] == "02:42:0a:ff:00:02"
    assert sandbox["eth0"]["mtu"] == 1450
    assert addresses(sandbox["eth1"]) == ["172.18.0.2/16"]
    bridged = [name for name, link in links.items() if link.get("master") == "docker_gwbridge"]
    assert [links[name]["ifindex"] for name in bridged] == [sandbox["eth1"]["link_index"]]

    overlay = machine.links(f"1-{network[:10]}")
    assert set(overlay) == {"lo", "br0", "vxlan0", "veth0"}
    assert addresses(overlay["br0"]) == ["10.255.0.1/16"]
    assert overlay["vxlan0"]["master"] == overlay["veth0"]["master"] == "br0"
    tunnel = overlay["vxlan0"]["linkinfo"]["info_data"]
    assert (tunnel["id"], tunnel["port"], tunnel["learning"]) == (4096, 4789, False)
    assert tunnel["proxy"] and tunnel["l2miss"] and tunnel["l3miss"]


def test_nodes_and_networks_are_listed(swarm: Machine) -> None:
    header, node = swarm.docker("node", "ls").lines
    assert header == "ID                            HOSTNAME   STATUS    AVAILABILITY   MANAGER STATUS   ENGINE VERSION"
    assert re.fullmatch(r"[a-z0-9]{25} \*   \S+ +Ready     Active         Leader           \S+", node)
    assert swarm.docker("node", "ls", "--filter", "role=manager").lines == [header, node]
    assert len(swarm.docker("node", "ls", "--filter", "role=worker").lines) == 1
    rows = [tuple(line.split()[1:]) for line in swarm.docker("network", "ls").lines[1:]]
    assert rows == [
        ("bridge", "bridge", "local"),
        ("docker_gwbridge", "bridge", "local"),
        ("host", "host", "local"),
        ("ingress", "overlay", "swarm"),
        ("none", "null", "local"),
    ]
    for words in (["node", "ls"], ["network", "ls"], ["service", "ls"]):
        assert swarm.shoal(*words).out == swarm.docker(*words).out


def test_a_service_converges_and_is_inspected(swarm: Machine) -> None:
    said = swarm.docker(
        *("service", "create", "--name", "web", "--publish", "target=80,published=80", "--replicas=2", "nginx")
    ).out
    assert "overall progress: 2 out of 2 tasks" in said
    assert re.search(r"verify: Service \S+ converged", said)
    row = swarm.docker("service", "ls").lines[1]
    assert re.fullmatch(r"[a-z0-9]{12}   web       replicated   2/2        nginx:latest   \*:80->80/tcp", row)
    states = swarm.docker("service", "ps", "web", "--format", "{{.Name}} {{.CurrentState}}").lines
    assert [re.sub(r" \d+ seconds ago", "", state) for state in sorted(states)] == ["web.1 Running", "web.2 Running"]

    ingress = swarm.inspect("ingress")
    assert ingress["IPAM"]["Config"] == [{"Subnet": "10.255.0.0/16", "Gateway": "10.255.0.1"}]
    assert ingress["Options"] == {"com.docker.network.driver.overlay.vxlanid_list": "4096"}
    assert [peer["IP"] for peer in ingress["Peers"]] == ["192.168.77.10"]
    tasks = swarm.containers("web")
    assert set(ingress["Containers"]) == {"ingress-sbox", *tasks}
    assert ingress["Containers"]["ingress-sbox"]["Name"] == "ingress-endpoint"
    overlay = swarm.links(f"1-{ingress['Id'][:10]}")
    assert {name for name in overlay if name.startswith("veth")} == {"veth0", "veth1", "veth2"}
    assert swarm.docker("inspect", "ingress").json() == swarm.shoal("inspect", "ingress").json()


def test_the_mesh_answers_everywhere_and_shows_the_client(swarm: Machine) -> None:
    create(swarm, "web", "--publish", "80:80", "nginx")
    assert swarm.http("http://127.0.0.1:80") == "200"
    assert swarm.http(f"http://{swarm.address}:80") == "200"
    for _ in range(6):
        assert swarm.http(f"http://{swarm.address}:80", netns=swarm.neighbour, agent="neighbour") == "200"
    seen = eventually(lambda: len(found := requests(swarm, "web", "neighbour")) == 6 and found)
    assert {client for _, client in seen} == {swarm.neighbour_address}
    assert sorted(Counter(task for task, _ in seen).values()) == [3, 3]


def test_a_taken_port_is_refused_and_another_one_works(swarm: Machine) -> None:
    create(swarm, "first", "--publish", "80:80", "nginx")
    network = swarm.docker("network", "create", "-d", "overlay", "nginx-net").out
    words = ("--replicas=2", "--network", "nginx-net", "nginx")
    refused = swarm.docker("service", "create", "--name", "second", "--publish", "80:80", *words, check=False)
    first = swarm.inspect("first")["ID"]
    assert refused.status == 1
    assert refused.err == (
        "Error response from daemon: rpc error: code = InvalidArgument desc = port '80' is already in use by service "
        f"'first' ({first}) as an ingress port"
    )
    create(swarm, "second", "--publish", "81:80", "--network", "nginx-net", "nginx")
    assert swarm.http(f"http://{swarm.address}:81", netns=swarm.neighbour) == "200"

    inspected = swarm.inspect("nginx-net")
    assert inspected["Id"] == network
    assert inspected["IPAM"]["Config"] == [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]
    assert set(swarm.containers("second")) <= set(inspected["Containers"])
    endpoint = swarm.inspect("second")["Endpoint"]
    assert {"NetworkID": network, "Addr": "10.0.0.2/24"} in endpoint["VirtualIPs"]
    assert len(endpoint["VirtualIPs"]) == 2
    bridged = [name for name, link in swarm.links().items() if link.get("master") == "docker_gwbridge"]
    assert len(bridged) == 5

    used = swarm.docker("network", "rm", "nginx-net", check=False)
    second = swarm.inspect("second")["ID"]
    assert used.status == 1
    assert used.err.splitlines()[0] == (
        "Error response from daemon: rpc error: code = FailedPrecondition desc = network "
        f"{network} is in use by service {second}"
    )


def test_names_and_vips_within_a_network(swarm: Machine) -> None:
    swarm.docker("network", "create", "-d", "overlay", "inner")
    create(swarm, "web", "--network", "inner", "nginx")
    create(swarm, "elsewhere", "--publish", "80:80", "nginx", replicas=1)
    task = swarm.containers("web")[0]

    def resolve(name: str) -> list[str]:
        said = swarm.docker("exec", task, "nslookup", name, check=False).out
        return sorted(set(re.findall(r"^Address: (\S+)$", said, re.MULTILINE)))

    network = swarm.inspect("inner")
    vip = next(v["Addr"] for v in swarm.inspect("web")["Endpoint"]["VirtualIPs"] if v["NetworkID"] == network["Id"])
    assert resolve("web") == [vip.partition("/")[0]]
    own = [network["Containers"][c]["IPv4Address"].partition("/")[0] for c in swarm.containers("web")]
    assert resolve("tasks.web") == sorted(own)
    assert resolve("elsewhere") == []
    assert "1 packets received" in swarm.docker("exec", task, "ping", "-c", "1", "-W", "2", "web").out
    for _ in range(4):
        assert "Welcome to nginx" in swarm.docker("exec", task, "wget", "-qO-", "http://web").out
    shares = Counter(
        container for container in swarm.containers("web") if '"Wget"' in swarm.docker("logs", container).out
    )
    assert len(shares) == 2, "both tasks were asked"


def test_leaving_is_refused_and_then_leaves_nothing(machine: Machine) -> None:
    before = machine.snapshot()
    machine.docker("swarm", "init")
    machine.docker("network", "create", "-d", "overlay", "inner")
    create(machine, "web", "--publish", "80:80", "--network", "inner", "nginx")
    refused = machine.docker("swarm", "leave", check=False)
    assert refused.status == 1
    assert refused.err == (
        "Error response from daemon: You are attempting to leave the swarm on a node that is participating as a "
        "manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this "
        "message."
    )
    assert machine.docker("swarm", "leave", "--force").out == "Node left the swarm."
    assert machine.left(before, kinds=GONE_WITH_THE_SWARM) == []
    refused = machine.docker("node", "ls", check=False)
    assert (refused.err, refused.status) == (NOT_A_MANAGER, 1)
    assert machine.docker("ps", "-aq").out == ""


def test_services_are_removed_in_the_labs_order(machine: Machine) -> None:
    """The network goes while the tasks that were on it are still ending."""
    before = machine.snapshot()
    machine.docker("swarm", "init")
    machine.docker("network", "create", "-d", "overlay", "inner")
    create(machine, "one", "--publish", "80:80", "nginx")
    create(machine, "two", "--publish", "81:80", "--network", "inner", "nginx")
    assert machine.docker("service", "rm", "one").out == "one"
    assert machine.docker("service", "rm", "two").out == "two"
    assert machine.docker("network", "rm", "inner").out == "inner"
    assert machine.docker("swarm", "leave", "--force").out == "Node left the swarm."
    assert machine.left(before, kinds=GONE_WITH_THE_SWARM) == []


def test_a_global_service_has_its_nodes_port(swarm: Machine) -> None:
    swarm.docker(
        *("service", "create", "-q", "-d", "--name", "all", "--mode", "global"),
        *("--publish", "mode=host,target=80,published=8090", "nginx"),
    )
    swarm.running("all", "1/1")
    assert swarm.http(f"http://{swarm.address}:8090", netns=swarm.neighbour, agent="neighbour") == "200"
    assert swarm.http("http://127.0.0.1:8090") == "200"
    assert [client for _, client in eventually(lambda: requests(swarm, "all", "neighbour"))] == [
        swarm.neighbour_address
    ]
    assert swarm.docker("service", "ps", "all", "--format", "{{.Ports}}").out == "*:8090->80/tcp"
    task = swarm.containers("all")[0]
    assert "172.17.0." in swarm.inspect(task)["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]


def test_scaling_up_and_down(swarm: Machine) -> None:
    create(swarm, "web", "--publish", "80:80", "nginx", replicas=1)
    swarm.docker("service", "scale", "-d", "web=3")
    swarm.running("web", "3/3")
    swarm.docker("service", "scale", "-d", "web=1")
    eventually(lambda: len(swarm.containers("web")) == 1)
    assert {swarm.http(f"http://{swarm.address}") for _ in range(4)} == {"200"}


def test_a_service_without_replicas_has_one(swarm: Machine) -> None:
    assert (
        "converged"
        in swarm.docker(
            "service", "create", "--name", "web", "--stop-grace-period", "0s", "busybox", "sleep", "1000"
        ).out
    )
    assert swarm.inspect("web")["Spec"]["Mode"] == {"Replicated": {"Replicas": 1}}


def test_a_rolling_update_of_image_environment_ports_and_replicas(swarm: Machine) -> None:
    create(swarm, "web", "--publish", "80:80", "nginx")
    old = set(swarm.containers("web"))
    swarm.docker("tag", "nginx:latest", "nginx:next")
    said = swarm.docker(
        *("service", "update", "--image", "nginx:next", "--env-add", "COLOUR=blue", "--publish-add", "81:80"),
        *("--replicas", "3", "--update-monitor", "500ms", "web"),
    ).out
    assert "converged" in said
    now = swarm.containers("web")
    assert len(now) == 3
    assert not old & set(now)
    assert [swarm.docker("exec", task, "sh", "-c", "echo $COLOUR").out for task in now] == ["blue"] * 3
    assert [swarm.http(f"http://{swarm.address}:{port}") for port in (80, 81)] == ["200", "200"]
    assert swarm.inspect("web")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:next"
    swarm.docker("service", "rollback", "-d", "web")
    eventually(lambda: swarm.inspect("web")["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] == "nginx:latest")


def test_service_logs_name_the_tasks(swarm: Machine) -> None:
    create(swarm, "talk", "busybox", "sh", "-c", "echo said; echo failed >&2; sleep 1000")
    logs = eventually(lambda: (r := swarm.docker("service", "logs", "talk")).text.count("said") == 2 and r)
    tasks = {line.partition("@")[0].rpartition(".")[0] for line in logs.lines}
    assert tasks == {"talk.1", "talk.2"}
    assert [line.rpartition("| ")[2] for line in logs.err.splitlines()] == ["failed", "failed"]
    raw = swarm.docker("service", "logs", "--raw", "--timestamps", "--tail", "1", "talk").lines
    assert all(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (said|failed)$", line) for line in raw)


def test_a_dead_task_is_replaced_after_its_delay(swarm: Machine) -> None:
    create(swarm, "web", "--publish", "80:80", "--restart-delay", "2s", "nginx")
    victim = swarm.containers("web")[0]
    swarm.docker("kill", victim)
    eventually(lambda: victim not in swarm.containers("web"))
    assert {swarm.http(f"http://{swarm.address}") for _ in range(4)} == {"200"}
    assert len(swarm.containers("web")) == 1, "not before the delay"
    eventually(lambda: len(swarm.containers("web")) == 2)
    rows = swarm.docker("service", "ps", "web", "--format", "{{.CurrentState}}: {{.Error}}").lines
    assert [re.sub(" .*ago:", "", row) for row in rows if row.startswith("Failed")] == [
        'Failed "task: non-zero exit (137)"'
    ]
