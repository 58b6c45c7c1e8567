"""What several steps want to know of the machine and of the engine, asked without a word in the transcript."""

import json
import re
from typing import Any

from walk.transcript import Transcript

DEFAULT = "my-nginx-default-net"
CUSTOM = "my-nginx-custom-overlay"
NETWORK = "nginx-net"
_ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+\b")


def inspect(t: Transcript, what: str) -> dict[str, Any]:
    """``docker inspect`` of one thing; empty where there is none."""
    found = t.quiet(f"{t.client} inspect {what}").json()
    return dict(found[0]) if found else {}


def overlay_netns(t: Transcript, network: str) -> str:
    """The namespace of an overlay network's devices."""
    return f"1-{inspect(t, network).get('Id', 'unknown')[:10]}"


def namespaces(t: Transcript) -> list[str]:
    """What ``ip netns`` lists, by name."""
    return [line.split()[0] for line in t.quiet("ip netns").out.splitlines() if line]


def links(t: Transcript, netns: str | None = None) -> list[dict[str, Any]]:
    """The links of a namespace with their addresses, as ``ip -j address`` has them."""
    into = f"ip netns exec {netns} " if netns else ""
    return list(t.quiet(f"{into}ip -j -d address").json())


def link(t: Transcript, name: str, netns: str | None = None) -> dict[str, Any]:
    """One link; empty where there is none."""
    return next((found for found in links(t, netns) if found.get("ifname") == name), {})


def addresses(found: dict[str, Any]) -> list[str]:
    """A link's IPv4 addresses, with their prefixes."""
    return [f"{a['local']}/{a['prefixlen']}" for a in found.get("addr_info", []) if a["family"] == "inet"]


def ports(t: Transcript, bridge: str, netns: str | None = None) -> list[str]:
    """The veth links of a bridge."""
    return [found["ifname"] for found in links(t, netns) if found.get("master") == bridge and "link_netnsid" in found
            and found["ifname"].startswith("veth")]  # fmt: skip


def tasks(t: Transcript, service: str) -> list[dict[str, str]]:
    """The running containers of a service: id and full name, by slot."""
    done = t.quiet(f"{t.client} ps --no-trunc --filter name={service}. --format '{{{{json .}}}}'")
    found = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    return sorted(({"id": row["ID"], "name": row["Names"]} for row in found), key=lambda row: row["name"])


def replicas(t: Transcript, service: str) -> str:
    """How many run of how many, as ``service ls`` says."""
    return t.quiet(f"{t.client} service ls --filter name={service} --format '{{{{.Replicas}}}}'").out.strip()


def states(t: Transcript, service: str) -> list[str]:
    """The first words of the current states of a service's tasks, those of the past too."""
    done = t.quiet(f"{t.client} service ps {service} --format '{{{{.CurrentState}}}}'")
    return [line.split()[0] for line in done.out.splitlines() if line]


def status_of(t: Transcript, url: str, netns: str | None = None) -> str:
    """The HTTP status that a URL answers with, 000 for none."""
    return t.quiet(f"curl -s -m 5 -o /dev/null -w '%{{http_code}}' {url}", netns=netns).out


def resolve(t: Transcript, container: str, name: str) -> list[str]:
    """The addresses that a name has in a container."""
    script = f"if command -v nslookup >/dev/null; then nslookup {name}; else getent ahostsv4 {name}; fi"
    said = t.quiet(f"{t.client} exec {container} sh -c '{script}'").out
    return sorted(set(_ADDRESS.findall(said)) - {"127.0.0.11"})
