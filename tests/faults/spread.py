"""How long it takes until every node's kernel has a change of a large network."""

import re
import statistics
import time
from collections import defaultdict
from datetime import datetime, timedelta

from tests.e2e.lab import Cluster, a_place
from tests.faults.cycles import Broken

HOSTS, TASKS = 5, 200
# Changes of one address are further apart than this.
_APART = timedelta(seconds=1)
# What ``ip -ts monitor neigh`` says of an entry that comes, or goes.
_LINE = re.compile(r"^\[([^\]]+)\] (Deleted )?(\d+\.\d+\.\d+\.\d+) dev (\S+) lladdr (\S+)", re.MULTILINE)


def spread(*, changes: int, milliseconds: float) -> str:
    """Have so many tasks on one network over all nodes, let one more come and go, and see when each node that has to
    know its address does, by its kernel's own word. Raises Broken where that takes longer than it may."""
    with a_place("spread") as place:
        cluster = Cluster(place, HOSTS)
        cluster.docker("network", "create", "-d", "overlay", "large")
        words = ("--network", "large", "--stop-grace-period", "0s", "--no-resolve-image", "busybox", "sleep", "100000")
        began = time.monotonic()
        cluster.docker("service", "create", "-d", "-q", "--name", "many", "--replicas", str(TASKS), *words)
        cluster.running("many", TASKS, seconds=180)
        up = time.monotonic() - began
        entries = {host: _neighbours(cluster, host) for host in cluster.hosts}
        for host in cluster.hosts:
            follow = f"exec ip -ts -n {_namespace(cluster, host)} monitor neigh >/run/neigh 2>&1 </dev/null"
            place.inside(host, "sh", "-c", f"setsid sh -c '{follow}' &")
        time.sleep(1)
        cluster.docker("service", "create", "-d", "-q", "--name", "one", "--replicas", "0", *words)
        for number in range(changes // 2):
            for replicas in (1, 0):
                cluster.docker("service", "scale", "-d", f"one={replicas}")
                cluster.running("one", replicas, seconds=60)
                time.sleep(0.5 + number % 3 / 10)
        seen = _seen({host: place.inside(host, "cat", "/run/neigh").out for host in cluster.hosts})
        place.lab("down")
    if any(count < TASKS - TASKS // HOSTS - 10 for count in entries.values()):
        raise Broken(f"of {TASKS} tasks on {HOSTS} nodes the kernels know {entries}")
    if len(seen) < changes * 0.9:
        raise Broken(f"{changes} changes were made, and {len(seen)} were seen on all nodes")
    if max(seen) > milliseconds:
        raise Broken(f"a change was {max(seen):.0f} ms later on one node than on another: {_shown(seen)}")
    return (
        f"{TASKS} tasks on {HOSTS} nodes, up after {up:.1f} s, {min(entries.values())} to {max(entries.values())} "
        f"entries on each; of {len(seen)} changes the last node had each {_shown(seen)} after the first"
    )


def _namespace(cluster: Cluster, host: str) -> str:
    """The overlay's own namespace there."""
    network = cluster.docker("network", "inspect", "--format", "{{.ID}}", "large").out
    names = cluster.place.inside(host, "ip", "netns", "list").out.split()
    return next(name for name in names if name.endswith(network[:10]) and not name.startswith("lb_"))


def _neighbours(cluster: Cluster, host: str) -> int:
    return len(
        cluster.place.inside(host, "ip", "-n", _namespace(cluster, host), "neigh", "show", "nud", "permanent").lines
    )


def _seen(logs: dict[str, str]) -> list[float]:
    """For each change that all but one node saw (the one that the task is on), how many milliseconds lay between the
    first and the last; sorted. An address comes again and again: what is together in time is one change."""
    heard: dict[tuple[str, bool], list[tuple[datetime, str]]] = defaultdict(list)
    for host, log in logs.items():
        for moment, gone, address, _, _ in _LINE.findall(log):
            heard[address, bool(gone)].append((datetime.fromisoformat(moment), host))
    seen: list[float] = []
    for events in heard.values():
        change: dict[str, datetime] = {}
        for moment, host in [*sorted(events), (datetime.max, "")]:
            if change and (host in change or moment - min(change.values()) > _APART):
                if len(change) == HOSTS - 1:
                    seen.append((max(change.values()) - min(change.values())).total_seconds() * 1000)
                change = {}
            change[host] = moment
    return sorted(seen)


def _shown(seen: list[float]) -> str:
    return f"{min(seen):.0f} to {max(seen):.0f} ms, median {statistics.median(seen):.0f} ms"
