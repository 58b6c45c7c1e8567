"""Three managers and a worker: any manager answers, one leads, and what becomes of it all when they die."""

import time
from collections.abc import Iterator

import pytest
from tests.e2e.harness import eventually
from tests.e2e.lab import Cluster, a_place

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.xdist_group("managers"), pytest.mark.timeout(400)]

MANAGERS = ("node1", "node2", "node3")
# What writes may take while managers die, in seconds; on a machine that has other work.
PATIENCE = 5 * 2


@pytest.fixture(scope="module", name="four")
def _four() -> Iterator[Cluster]:
    with a_place("managers") as place:
        before = place.snapshot()
        yield Cluster(place, 4, "--managers", "3")
        place.lab("down")
        assert place.left(before) == [] and place.cgroups(f"{place.name}-") == []


@pytest.fixture(name="cluster")
def _cluster(four: Cluster) -> Cluster:
    four.reset()
    eventually(lambda: sorted(four.managers().values()) == ["Leader", "Reachable", "Reachable"])
    return four


def write(cluster: Cluster, host: str) -> float:
    """Change the swarm at a manager, as often as it takes; after how many seconds it was done."""
    began = time.monotonic()
    words = ("network", "create", "-d", "overlay", f"w{time.monotonic_ns()}")
    eventually(lambda: cluster.docker(*words, host=host, check=False).status == 0, seconds=PATIENCE)
    return time.monotonic() - began


def is_manager(cluster: Cluster, host: str) -> bool:
    """What the host itself says."""
    return cluster.docker("info", "--format", "{{.Swarm.ControlAvailable}}", host=host).out == "true"


def started(cluster: Cluster, *hosts: str) -> dict[str, dict[str, str]]:
    return {host: cluster.containers(host) for host in hosts}


def test_every_manager_answers_and_changes_the_swarm(cluster: Cluster) -> None:
    cluster.at = "node2"
    cluster.web("-p", "80:80", replicas=4)
    assert set(cluster.tasks("web").values()) == set(cluster.hosts)
    for host in MANAGERS:
        assert cluster.docker("service", "ls", "--format", "{{.Name}} {{.Replicas}}", host=host).out == "web 4/4"
        # From all nodes, whoever has their sessions.
        eventually(
            lambda host=host: (
                len({line.split()[0] for line in cluster.docker("service", "logs", "web", host=host).text.splitlines()})  # type: ignore[misc]
                == 4
            )
        )
        assert cluster.docker("info", "--format", "{{.Swarm.Managers}} {{.Swarm.Nodes}}", host=host).out == "3 4"
    refused = cluster.docker("service", "ls", host="node4", check=False)
    assert "Worker nodes can't be used to view or modify cluster state" in refused.err
    cluster.docker("service", "scale", "-d", "web=2", host="node3")
    cluster.running("web", 2)


def test_a_leader_whose_machine_dies_is_replaced_in_both_of_its_parts(cluster: Cluster) -> None:
    cluster.web("-p", "80:80", replicas=8)
    leader = cluster.leader()
    others = [host for host in cluster.hosts if host != leader]
    kept = started(cluster, *others)
    cluster.at = next(host for host in others if host != "node4")
    cluster.place.lab("kill", leader)
    took = write(cluster, cluster.at)
    assert took < PATIENCE
    eventually(lambda: cluster.leader() not in ("", leader), seconds=PATIENCE)
    eventually(lambda: cluster.nodes()[leader] == "Down")
    cluster.running("web", 8)
    assert set(cluster.tasks("web").values()) == set(others)
    assert cluster.managers()[leader] == "Unreachable"
    for host, containers in kept.items():
        assert containers.items() <= cluster.containers(host).items()
    cluster.place.lab("start", leader)
    eventually(lambda: cluster.managers()[leader] == "Reachable")
    write(cluster, leader)


def test_a_leader_whose_shoald_dies_hands_over_and_nothing_is_restarted(cluster: Cluster) -> None:
    cluster.web("-p", "80:80", replicas=8)
    before, leader = started(cluster, *cluster.hosts), cluster.leader()
    other = next(host for host in MANAGERS if host != leader)
    cluster.kill_shoald(leader)
    # Its etcd goes on, so the others notice nothing.
    assert write(cluster, other) < PATIENCE
    cluster.at = other
    eventually(lambda: cluster.leader() not in ("", leader), seconds=PATIENCE)
    assert [cluster.http(host) for host in cluster.hosts] == ["200"] * 4
    cluster.start_shoald(leader)
    eventually(lambda: cluster.managers()[leader] == "Reachable" and cluster.nodes()[leader] == "Ready")
    write(cluster, leader)
    time.sleep(1)
    assert started(cluster, *cluster.hosts) == before


def test_a_leader_that_is_cut_off_changes_nothing_and_agrees_when_it_is_back(cluster: Cluster) -> None:
    cluster.web("-p", "80:80", replicas=4)
    leader = cluster.leader()
    first, second = (host for host in MANAGERS if host != leader)
    kept = started(cluster, first, second, "node4")
    cluster.place.lab("cut", leader)
    took = write(cluster, first)
    assert took < PATIENCE
    refused = cluster.docker("network", "create", "-d", "overlay", "never", host=leader, check=False)
    assert refused.status and "no quorum of the swarm's managers answers" in refused.err
    # It can be read, and what runs there goes on.
    assert cluster.docker("service", "ls", "-q", host=leader).lines
    assert cluster.http(leader, inside=leader) == "200"
    cluster.at = second
    eventually(lambda: cluster.leader() not in ("", leader), seconds=PATIENCE)
    eventually(lambda: cluster.nodes()[leader] == "Down")
    cluster.running("web", 4)
    cluster.place.lab("heal", leader)
    eventually(lambda: cluster.nodes()[leader] == "Ready" and cluster.managers()[leader] == "Reachable")
    for host, containers in kept.items():
        assert containers.items() <= cluster.containers(host).items()
    eventually(lambda: cluster.containers(leader) == {})

    def networks(host: str) -> set[str]:
        rows = cluster.docker("network", "ls", "--filter", "driver=overlay", "--format", "{{.Name}}", host=host).lines
        return set(rows)

    # What it missed comes when its etcd has caught up, and it hears of changes again.
    eventually(lambda: networks(leader) == networks(first))
    assert "never" not in networks(leader) and any(name.startswith("w") for name in networks(leader))


def test_managers_are_made_of_workers_and_workers_of_managers(cluster: Cluster) -> None:
    cluster.web(replicas=4)
    before, leader = started(cluster, *cluster.hosts), cluster.leader()
    cluster.at = next(host for host in MANAGERS if host != leader)
    cluster.docker("node", "promote", "node4")
    eventually(lambda: cluster.managers().get("node4") == "Reachable", seconds=30)
    write(cluster, "node4")
    # Also the one that leads.
    cluster.docker("node", "demote", leader)
    eventually(lambda: leader not in cluster.managers() and cluster.leader() not in ("", leader))
    eventually(lambda: not is_manager(cluster, leader))
    data = cluster.place.folder / cluster.place.name / leader / "data" / "swarm"
    eventually(lambda: sorted(path.name for path in data.iterdir()) == ["certificates", "membership.json"])
    cluster.docker("node", "promote", leader)
    eventually(lambda: cluster.managers().get(leader) == "Reachable", seconds=30)
    cluster.docker("node", "demote", "node4")
    eventually(lambda: "node4" not in cluster.managers())
    assert started(cluster, *cluster.hosts) == before


def test_a_seat_that_was_taken_and_given_again_unseen_is_taken_anew(cluster: Cluster) -> None:
    leader = cluster.leader()
    away = next(host for host in MANAGERS if host != leader)
    cluster.at = leader
    cluster.place.lab("cut", away)
    eventually(lambda: cluster.nodes()[away] == "Down")
    cluster.docker("node", "demote", away)
    eventually(lambda: away not in cluster.managers())
    cluster.docker("node", "promote", away)
    cluster.place.lab("heal", away)
    eventually(lambda: cluster.managers().get(away) == "Reachable", seconds=40)
    write(cluster, away)


def test_a_backup_is_not_imported_beside_managers_that_go_on_without_it(cluster: Cluster) -> None:
    leader = cluster.leader()
    cluster.place.inside(leader, "shoal", "state", "export", "/run/backup")
    refused = cluster.place.inside(leader, "shoal", "state", "import", "--force", "/run/backup", check=False)
    assert refused.status and "3 managers share the swarm's state" in refused.err
    assert write(cluster, leader) < PATIENCE


def test_a_manager_that_leaves_is_missed_by_nobody(cluster: Cluster) -> None:
    leader = cluster.leader()
    gone = next(host for host in MANAGERS if host != leader)
    cluster.at = leader
    refused = cluster.docker("swarm", "leave", host=gone, check=False)
    assert "participating as a manager" in refused.err and "--force" in refused.err
    cluster.docker("swarm", "leave", "--force", host=gone)
    eventually(lambda: gone not in cluster.managers())
    eventually(lambda: cluster.nodes()[gone] == "Down")
    cluster.docker("node", "rm", gone)
    token = cluster.docker("swarm", "join-token", "-q", "manager").out
    cluster.docker("swarm", "join", "--token", token, f"{cluster.address[leader]}:2377", host=gone)
    eventually(lambda: cluster.managers().get(gone) == "Reachable", seconds=30)
    write(cluster, gone)


def test_without_a_quorum_nothing_changes_until_somebody_says_who_goes_on(cluster: Cluster) -> None:
    cluster.web("-p", "80:80", "--constraint", "node.hostname!=node2", "--constraint", "node.hostname!=node3")
    before = started(cluster, "node1", "node4")
    for host in ("node2", "node3"):
        cluster.place.lab("kill", host)
    refused = cluster.docker("service", "scale", "-d", "web=1", check=False)
    assert "no quorum of the swarm's managers answers" in refused.text
    assert cluster.docker("service", "ls", "--format", "{{.Name}}").out == "web"
    assert [cluster.http(host) for host in ("node1", "node4") for _ in range(2)] == ["200"] * 4
    cluster.docker("swarm", "init", "--force-new-cluster")
    write(cluster, "node1")
    eventually(lambda: cluster.managers() == {"node1": "Leader"})
    eventually(lambda: cluster.nodes()["node4"] == "Ready")
    assert started(cluster, "node1", "node4") == before
    # The others had their quorum together, with another state: that is over, and they are workers of this one's.
    for host in ("node2", "node3"):
        cluster.place.lab("start", host)
    cluster.all_ready()
    assert cluster.managers() == {"node1": "Leader"}
    eventually(lambda: not is_manager(cluster, "node2") and not is_manager(cluster, "node3"))
    cluster.docker("node", "promote", "node2", "node3")
    eventually(lambda: sorted(cluster.managers().values()) == ["Leader", "Reachable", "Reachable"], seconds=30)
