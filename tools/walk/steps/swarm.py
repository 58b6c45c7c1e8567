"""The machine with an engine and no swarm, and with one: links, namespaces and lists."""

import re

from walk.steps.look import addresses, link, links, overlay_netns, ports
from walk.transcript import Transcript


def before(t: Transcript) -> None:
    with t.step("The machine before: one bridge, docker0"):
        t.say("The engine has started, and no swarm is there: its default bridge is all it has made.")
        t.run("ip link")
        bridge = link(t, "docker0")
        t.check("docker0 is there", bridge)
        t.check("with 172.17.0.1/16", addresses(bridge) == ["172.17.0.1/16"], "172.17.0.1/16", addresses(bridge))
        t.check("docker_gwbridge is not", not link(t, "docker_gwbridge"))
        t.say("The images that the lab runs are loaded.")
        t.read("image ls")


def init(t: Transcript) -> None:
    with t.step("A swarm of one node"):
        t.say("This machine becomes a manager that also runs tasks, and says how others would join it.")
        said = t.run(f"{t.client} swarm init{t.place.init_flags}")
        t.check(
            "the join command is printed",
            re.search(r"(docker|shoal) swarm join --token SWMTKN-1-[a-z0-9]{50}-[a-z0-9]{25} [0-9.]+:2377", said.out),
        )
        # Asked at once, without a second for it to settle: init has returned.
        t.check("docker_gwbridge is there at once", link(t, "docker_gwbridge"))
        t.check("so is the ingress sandbox", link(t, "eth1", "ingress_sbox"))
        t.check("and the ingress network's namespace", link(t, "vxlan0", overlay_netns(t, "ingress")))
        t.say("A second one cannot be made while this one is there.")
        again = t.run(f"{t.client} swarm init{t.place.init_flags}", fails=True)
        t.check("Docker's error says so", "This node is already part of a swarm" in again.err, found=again.err)


def nodes(t: Transcript) -> None:
    with t.step("The swarm's nodes"):
        said = t.read("node ls")
        rows = said.out.splitlines()
        t.check("one node", len(rows) == 2, 1, len(rows) - 1)
        t.check(
            "ready, active, the leader, and this one",
            len(rows) == 2 and re.search(r"^[a-z0-9]{25} \* .* Ready +Active +Leader", rows[1]),
        )
        t.say("Nodes can be filtered by their role: the one manager ...")
        rows = t.read("node ls --filter role=manager").out.splitlines()
        t.check("one manager", len(rows) == 2, 1, len(rows) - 1)
        t.say("... and no worker.")
        rows = t.read("node ls --filter role=worker").out.splitlines()
        t.check("no worker", len(rows) == 1 and rows[0].startswith("ID"), 0, len(rows) - 1)


def networks(t: Transcript) -> None:
    with t.step("The networks on a manager"):
        t.say("init has brought two networks: ingress, an overlay, and docker_gwbridge, which leads out of overlays.")
        rows = {tuple(line.split()[1:]) for line in t.read("network ls").out.splitlines()[1:]}
        for row in (
            ("bridge", "bridge", "local"),
            ("docker_gwbridge", "bridge", "local"),
            ("host", "host", "local"),
            ("ingress", "overlay", "swarm"),
            ("none", "null", "local"),
        ):
            t.check(f"{row[0]}: driver {row[1]}, scope {row[2]}", row in rows)


def bridges(t: Transcript) -> None:
    with t.step("Bridges, and a veth pair with one end on one"):
        t.run("ip link")
        gateway = link(t, "docker_gwbridge")
        t.check(
            "docker_gwbridge has 172.18.0.1/16",
            addresses(gateway) == ["172.18.0.1/16"],
            "172.18.0.1/16",
            addresses(gateway),
        )
        t.say("The veth on docker_gwbridge has its other end in another namespace: link-netns says in which.")
        t.run("brctl show")
        on_bridge = ports(t, "docker_gwbridge")
        t.check("one veth is on docker_gwbridge", len(on_bridge) == 1, 1, on_bridge)
        peer = link(t, "eth1", "ingress_sbox")
        here = link(t, on_bridge[0]) if on_bridge else {}
        t.check(
            "its other end is eth1 in ingress_sbox", here.get("link_index") == peer.get("ifindex") and peer, here, peer
        )


def namespaces(t: Transcript) -> None:
    with t.step("The namespaces of the swarm, with no symlink made by hand"):
        said = t.run("ip netns")
        names = [line.split()[0] for line in said.out.splitlines()]
        ingress = overlay_netns(t, "ingress")
        t.check("ingress_sbox is listed", "ingress_sbox" in names, found=names)
        t.check("the ingress network's is, by the network's id", ingress in names, ingress, names)
        t.check(
            "/var/run/docker/netns leads to the same place",
            t.quiet("ls /var/run/docker/netns").out.split() == t.quiet("ls /run/netns").out.split(),
        )
        t.say("The ingress sandbox: eth0 on the ingress network, eth1 on docker_gwbridge.")
        t.run("ip netns exec ingress_sbox ip addr")
        eth0, eth1 = link(t, "eth0", "ingress_sbox"), link(t, "eth1", "ingress_sbox")
        t.check("eth0 has 10.255.0.2/16", addresses(eth0) == ["10.255.0.2/16"], "10.255.0.2/16", addresses(eth0))
        t.check("and the MAC of that address", eth0.get("address") == "02:42:0a:ff:00:02", found=eth0.get("address"))
        t.check("and room for VXLAN's header: MTU 1450", eth0.get("mtu") == _room(t), _room(t), eth0.get("mtu"))
        t.check("eth1 has 172.18.0.2/16", addresses(eth1) == ["172.18.0.2/16"], "172.18.0.2/16", addresses(eth1))
        t.say("The overlay's own namespace: a bridge with the gateway's address, the VXLAN device, a veth a sandbox.")
        t.run(f"ip netns exec {ingress} ip addr")
        found = {row["ifname"]: row for row in links(t, ingress)}
        t.check("br0, vxlan0 and veth0", set(found) == {"lo", "br0", "vxlan0", "veth0"}, found=sorted(found))
        t.check("br0 has 10.255.0.1/16", addresses(found.get("br0", {})) == ["10.255.0.1/16"])
        t.check("vxlan0 is on br0", found.get("vxlan0", {}).get("master") == "br0")
        t.check("veth0 is on br0", found.get("veth0", {}).get("master") == "br0")
        vxlan = found.get("vxlan0", {}).get("linkinfo", {}).get("info_data", {})
        t.check("the VXLAN's id is 4096, its port 4789", (vxlan.get("id"), vxlan.get("port")) == (4096, 4789))


def _room(t: Transcript) -> int:
    """An overlay's MTU: the underlay's without VXLAN's header."""
    route = t.quiet("ip -j route show default").json()
    underlay = link(t, route[0]["dev"]) if route else {}
    return int(underlay.get("mtu", 1500)) - 50
