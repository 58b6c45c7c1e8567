"""The first service, on the default network, and the routing mesh that leads to it."""

import json
import re
from collections import Counter

from walk.steps.look import DEFAULT, inspect, links, overlay_netns, status_of, tasks
from walk.transcript import Transcript


def create(t: Transcript) -> None:
    with t.step("A service of two tasks, published on port 80"):
        t.say("No network is named, so the tasks are on ingress; port 80 of every node leads to them.")
        said = t.watch(
            f"{t.client} service create --name {DEFAULT} --publish target=80,published=80 --replicas=2 nginx"
        )
        t.check("the service converges", said.status == 0 and "converged" in said.out, found=said.out[-200:])
        rows = t.read("service ls").out.splitlines()
        t.check(
            "two of two run, from port 80 to port 80",
            len(rows) == 2
            and re.search(rf"^[a-z0-9]{{12}} +{DEFAULT} +replicated +2/2 +nginx:latest +\*:80->80/tcp", rows[1]),
            found=rows[1:],
        )
        rows = t.read(f"service ps {DEFAULT}").out.splitlines()
        t.check("both tasks are running", sum("Running   " in row for row in rows) == 2, 2, rows[1:])


def inspected(t: Transcript) -> None:
    with t.step("The ingress network from inside"):
        t.say("Containers lists the tasks and the ingress endpoint on this node, Peers the nodes by their addresses.")
        t.read("inspect ingress", lines=80)
        network = inspect(t, "ingress")
        config = network.get("IPAM", {}).get("Config", [])
        t.check(
            "subnet 10.255.0.0/16, gateway 10.255.0.1",
            [(c.get("Subnet"), c.get("Gateway")) for c in config] == [("10.255.0.0/16", "10.255.0.1")],
            found=config,
        )
        attached = network.get("Containers") or {}
        names = sorted(entry["Name"].rpartition(".")[0] or entry["Name"] for entry in attached.values())
        t.check("Containers: both tasks, and ingress-endpoint",
                names == ["ingress-endpoint", f"{DEFAULT}.1", f"{DEFAULT}.2"], found=names)  # fmt: skip
        t.check(
            "each MAC is 02:42 and the address",
            all(
                entry["MacAddress"] == "02:42:" + ":".join(f"{int(part):02x}" for part in
                                                           entry["IPv4Address"].partition("/")[0].split("."))
                for entry in attached.values()
            ),
        )  # fmt: skip
        own = t.quiet(f"{t.client} info --format '{{{{json .Swarm}}}}'").json()
        peers = [peer["IP"] for peer in network.get("Peers") or []]
        t.check("Peers: this machine", own and peers == [own["NodeAddr"]], found=peers)
        t.say("The overlay's namespace has two more veths: each leads to a task's namespace.")
        netns = overlay_netns(t, "ingress")
        t.run(f"ip netns exec {netns} ip addr")
        found = [row["ifname"] for row in links(t, netns) if row["ifname"].startswith("veth")]
        t.check("veth0, veth1 and veth2", sorted(found) == ["veth0", "veth1", "veth2"], found=found)
        ends = {row["link_index"] for row in links(t, netns) if row["ifname"] in ("veth1", "veth2")}
        inner = {row["ifindex"] for task in tasks(t, DEFAULT) for row in links(t, task["name"])}
        t.check("their other ends are the tasks' own", ends <= inner, sorted(ends), sorted(inner))


def mesh(t: Transcript) -> None:
    with t.step("The routing mesh: every address of the node answers, and the tasks see who asks"):
        t.say("From the machine itself, by the loopback address and by its own ...")
        said = t.run("curl -s http://127.0.0.1:80", lines=4)
        t.check("127.0.0.1:80 answers", "nginx" in said.out)
        said = t.run(f"curl -s -o /dev/null -w '%{{http_code}}\\n' http://{t.place.address}:80")
        t.check(f"{t.place.address}:80 answers", said.out.strip() == "200", 200, said.out)
        t.say("... and from another host, which is a namespace on a wire to this machine.")
        said = t.run(
            f"curl -s -o /dev/null -w '%{{http_code}}\\n' -A from-another-host http://{t.place.address}:80",
            netns=t.place.neighbour,
        )
        t.check("the other host gets an answer", said.out.strip() == "200", 200, said.out)
        for _ in range(7):
            t.quiet(f"curl -s -m 5 -o /dev/null -A from-another-host http://{t.place.address}", netns=t.place.neighbour)
        t.say("What the tasks have written down of those eight requests:")
        t.eventually("all eight are in the tasks' logs", lambda: len(_requests(t)) == 8)
        t.read(f"service logs --tail 3 {DEFAULT}", same=False)
        asked = _requests(t)
        t.check(
            "every one from the other host's own address",
            {address for _, address in asked} == {t.place.neighbour_address},
            t.place.neighbour_address,
            sorted({address for _, address in asked}),
        )
        shares = Counter(task for task, _ in asked)
        t.check("four of them at each task, in turn", sorted(shares.values()) == [4, 4], [4, 4], dict(shares))
        t.check("no answer where nothing is published", status_of(t, f"http://{t.place.address}:81") == "000")


def _requests(t: Transcript) -> list[tuple[str, str]]:
    """The requests from the other host in the access logs: the task and the address that it saw."""
    found = []
    for task in tasks(t, DEFAULT):
        for line in t.quiet(f"{t.client} logs {task['id']}").text.splitlines():
            if "from-another-host" in line:
                found.append((task["name"], line.split()[0]))
    return found


def topology(t: Transcript) -> None:
    with t.step("The same as one picture"):
        t.say("What ip netns and ip addr show piece by piece, joined and with its owners, read back from the kernel.")
        said = t.run("shoal topology", lines=200)
        for word in ("docker0", "docker_gwbridge", "ingress_sbox", "vxlan0", "10.255.0.2", f"{DEFAULT}.1"):
            t.check(f"{word} is in it", word in said.out)
        t.check("nothing in it is an error", not said.err, found=json.dumps(said.err))
