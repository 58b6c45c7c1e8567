"""The machine boots: all that the kernel had is gone, and shoald alone brings back what was wanted."""

import os
import re
from pathlib import Path

import pytest
from tests.e2e.harness import Machine, eventually
from tests.e2e.test_restart import tasks, vips

pytestmark = [pytest.mark.root, pytest.mark.e2e]


def statuses(machine: Machine) -> dict[str, str]:
    """The containers of nobody's service, by name."""
    rows = machine.docker("ps", "-a", "--format", "{{.Names}}:{{.Status}}").lines
    found = dict(row.split(":", 1) for row in rows)
    return {name: re.sub(r" \d+ .*|Less .*", "", text).strip() for name, text in found.items() if "." not in name}


def kept(folder: Path) -> set[str]:
    """What a folder of things by id has, as far as they are containers."""
    return {name for name in os.listdir(folder) if len(name) == 64}


def test_services_and_containers_come_back_and_nothing_old_stays(swarm: Machine) -> None:
    swarm.docker("network", "create", "-d", "overlay", "--attachable", "over")
    web = ("--name", "web", "--network", "over", "--replicas", "2", "--publish", "80:80", "nginx")
    swarm.docker("service", "create", "-q", "-d", "--restart-delay", "0s", *web)
    swarm.docker("network", "create", "own")
    run = ("run", "-d", "--network", "over", "-p")
    swarm.docker(*run, "8080:80", "--name", "always", "--restart", "always", "nginx")
    swarm.docker("run", "-d", "--network", "own", "--name", "unless", "--restart", "unless-stopped", "nginx")
    swarm.docker("run", "-d", "--name", "stopped", "--restart", "unless-stopped", "nginx")
    swarm.docker("stop", "-t", "5", "stopped")
    swarm.docker("run", "-d", "--name", "plain", "nginx")
    swarm.docker("run", "-d", "--name", "removed", "--rm", "nginx")
    swarm.docker("exec", "-d", "plain", "sleep", "9999")
    swarm.running("web", "2/2")
    old, addresses = set(swarm.containers("web")), vips(swarm, "web")
    swarm.reboot()
    eventually(lambda: len(set(swarm.containers("web")) - old) == 2, seconds=30)
    swarm.running("web", "2/2")
    states = [line.split()[2:4] for line in tasks(swarm, "web")]
    assert sorted(states) == [["Running", "Running"]] * 2 + [["Shutdown", "Failed"]] * 2
    expected = {"always": "Up", "unless": "Up", "stopped": "Exited (0)", "plain": "Exited (255)"}
    eventually(lambda: statuses(swarm) == expected)

    assert vips(swarm, "web") == addresses
    for port in (80, 80, 8080):
        assert swarm.http(f"http://{swarm.address}:{port}", netns=swarm.neighbour) == "200"
    names = swarm.docker("exec", "always", "busybox", "nslookup", "web").out
    assert addresses[-1] in names
    assert "nginx" in swarm.docker("exec", "always", "busybox", "wget", "-q", "-O", "-", "http://web").out

    running = set(swarm.docker("ps", "-q", "--no-trunc").lines)
    engine = swarm.shoald.folder
    for folder in ("run/containerd/io.containerd.runtime.v2.task/shoal", "run/runc/shoal", "run/stdio"):
        assert kept(engine / folder) == running, folder
    for folder in ("data/keeper/containers", "data/keeper/sandboxes"):
        assert kept(engine / folder) <= running, folder
    sandboxes = {swarm.inspect(key)["Name"][1:] for key in running}
    overlays = {name for name in swarm.namespaces() if re.match(r"1-\w{10}$", name)}
    assert swarm.namespaces() == sandboxes | overlays | {"ingress_sbox"} and len(overlays) == 2
    ctr = ("ctr", "-a", str(engine / "run/containerd/containerd.sock"), "-n", "shoal")
    assert swarm.run(*ctr, "leases", "ls", "-q").lines == []
    everything = set(swarm.docker("ps", "-aq", "--no-trunc").lines)
    assert set(swarm.run(*ctr, "containers", "ls", "-q").lines) == everything

    swarm.docker("start", "plain")
    assert swarm.docker("exec", "plain", "echo", "hello").out == "hello"
