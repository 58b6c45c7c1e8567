"""The nft tables, as text; and whether nft takes it, as root."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from tests.fakes.lab_network import NGINX, VIP, empty_node, lab_node
from tests.fakes.machine import own_machine
from tests.fakes.node_networks import node_networks

from shoal.network import rules
from shoal.network.items import Table, table
from shoal.network.node import INGRESS_SANDBOX, NodeNetwork, Publication, VirtualService
from shoal.network.tables import script


@pytest.fixture
def machine() -> Iterator[None]:
    with own_machine():
        yield


def _tables(node: NodeNetwork) -> Iterator[Table]:
    bodies = [rules.host(node), *(rules.sandbox(node, sandbox) for sandbox in node.sandboxes.values())]
    for number, body in enumerate(bodies):
        for family, text in body.items():
            yield table("", family, f"shoal{number}", text)


@pytest.mark.root
@pytest.mark.usefixtures("machine")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(node_networks())
def test_nft_takes_it(node: NodeNetwork) -> None:
    text = "".join(script(each) for each in _tables(node))
    done = subprocess.run(["nft", "-c", "-f", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{text}"


def test_published_ports_lead_to_the_ingress_sandbox() -> None:
    body = rules.host(lab_node())["ip"]
    assert "tcp dport 80 dnat to 172.18.0.2:80\n" in body
    assert rules.host(NodeNetwork()) == {}


def test_one_address_of_the_host_comes_before_all_of_them() -> None:
    node = lab_node()
    ports = (Publication("tcp", 90, "172.18.0.3", 9), Publication("tcp", 90, "172.18.0.3", 8, "127.0.0.1"))
    node = replace(node, sandboxes={"task1": replace(node.sandboxes["task1"], publications=ports)})
    lines = [line.strip() for line in rules.host(node)["ip"].splitlines() if "dport 90" in line]
    assert lines == ["ip daddr 127.0.0.1 tcp dport 90 dnat to 172.18.0.3:8", "tcp dport 90 dnat to 172.18.0.3:9"]


def test_the_mesh_spreads_over_its_backends_and_keeps_the_source() -> None:
    node = lab_node()
    body = rules.sandbox(node, node.sandboxes[INGRESS_SANDBOX])["ip"]
    assert "dnat to numgen inc mod 2 map { 0 : 10.255.0.4, 1 : 10.255.0.5 } : 8080" in body
    assert "masquerade" not in body and "snat" not in body
    assert rules.sandbox(node, node.sandboxes[INGRESS_SANDBOX]).keys() == {"ip"}
    assert rules.sandbox(empty_node(), empty_node().sandboxes[INGRESS_SANDBOX]) == {}


def test_a_vip_with_nothing_behind_it_refuses() -> None:
    node = replace(lab_node(), services={NGINX: (VirtualService("web", VIP, ()),)})
    body = rules.sandbox(node, node.sandboxes["task1"])["ip"]
    assert f"ip daddr {{ {VIP} }} meta l4proto tcp reject with tcp reset" in body
    assert "dnat" not in body


def test_names_come_before_vips_and_stand_alone() -> None:
    node = lab_node()
    with_names = replace(node.sandboxes["task1"], dns=(4053, 4054))
    lines = rules.sandbox(node, with_names)["ip"].splitlines()
    udp, tcp, ping = (
        next(n for n, line in enumerate(lines) if text in line)
        for text in (
            "ip daddr 127.0.0.11 udp dport 53 dnat to 127.0.0.11:4053",
            "ip daddr 127.0.0.11 tcp dport 53 dnat to 127.0.0.11:4054",
            "redirect",
        )
    )
    assert udp < tcp < ping
    alone = rules.sandbox(replace(node, services={}, mesh=None), with_names)
    assert len(re.findall("chain", alone["ip"])) == 1
