"""Changes of the network behind shoald's back, as a person types them, and whether all is as it was soon after."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

from tests.e2e.harness import Machine, pids
from tests.faults.cycles import Broken

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


def drift(machine: Machine, *, seconds: float) -> str:
    """Make a swarm with a service, damage its network in each way, and say how long the slowest took to be mended.

    Raises Broken for what takes longer than ``seconds``, or what a container or a stranger has noticed.
    """
    machine.docker("swarm", "init")
    machine.docker("network", "create", "-d", "overlay", "net")
    machine.docker(
        *("service", "create", "-q", "-d", "--name", "web", "--network", "net"),
        *("--replicas", "2", "--publish", "80:80", "nginx"),
    )
    machine.running("web", "2/2")
    first = machine.containers("web")[0]
    machine.run("ip", "link", "add", "stranger", "type", "bridge")
    times: list[float] = []
    try:
        before, running = picture(machine), pids(machine)
        for what, commands in damages(machine, machine.folder):
            for command in commands:
                if (ran := machine.run("sh", "-c", command)).status:
                    raise Broken(f"{command}: {ran.text}")
            times.append(_mended(machine, before, what, seconds))
            answers = [machine.http(f"http://{machine.address}", netns=machine.neighbour) for _ in range(2)]
            asked = machine.docker("exec", first, "busybox", "wget", "-q", "-O", "-", "http://web")
            if answers != ["200", "200"] or "nginx" not in asked.out:
                raise Broken(f"{what}: the mesh answers {answers}, the VIP {asked.text}")
        if pids(machine) != running:
            raise Broken("containers were restarted")
        if "stranger" not in machine.links():
            raise Broken("a stranger's bridge is gone")
    finally:
        machine.run("ip", "link", "del", "stranger")
    return f"{len(times)} of {len(times)} mended, slowest {max(times):.1f} s, no container restarted"


def _mended(machine: Machine, before: set[str], what: str, seconds: float) -> float:
    began = time.monotonic()
    while (now := picture(machine)) != before:
        if time.monotonic() > began + seconds:
            raise Broken(f"{what}: missing {sorted(before - now)}, not wanted {sorted(now - before)}")
    return time.monotonic() - began


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
