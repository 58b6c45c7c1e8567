"""Somebody changes the network behind shoald's back: it is as it was within two seconds, and no container notices."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import Machine
from tests.e2e.test_restart import pids

pytestmark = [pytest.mark.root, pytest.mark.e2e]

# Two on a machine that has nothing else to do.
SECONDS = 20.0
# What firewall scripts and a boot's sysctl.d leave behind.
SYSCTLS = """net.ipv4.ip_forward = 0
net.ipv4.conf.all.rp_filter = 2
net.ipv4.conf.default.rp_filter = 2
net.ipv4.conf.docker0.route_localnet = 0
net.ipv4.conf.docker_gwbridge.route_localnet = 0
net.ipv4.conf.docker_gwbridge.send_redirects = 1
"""


def damages(machine: Machine, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Commands as a person types them, each after the one before was mended."""
    ingress = f"1-{machine.inspect('ingress')['Id'][:10]}"
    task, other = sorted(name for name in machine.namespaces() if name.startswith("web."))
    (folder / "sysctl.conf").write_text(SYSCTLS)
    yield "the whole ruleset is flushed", ["nft flush ruleset"]
    yield "sysctls are set back", [f"sysctl -q -p {folder}/sysctl.conf"]
    yield "the ingress sandbox's rules are flushed", ["ip netns exec ingress_sbox nft flush ruleset"]
    yield "a task loses an interface", [f"ip -n {task} link del eth0"]
    yield "docker_gwbridge is deleted", ["ip link del docker_gwbridge"]
    yield (
        "an overlay loses its bridge and its tunnel",
        [f"ip -n {ingress} link del br0", f"ip -n {ingress} link del vxlan0"],
    )
    yield (
        "a task loses its addresses and its rules",
        [f"ip -n {other} addr flush dev eth0", f"ip netns exec {other} nft flush ruleset"],
    )
    yield "names are unmounted", [f"ip netns del {task}", f"umount /run/netns/{ingress}"]
    yield (
        "a task's link is set down, another's MTU",
        [f"ip -n {task} link set eth1 down", f"ip -n {other} link set eth0 mtu 1300"],
    )


def test_whatever_is_changed_is_mended(swarm: Machine, tmp_path: Path) -> None:
    swarm.docker("network", "create", "-d", "overlay", "net")
    swarm.docker(
        *("service", "create", "-q", "-d", "--name", "web", "--network", "net"),
        *("--replicas", "2", "--publish", "80:80", "nginx"),
    )
    swarm.running("web", "2/2")
    containers = swarm.containers("web")
    swarm.run("ip", "link", "add", "stranger", "type", "bridge")
    try:
        before, running = picture(swarm), pids(swarm)
        for what, commands in damages(swarm, tmp_path):
            for command in commands:
                assert swarm.run("sh", "-c", command).status == 0, command
            mended(swarm, before, what)
            for _ in range(2):
                assert swarm.http(f"http://{swarm.address}", netns=swarm.neighbour) == "200", what
            asked = swarm.docker("exec", containers[0], "busybox", "wget", "-q", "-O", "-", "http://web")
            assert "nginx" in asked.out, what
        assert pids(swarm) == running
        assert "stranger" in swarm.links()
    finally:
        swarm.run("ip", "link", "del", "stranger")
    log = swarm.shoald.log.read_text()
    assert re.search(r"mended: nft ip shoal\S* in host: it was gone", log)
    assert re.search(r"mended: sysctl net.ipv4.ip_forward in host: value was 0, not 1", log)


def mended(machine: Machine, before: set[str], what: str) -> None:
    """Wait until all is as it was, and fail with what is not."""
    deadline = time.monotonic() + SECONDS
    while (now := picture(machine)) != before:
        assert time.monotonic() < deadline, f"{what}: missing {sorted(before - now)}, not wanted {sorted(now - before)}"


def picture(machine: Machine) -> set[str]:
    """The node's network as a person sees it: the tree, the rules, and the settings that it leans on."""
    shown = [("tree", line) for line in machine.shoal("topology").lines]
    for ns in (None, *sorted(machine.namespaces())):
        shown += [(ns, line) for line in machine.run("nft", "list", "ruleset", netns=ns).lines]
        shown += [(ns, line) for line in machine.run("ip", "route", "show", "table", "all", netns=ns).lines]
    names = ("ip_forward", "conf.docker0.route_localnet", "conf.docker_gwbridge.route_localnet")
    shown += [("sysctl", line) for line in machine.run("sysctl", *(f"net.ipv4.{name}" for name in names)).lines]
    # The order is that in which things were made. Link-local routes come with a link's first carrier, and what is said
    # of a carrier changes by itself.
    lines = {f"{where}: {line.strip(' ├└│─').removesuffix(' linkdown')}" for where, line in shown}
    return {line for line in lines if not re.search(r"\b(fe80:|ff00:)", line)}
