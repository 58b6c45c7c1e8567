"""Whether this machine can run the lab, and whether it can do so without disturbing what is there."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

_PROGRAMS = {
    "containerd": "containerd", "runc": "runc", "ip": "iproute2", "brctl": "bridge-utils", "nft": "nftables",
    "curl": "curl", "ping": "iputils-ping", "unshare": "util-linux", "nsenter": "util-linux",
}  # fmt: skip
_NETWORKS = ("172.17.0.0/16", "172.18.0.0/16", "10.255.0.0/16")
_PORTS = (80, 81, 82, 2377, 8090)
_LINKS = ("docker0", "docker_gwbridge")


def missing() -> Iterator[str]:
    """A sentence for each thing that is missing, with what to do."""
    if os.geteuid() != 0:
        yield "The lab makes network devices and namespaces, so it needs root: run it with sudo."
        return
    absent = sorted({package for program, package in _PROGRAMS.items() if shutil.which(program) is None})
    if absent:
        yield f"Programs are missing: apt-get install {' '.join(absent)}"
    if not Path("/proc/self/ns/net").exists():
        yield "The kernel has no network namespaces: one with CONFIG_NET_NS is needed, as every Debian kernel has."
        return
    if shutil.which("ip") is not None and shutil.which("unshare") is not None:
        yield from _missing_of_the_kernel()


def _missing_of_the_kernel() -> Iterator[str]:
    """Tried, not looked up: in namespaces that end with the try."""
    for name, command in {
        "bridge devices": "ip link add lab0 type bridge",
        "veth pairs": "ip link add lab0 type veth peer name lab1",
        "VXLAN": "ip link add lab0 type vxlan id 1 dstport 4789 dev lo",
        "nftables with address translation": "nft add table ip lab && "
        "nft 'add chain ip lab c { type nat hook prerouting priority 0 ; }' && "
        "nft add rule ip lab c dnat to numgen inc mod 1 map '{ 0 : 127.0.0.1 }'",
        "overlayfs": "d=$(mktemp -d) && mount -t tmpfs tmpfs $d && mkdir $d/l $d/u $d/w $d/m && "
        "mount -t overlay overlay -o lowerdir=$d/l,upperdir=$d/u,workdir=$d/w $d/m; s=$?; "
        "umount -R $d; rmdir $d; exit $s",
    }.items():
        tried = subprocess.run(
            ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            reason = tried.stderr.strip().splitlines()[-1:] or ["it cannot be made"]
            yield f"The kernel has no {name} ({reason[0]}): load its module, or boot Debian's own kernel."


def obstacles() -> Iterator[str]:
    """What is on this machine that the lab would disturb or trip over, if it ran in the machine's own namespaces."""
    links = {str(link["ifname"]) for link in _json("link")}
    for link in _LINKS:
        if link in links:
            yield f"{link} is there, another engine's"
    networks = [ip_network(text) for text in _NETWORKS]
    for taken in _routed():
        if any(taken.overlaps(network) for network in networks):
            yield f"a route to {taken} is there, which the lab's networks need"
    ports = _listening()
    for port in _PORTS:
        if port in ports:
            yield f"port {port} is taken"
    if advertised() is None:
        yield "no interface has an address to advertise"


def advertised() -> str | None:
    """The address that leads outside: the default route's, else any that is not loopback's."""
    found = [
        address["local"]
        for link in _json("-4", "address")
        for address in link.get("addr_info", [])
        if address.get("scope") == "global"
    ]
    with contextlib.suppress(IndexError, KeyError):
        return str(_json("-4", "route", "get", "192.0.2.254")[0]["prefsrc"])
    return found[0] if found else None


def _routed() -> list[IPv4Network]:
    found = []
    for route in _json("-4", "route"):
        with contextlib.suppress(ValueError, KeyError):
            network = ip_network(route["dst"])
            if isinstance(network, IPv4Network):
                found.append(network)
    return found


def _listening() -> set[int]:
    found = set()
    for file in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in Path(file).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A":
                    found.add(int(words[1].rpartition(":")[2], 16))
    return found


def _json(*arguments: str) -> list[Any]:
    done = subprocess.run(["ip", "-j", *arguments], capture_output=True, text=True, check=False)
    found: list[Any] = json.loads(done.stdout) if done.returncode == 0 and done.stdout.strip() else []
    return found
