"""A swarm whose managers are away for long."""

import time
from contextlib import suppress

from tests.e2e.lab import Cluster, a_place
from tests.faults.cycles import Broken


def alone(*, minutes: float) -> str:
    """Three nodes, of which the manager dies: for so long the mesh and names go on, tasks that end are started again,
    and a worker that boots starts its tasks; when the manager is back nothing is restarted for it. Raises Broken."""
    with a_place("alone") as place:
        cluster = Cluster(place, 3)
        cluster.docker("network", "create", "-d", "overlay", "net")
        cluster.web("-p", "80:80", "--network", "net", "--constraint", "node.hostname!=node1", replicas=4)
        tasks = cluster.tasks("web")
        place.lab("kill", "node1")
        end = time.monotonic() + minutes * 60
        asked = lost = restarts = boots = 0
        while time.monotonic() < end:
            time.sleep(0.2)
            for host in ("node2", "node3"):
                asked += 1
                lost += cluster.http(host, seconds=5) != "200"
            if asked % 300 == 0:
                # One of node2's ends; each fifth time node3 boots.
                name = next(iter(cluster.containers("node2"))).strip("/")
                pid = cluster.docker("inspect", "--format", "{{.State.Pid}}", name, host="node2").out
                place.inside("node2", "kill", "-9", pid)
                restarts += 1
                if restarts % 5 == 0:
                    place.lab("reboot", "node3")
                    boots += 1
                _whole(cluster)
        names = cluster.docker("exec", name, "/bin/busybox", "nslookup", "tasks.web", host="node2").out
        before = {host: cluster.containers(host) for host in ("node2", "node3")}
        place.lab("start", "node1")
        cluster.all_ready()
        time.sleep(5)
        after = {host: cluster.containers(host) for host in ("node2", "node3")}
        same = cluster.tasks("web") == tasks
        place.lab("down")
    if before != after or not same:
        raise Broken(f"the manager came back, and tasks were replaced: {before} and then {after}")
    if names.count("Address: 10.") < 4:
        raise Broken(f"a task's name has too few addresses without a manager: {names}")
    if lost > restarts:  # the one that was asked when the task was killed
        raise Broken(f"{lost} of {asked} requests were lost, and {restarts} tasks ended")
    return (
        f"{minutes:g} minutes without a manager: {asked} requests, {lost} lost as {restarts} tasks ended and a machine "
        f"booted {boots} times; nothing was restarted when it was back"
    )


def _whole(cluster: Cluster) -> None:
    """Wait until both nodes have their tasks again, and send to no others."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(AssertionError):
            if all(len(cluster.containers(host)) == 2 for host in ("node2", "node3")):
                time.sleep(4)  # nodes have to find out that the other is within reach again
                return
        time.sleep(0.2)
    raise Broken("tasks that ended were not started again without a manager")
