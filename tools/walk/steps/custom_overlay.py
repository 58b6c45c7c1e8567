"""The second service: a network of its own, the taken port, names and the VIP."""

import json
import re

from walk.outside import ANSWER, NAME
from walk.steps.look import CUSTOM, DEFAULT, NETWORK, inspect, link, ports, resolve, status_of, tasks
from walk.transcript import Transcript


def create(t: Transcript) -> None:
    with t.step("A custom overlay network, and a port that is taken"):
        said = t.run(f"{t.client} network create -d overlay {NETWORK}")
        t.check("the network's id is printed", re.fullmatch(r"[a-z0-9]{25}", said.out.strip()), found=said.out)
        t.say("Port 80 of the swarm belongs to the first service, so this fails ...")
        words = f"--replicas=2 --network {NETWORK} nginx"
        said = t.run(f"{t.client} service create --name {CUSTOM} --publish target=80,published=80 {words}", fails=True)
        owner = inspect(t, DEFAULT).get("ID", "")
        expected = (
            "Error response from daemon: rpc error: code = InvalidArgument desc = port '80' is already in use by "
            f"service '{DEFAULT}' ({owner}) as an ingress port"
        )
        t.check("with Docker's error, word for word", said.err.strip() == expected, expected, said.err.strip())
        t.check("and has made nothing", not inspect(t, CUSTOM))
        t.say("... and on port 81 it works.")
        said = t.watch(f"{t.client} service create --name {CUSTOM} --publish target=80,published=81 {words}")
        t.check("the service converges", said.status == 0 and "converged" in said.out, found=said.out[-200:])
        rows = t.read("service ls").out.splitlines()[1:]
        t.check("both services run, each 2/2", [line.split()[3] for line in rows] == ["2/2", "2/2"], found=rows)
        t.check("on ports 81 and 80", [line.split()[5] for line in rows] == ["*:81->80/tcp", "*:80->80/tcp"])
        for port in (80, 81):
            t.check(f"port {port} answers", status_of(t, f"http://{t.place.address}:{port}") == "200")


def inspected(t: Transcript) -> None:
    with t.step("The network and the service from inside"):
        t.read(f"inspect {NETWORK}", lines=80)
        network = inspect(t, NETWORK)
        config = [(c.get("Subnet"), c.get("Gateway")) for c in network.get("IPAM", {}).get("Config", [])]
        t.check("10.0.0.0/24 with the gateway 10.0.0.1", config == [("10.0.0.0/24", "10.0.0.1")], found=config)
        vxlan = (network.get("Options") or {}).get("com.docker.network.driver.overlay.vxlanid_list")
        t.check("VXLAN id 4097, the next one", vxlan == "4097", 4097, vxlan)
        names = {entry["Name"].rpartition(".")[0] for entry in (network.get("Containers") or {}).values()}
        t.check("Containers: the service's tasks", {f"{CUSTOM}.1", f"{CUSTOM}.2"} <= names, found=names)
        t.read(f"inspect {CUSTOM}", lines=200)
        endpoint = inspect(t, CUSTOM).get("Endpoint", {})
        vips = {vip["NetworkID"]: vip["Addr"] for vip in endpoint.get("VirtualIPs", [])}
        t.check("a VIP on the network, 10.0.0.2/24", vips.get(network.get("Id", "")) == "10.0.0.2/24", found=vips)
        t.check("and one on ingress", len(vips) == 2 and inspect(t, "ingress").get("Id") in vips, found=vips)
        published = [(p["PublishedPort"], p["TargetPort"], p["PublishMode"]) for p in endpoint.get("Ports", [])]
        t.check("published: 81 to 80, through ingress", published == [(81, 80, "ingress")], found=published)
        t.say("And on the machine: one more veth on docker_gwbridge a task.")
        t.run("ip link")
        t.check("five veths: the ingress sandbox's and four tasks'", len(ports(t, "docker_gwbridge")) == 5)


def names(t: Transcript) -> None:
    with t.step(f"Names and the VIP within {NETWORK}"):
        task, other = tasks(t, CUSTOM)
        t.say("A task's interfaces: ingress, its own network, and docker_gwbridge with the default route.")
        t.run(f"ip netns exec {task['name']} ip addr")
        t.run(f"{t.client} exec {task['id'][:12]} cat /etc/resolv.conf")
        network = inspect(t, NETWORK).get("Id", "")
        vips = inspect(t, CUSTOM).get("Endpoint", {}).get("VirtualIPs", [])
        vip = next((v["Addr"].partition("/")[0] for v in vips if v["NetworkID"] == network), "")
        t.say("The service's name is its VIP, tasks.NAME each task.")
        t.run(f"{t.client} exec {task['id'][:12]} sh -c 'nslookup {CUSTOM} || getent hosts {CUSTOM}'")
        seen = resolve(t, task["id"], CUSTOM)
        t.check(f"{CUSTOM} is its VIP", seen == [vip], vip, seen)
        t.run(f"{t.client} exec {task['id'][:12]} sh -c 'nslookup tasks.{CUSTOM} || getent ahosts tasks.{CUSTOM}'")
        seen = resolve(t, task["id"], f"tasks.{CUSTOM}")
        attached = (inspect(t, NETWORK).get("Containers") or {}).items()
        own = sorted(e["IPv4Address"].partition("/")[0] for key, e in attached if key in (task["id"], other["id"]))
        t.check(f"tasks.{CUSTOM} is both tasks", seen == own, own, seen)
        t.say("The VIP answers HTTP, from every task in turn, and ping.")
        for asker in (task, other):
            codes = [status_of(t, f"http://{vip}", asker["name"]) for _ in range(4)]
            t.check(f"four times 200 from {asker['name'][:-26]}", codes == ["200"] * 4, found=codes)
        t.run(f"ip netns exec {task['name']} ping -c 1 -W 2 {vip}")
        t.say("Names of other networks are no names here; what is no name of the swarm's is asked for outside.")
        seen = resolve(t, task["id"], DEFAULT)
        t.check(f"{DEFAULT} does not resolve", seen == [], "nothing", seen)
        _outside(t, task["id"])
        t.check("the task's link on the network has its MTU", link(t, "eth1", task["name"]).get("mtu") == _mtu(t))


def _outside(t: Transcript, task: str) -> None:
    """In the lab's own namespaces there is a name server with one name; else the machine's own decides."""
    here = t.quiet(f"getent ahostsv4 {NAME}").out.split()
    if here:
        seen = resolve(t, task, NAME)
        t.check(f"{NAME} is {ANSWER}, as the machine's own resolver says", seen == [ANSWER], ANSWER, seen)
        return
    name = "deb.debian.org"
    here = t.quiet(f"getent ahostsv4 {name}", timeout=30).out.split()
    seen = resolve(t, task, name)
    t.check(f"{name} is what the machine's own resolver says", bool(seen) == bool(here), json.dumps(here[:1]), seen)


def _mtu(t: Transcript) -> int:
    return int(link(t, "eth0", "ingress_sbox").get("mtu", 0))
