"""Another root certificate for a swarm of three managers and a worker, while everybody goes on."""

import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.harness import eventually
from tests.e2e.lab import Cluster, Place

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.xdist_group("rotation"), pytest.mark.timeout(400)]

MANAGERS = ("node1", "node2", "node3")
# What a rotation may take on a machine that has other work, in seconds.
PATIENCE = 60
# And a change to the swarm meanwhile.
PAUSE = 5 * 2


# What etcd was started with.
_AUTHORITY = """cat "$(tr '\\0' '\\n' </proc/$(pgrep -x etcd)/cmdline | sed -n s/--peer-trusted-ca-file=//p)" """


@pytest.fixture(scope="module", name="four")
def _four() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="shoal-rotation-"))
    place = Place(folder / "labs")
    try:
        place.box.start()
        before = place.snapshot()
        yield Cluster(place, 4, "--managers", "3")
        place.lab("down")
        assert place.left(before) == [] and place.cgroups(f"{place.name}-") == []
    finally:
        place.box.stop()
        shutil.rmtree(folder)


@pytest.fixture(name="cluster")
def _cluster(four: Cluster) -> Cluster:
    four.reset()
    eventually(lambda: sorted(four.managers().values()) == ["Leader", "Reachable", "Reachable"])
    return four


def swarm(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cluster.docker("system", "info", "--format", "{{json .Swarm.Cluster}}").out)
    return found


def roots(cluster: Cluster) -> set[str]:
    """What the hosts' files and their etcds trust."""
    folder = cluster.place.folder / cluster.place.name
    held = {(folder / host / "data/swarm/certificates/swarm-root-ca.crt").read_text() for host in cluster.hosts}
    for host in MANAGERS:
        # It may be ended and started again right now.
        held.add(cluster.place.inside(host, "sh", "-c", _AUTHORITY, check=False).out + "\n")
    return held


@contextmanager
def writing(cluster: Cluster, host: str) -> Iterator[list[float]]:
    """Change the swarm at a manager again and again; how long each change took, in seconds."""
    pauses: list[float] = []
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            began = time.monotonic()
            words = ("network", "create", "-d", "overlay", f"w{time.monotonic_ns()}")
            eventually(lambda words=words: cluster.docker(*words, host=host, check=False).status == 0)  # type: ignore[misc]
            pauses.append(time.monotonic() - began)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield pauses
    finally:
        over.set()
        writer.join()


def test_a_rotation_changes_every_certificate_and_restarts_nothing(cluster: Cluster) -> None:
    cluster.web("-p", "80:80", replicas=4)
    before = {host: cluster.containers(host) for host in cluster.hosts}
    old = cluster.docker("swarm", "ca").out
    tokens = [cluster.docker("swarm", "join-token", "-q", role).out for role in ("worker", "manager")]
    began = time.monotonic()
    with writing(cluster, "node2") as pauses:
        done = cluster.docker("swarm", "ca", "--rotate")
        took = time.monotonic() - began
    print(f"rotation: {took:.1f} s; {len(pauses)} writes meanwhile, the slowest took {max(pauses):.1f} s")
    assert max(pauses) < PAUSE
    new = cluster.docker("swarm", "ca").out
    assert done.out.endswith(new) and new != old
    assert roots(cluster) == {new + "\n"}
    assert set(cluster.nodes().values()) == {"Ready"}
    assert {host: cluster.containers(host) for host in cluster.hosts} == before
    assert [cluster.http(host) for host in cluster.hosts] == ["200"] * 4

    # Only the present tokens let anybody in.
    worker, manager = (cluster.docker("swarm", "join-token", "-q", role).out for role in ("worker", "manager"))
    assert not {worker, manager} & set(tokens)
    gone = cluster.docker("info", "--format", "{{.Swarm.NodeID}}", host="node4").out
    cluster.docker("swarm", "leave", host="node4")
    address = f"{cluster.address['node1']}:2377"
    refused = cluster.docker("swarm", "join", "--token", tokens[0], address, host="node4", check=False)
    assert refused.status and "remote CA does not match fingerprint" in refused.err
    cluster.docker("swarm", "join", "--token", worker, address, host="node4")
    eventually(lambda: cluster.docker("node", "rm", gone, check=False).status == 0)
    cluster.all_ready()


def test_a_rotation_waits_for_who_is_away_whoever_leads(cluster: Cluster) -> None:
    cluster.web(replicas=4)
    before = {host: cluster.containers(host) for host in MANAGERS}
    old, leader = cluster.docker("swarm", "ca").out, cluster.leader()
    cluster.kill_shoald("node4")
    cluster.docker("swarm", "ca", "--rotate", "--detach")
    assert swarm(cluster)["RootRotationInProgress"]
    eventually(lambda: cluster.nodes()["node4"] == "Down", seconds=PATIENCE)
    assert swarm(cluster)["RootRotationInProgress"] and cluster.docker("swarm", "ca").out == old
    # Every manager trusts both by now, and the rotation is the next leader's.
    cluster.at = next(host for host in MANAGERS if host != leader)
    cluster.kill_shoald(leader)
    eventually(lambda: cluster.leader() not in ("", leader), seconds=PATIENCE)
    cluster.start_shoald(leader)
    cluster.start_shoald("node4")
    began = time.monotonic()
    eventually(lambda: not swarm(cluster)["RootRotationInProgress"], seconds=PATIENCE)
    new = cluster.docker("swarm", "ca").out
    assert new != old
    eventually(lambda: roots(cluster) == {new + "\n"}, seconds=PATIENCE)
    print(f"rest of the rotation: {time.monotonic() - began:.1f} s")
    cluster.all_ready()
    for host, containers in before.items():
        assert containers.items() <= cluster.containers(host).items()


def test_a_root_that_somebody_brings_along_is_put_in_its_place(cluster: Cluster) -> None:
    folder = cluster.place.folder
    words = (
        "-days",
        "4000",
        "-nodes",
        "-subj",
        "/CN=ours",
        "-keyout",
        f"{folder}/ours.key",
        "-out",
        f"{folder}/ours.crt",
    )
    made = cluster.place.run("openssl", "req", "-x509", "-newkey", "rsa:2048", *words)
    assert made.status == 0, made.text
    files = ("--ca-cert", f"{folder}/ours.crt", "--ca-key", f"{folder}/ours.key")
    done = cluster.place.inside("node3", "shoal", "swarm", "ca", "--rotate", *files)
    ours = (folder / "ours.crt").read_text()
    assert done.out.endswith(ours.strip()) and "rotated" not in done.err
    assert roots(cluster) == {ours} and "PRIVATE" not in cluster.docker("system", "info", "--format", "{{json .}}").out
    assert set(cluster.nodes().values()) == {"Ready"}
    # And back to one that nobody outside has.
    assert cluster.docker("swarm", "ca", "--rotate", "--quiet", "--cert-expiry", "48h").out == ""
    assert cluster.docker("swarm", "ca").out != ours.strip()
    nodes = cluster.docker("node", "ls", "--format", "{{.TLSStatus}}").lines
    assert set(nodes) == {"Ready"}
