"""What runs, and who asks for it, while shoald and what it leans on die and come back."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.e2e.harness import Machine, eventually
from tests.e2e.load import load
from tests.faults.cycles import Broken


def lives(machine: Machine) -> dict[str, Any]:
    """What tells the running containers from others in their place: process, start, restarts, addresses."""
    ids = machine.docker("ps", "-q", "--no-trunc").lines
    return {
        found["Name"]: (
            found["State"]["Pid"],
            found["State"]["StartedAt"],
            found["RestartCount"],
            {name: network["IPAddress"] for name, network in found["NetworkSettings"]["Networks"].items()},
        )
        for found in machine.docker("inspect", *ids).json()
    }


def tasks(machine: Machine, service: str) -> list[str]:
    """All that the service ever had, by slot: id, wanted state, observed state, error."""
    form = "{{.Name}} {{.ID}} {{.DesiredState}} {{.CurrentState}} {{.Error}}"
    lines = machine.docker("service", "ps", "--no-trunc", "--format", form, service).lines
    return sorted(re.sub(r" (less than|about|\d+) .*ago", "", line) for line in lines)


def vips(machine: Machine, service: str) -> list[str]:
    found = machine.inspect(service)["Endpoint"]["VirtualIPs"]
    return [vip["Addr"].partition("/")[0] for vip in found]


def make_busy(swarm: Machine) -> None:
    """Two tasks behind the mesh and a VIP, one that asks them, and a plain container with a port."""
    swarm.docker("network", "create", "-d", "overlay", "--attachable", "over")
    web = ("--name", "web", "--network", "over", "--replicas", "2", "--publish", "80:80", "nginx")
    swarm.docker("service", "create", "-q", "-d", *web)
    swarm.docker("service", "create", "-q", "-d", "--name", "asker", "--network", "over", "busybox", "sleep", "9999")
    swarm.docker("run", "-d", "--name", "plain", "-p", "8080:80", "nginx")
    swarm.running("web", "2/2")
    swarm.running("asker", "1/1")


def kill_shoald(machine: Machine) -> None:
    machine.shoald.kill()
    machine.run("sleep", "0.5")
    machine.shoald.start()


def stop_shoald(machine: Machine) -> None:
    assert machine.shoald.stop() == 0
    machine.run("sleep", "0.5")
    machine.shoald.start()


def kill_neighbour(machine: Machine, pid_file: str) -> None:
    """Kill one of the processes that shoald looks after; returns when there is another."""
    file = machine.shoald.folder / "run" / pid_file
    pid = file.read_text().strip()
    assert machine.run("kill", "-9", pid).status == 0
    eventually(lambda: file.read_text().strip() not in ("", pid), seconds=30)


def kill_containerd(machine: Machine) -> None:
    kill_neighbour(machine, "containerd/containerd.pid")


def kill_keeper(machine: Machine) -> None:
    kill_neighbour(machine, "keeper.pid")


DEATHS: Sequence[Callable[[Machine], None]] = (kill_shoald, stop_shoald, kill_containerd, kill_keeper)


def restarts(machine: Machine, *, requests: int) -> str:
    """Let everything die in turn until each target was asked so often, and say what came of it. Raises Broken."""
    machine.docker("swarm", "init")
    make_busy(machine)
    before = lives(machine)
    [asker] = [name for name in machine.namespaces() if name.startswith("asker.")]
    outside = (f"http://{machine.address}:80", f"http://{machine.address}:8080")
    inside = (f"http://{vips(machine, 'web')[-1]}", "dns:web", "dns:tasks.web")
    asked = dict.fromkeys((*outside, *inside), 0)
    deaths = 0
    while min(asked.values()) < requests:
        with (
            load(machine.spawn, *outside, netns=machine.neighbour) as first,
            load(machine.spawn, *inside, netns=asker) as second,
        ):
            DEATHS[deaths % len(DEATHS)](machine)
            deaths += 1
            machine.run("sleep", "1")
        for target, count in (first.counts | second.counts).items():
            if count.lost:
                raise Broken(f"{target}: {len(count.lost)} of {count.asked} lost at death {deaths}: {count.lost[:3]}")
            asked[target] += count.asked
        if lives(machine) != before:
            raise Broken(f"a container was touched at death {deaths}")
    return f"{min(asked.values())} requests of each of {len(asked)} targets during {deaths} restarts: 0 lost"
