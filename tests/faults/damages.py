"""What somebody may do to a node's network behind our back, each as a person or a script does it; for the lab's node
(tests/fakes/lab_machine.py), on a machine of one's own."""

import subprocess
from collections.abc import Callable
from contextlib import suppress

from tests.fakes.lab_machine import NGINX_NS, OVERLAY, REMOTE, TASKS, VTEP
from tests.fakes.machine import ip, links, nft, path_of

from shoal.kernel import netns, sysctl
from shoal.network.node import INGRESS_NETNS, mac_of

Damage = Callable[[], None]


def _port_of_task_1() -> str:
    found = (name for name, link in links().items() if link.get("ifalias") == "shoal: task web.1 eth2")
    return next(found, "none-any-more")


def _both(*commands: str, ns: str = "") -> Damage:
    return lambda: [ip(command, ns) for command in commands] and None


def _sysctl(name: str, value: str, ns: str = "") -> Damage:
    return lambda: sysctl.write(path_of(ns), name, value)


def _rebuilt(table: str, ns: str = "") -> None:
    """The same table with one rule less, as somebody's script may leave it: its comment still says that it is whole."""
    listed = nft(f"list {table}", ns)
    without = "\n".join(line for line in listed.split("\n") if "dnat to" not in line)
    nft(f"delete {table}; {without}", ns)


def _fdb(command: str) -> None:
    subprocess.run(["bridge", "-n", NGINX_NS, "fdb", *command.split()], check=True, capture_output=True)


# What somebody may do to a node's network, and where something has to be mended for it.
DAMAGES: dict[str, tuple[Damage, set[str]]] = {
    "a veth": (lambda: ip("link del veth1", OVERLAY), {OVERLAY, TASKS[0]}),
    "a veth on the host": (lambda: ip(f"link del {_port_of_task_1()}"), {"host", TASKS[0]}),
    "vxlan0": (lambda: ip("link del vxlan0", OVERLAY), {OVERLAY}),
    "br0": (lambda: ip("link del br0", OVERLAY), {OVERLAY}),
    "docker_gwbridge": (lambda: ip("link del docker_gwbridge"), {"host"}),
    "docker0": (lambda: ip("link del docker0"), {"host"}),
    "a link that is down": (lambda: ip("link set eth1 down", TASKS[1]), {TASKS[1]}),
    "a bridge that is down": (lambda: ip("link set docker_gwbridge down"), {"host"}),
    "a tunnel that is down": (lambda: ip("link set vxlan0 down", OVERLAY), {OVERLAY}),
    "a port out of its bridge": (lambda: ip("link set veth2 nomaster", OVERLAY), {OVERLAY}),
    "the host's table": (lambda: nft("delete table ip shoal"), {"host"}),
    "the host's rules": (lambda: nft("flush table ip shoal"), {"host"}),
    "the host's whole ruleset": (lambda: nft("flush ruleset"), {"host"}),
    "a rule of the host's": (lambda: _rebuilt("table ip shoal"), {"host"}),
    "a rule too many": (lambda: nft("insert rule ip shoal forward drop"), {"host"}),
    "a table asleep": (lambda: nft("add table ip shoal { flags dormant; }"), {"host"}),
    "the ingress sandbox's rules": (lambda: nft("flush ruleset", INGRESS_NETNS), {INGRESS_NETNS}),
    "a rule in the ingress sandbox": (lambda: nft("flush chain ip shoal prerouting", INGRESS_NETNS), {INGRESS_NETNS}),
    "a task's tables": (lambda: nft("flush ruleset", TASKS[0]), {TASKS[0]}),
    "a task's rules": (lambda: nft("flush table ip shoal", TASKS[0]), {TASKS[0]}),
    "an address": (lambda: ip("addr del 10.0.0.3/24 dev eth1", TASKS[0]), {TASKS[0]}),
    "all addresses": (lambda: ip("addr flush dev eth0", TASKS[0]), {TASKS[0]}),
    "the ingress sandbox's address": (lambda: ip("addr flush dev eth0", INGRESS_NETNS), {INGRESS_NETNS}),
    "a gateway's address": (lambda: ip("addr flush dev docker_gwbridge"), {"host"}),
    "the default route": (lambda: ip("route del default", TASKS[0]), {TASKS[0]}),
    "another default route": (lambda: ip("route replace default via 172.18.0.99", TASKS[0]), {TASKS[0]}),
    "the way back": (lambda: ip("rule del prio 100", TASKS[0]), {TASKS[0]}),
    "a way back's table": (lambda: ip("route flush table 102", TASKS[0]), {TASKS[0]}),
    "a neighbour entry": (lambda: ip(f"neigh del {REMOTE} dev vxlan0", NGINX_NS), {NGINX_NS}),
    "another neighbour entry": (
        lambda: ip(f"neigh replace {REMOTE} lladdr 02:00:00:00:00:08 dev vxlan0 nud permanent", NGINX_NS),
        {NGINX_NS},
    ),
    "an FDB entry": (lambda: _fdb(f"del {mac_of(REMOTE)} dev vxlan0 dst {VTEP}"), {NGINX_NS}),
    "another FDB entry": (
        lambda: _fdb(f"replace {mac_of(REMOTE)} dev vxlan0 dst 192.0.2.8 self permanent"),
        {NGINX_NS},
    ),
    "a port in a stranger's bridge": (
        lambda: (ip("link add b1 type bridge"), ip(f"link set {_port_of_task_1()} master b1")) and None,
        {"host"},
    ),
    "a task's interface in a bridge": (
        _both("link add b1 type bridge", "link set eth1 master b1", ns=TASKS[0]),
        {TASKS[0]},
    ),
    "a stranger in our bridge": (
        _both("link add str7 type veth peer name str8", "link set str7 master docker0"),
        {"host"},
    ),
    "a stranger in our overlay": (
        _both("link add veth77 type veth peer name other", "link set veth77 up master br0", ns=OVERLAY),
        {OVERLAY},
    ),
    "the MTU": (lambda: ip("link set eth0 mtu 1400", TASKS[0]), {TASKS[0]}),
    "a bridge's MTU": (lambda: ip("link set docker_gwbridge mtu 1280"), {"host"}),
    "a MAC": (lambda: ip("link set eth0 address 02:00:00:00:00:09", TASKS[0]), {TASKS[0]}),
    "the alias": (lambda: ip("link set br0 alias mine", OVERLAY), {OVERLAY}),
    "ip_forward": (_sysctl("net.ipv4.ip_forward", "0"), {"host"}),
    "route_localnet": (_sysctl("net.ipv4.conf.docker_gwbridge.route_localnet", "0"), {"host"}),
    "rp_filter": (_sysctl("net.ipv4.conf.all.rp_filter", "1", TASKS[0]), {TASKS[0]}),
    "the ingress sandbox's ip_forward": (_sysctl("net.ipv4.ip_forward", "0", INGRESS_NETNS), {INGRESS_NETNS}),
    "a namespace's name": (lambda: netns.delete(TASKS[0]), {TASKS[0]}),
    "an overlay's name": (lambda: netns.delete(OVERLAY), {OVERLAY}),
    "the ingress sandbox's name": (lambda: ip(f"netns del {INGRESS_NETNS}"), {INGRESS_NETNS}),
    "a namespace's name, taken by another": (
        lambda: (netns.delete(TASKS[0]), ip(f"netns add {TASKS[0]}")) and None,
        {TASKS[0]},
    ),
    "every name": (
        lambda: [netns.delete(name) for name in (OVERLAY, NGINX_NS, INGRESS_NETNS, *TASKS)] and None,
        {OVERLAY, NGINX_NS, *TASKS},
    ),
}


def clear_strangers() -> None:
    """Take away what the damages have brought, as whoever brought it would."""
    for name, ns in (("b1", ""), ("b1", TASKS[0]), ("str7", ""), ("veth77", OVERLAY)):
        with suppress(subprocess.CalledProcessError):  # not there
            ip(f"link del {name}", ns)
