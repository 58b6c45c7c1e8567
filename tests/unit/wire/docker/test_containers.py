"""Containers as answered, against what dockerd 20.10 answered for the same one (the files in ``dockerd/``)."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.fakes.container_records import AA, EXITED, RUNNING, container

from shoal.objects.base import encode
from shoal.objects.container import (
    Container,
    ContainerState,
    Endpoint,
    EndpointSettings,
    Health,
    HealthLog,
    HostConfig,
    Sandbox,
)
from shoal.wire.docker.containers import endpoint_settings, inspect, status_text, summary

NOW = datetime(2026, 11, 23, 19, 17, 59, 800000, tzinfo=UTC)
OLD, NEW = (1, 41), (1, 50)
# Of newer API versions than the peer's.
NEWER_ENDPOINT = {"GwPriority", "DNSNames"}


def peer(name: str) -> Any:
    return json.loads((Path(__file__).parent / "dockerd" / name).read_text())


def answered(value: object) -> Any:
    return json.loads(encode(value))


def listed(one: Container) -> Any:
    return answered(summary(one, now=NOW))


def shown(one: Container, version: tuple[int, int] = OLD) -> Any:
    return answered(inspect(one, version=version))


def test_a_list_entry_is_dockerds() -> None:
    (expected,) = [entry for entry in peer("containers.json") if entry["Names"] == ["/aa"]]
    got = answered(summary(container(), now=NOW, sizes=(0, 1982305)))
    bridge = got["NetworkSettings"]["Networks"]["bridge"]
    assert {key: bridge.pop(key) for key in NEWER_ENDPOINT} == {"GwPriority": 0, "DNSNames": None}
    assert got.pop("SizeRw") == 0  # Go leaves a zero out here
    expected["HostConfig"] = {"NetworkMode": "default"}
    assert got == expected


def test_an_inspected_container_is_dockerds() -> None:
    expected, got = peer("container.json"), answered(inspect(container(), version=OLD, sizes=(0, 1982305)))
    for key in ("GraphDriver", "Driver"):  # the image store is another
        assert expected.pop(key) and got.pop(key)
    host, expected_host = got.pop("HostConfig"), expected.pop("HostConfig")
    assert set(expected_host) - set(host) == {"KernelMemory", "KernelMemoryTCP"}  # gone since API 1.42
    assert set(host) - set(expected_host) == set()
    networks, expected_networks = got["NetworkSettings"], expected["NetworkSettings"]
    assert networks.pop("SandboxID") == AA and expected_networks.pop("SandboxID")
    assert networks.pop("SandboxKey") == "/var/run/docker/netns/aa" and expected_networks.pop("SandboxKey")
    for key in NEWER_ENDPOINT:
        del networks["Networks"]["bridge"][key]
    assert got == expected


def test_health_is_there_only_with_a_check() -> None:
    assert "Health" not in shown(container())["State"]
    health = Health(status="healthy", log=[HealthLog(start="a", end="b", exit_code=0, output="")])
    got = shown(container(state=replace(RUNNING, health=health)))["State"]
    assert set(got) == set(peer("health.json"))
    assert set(got["Health"]) == set(peer("health.json")["Health"])
    assert set(got["Health"]["Log"][0]) == set(peer("health.json")["Health"]["Log"][0])


def test_one_that_has_ended_has_no_addresses_and_no_ports() -> None:
    got = shown(container(state=EXITED))["NetworkSettings"]
    assert got["Ports"] == {}
    assert got["SandboxID"] == got["SandboxKey"] == got["IPAddress"] == ""
    assert got["Networks"]["bridge"]["IPAddress"] == ""
    assert got["Networks"]["bridge"]["NetworkID"]
    assert listed(container(state=EXITED))["Ports"] == []


def test_a_task_shows_its_networks_and_not_the_gateway_bridge() -> None:
    def endpoint(name: str, address: str, number: int) -> Endpoint:
        return Endpoint(
            network_id=f"{name}-id", network_name=name, endpoint_id="e", interface=f"eth{number}", addresses=[address]
        )

    endpoints = [
        endpoint("ingress", "10.255.0.8/16", 0),
        endpoint("nginx-net", "10.0.1.4/24", 1),
        endpoint("docker_gwbridge", "172.18.0.3/16", 2),
    ]
    one = container(
        networks={
            "ingress": EndpointSettings(network_id="ingress-id"),
            "nginx-net": EndpointSettings(network_id="nginx-net-id", aliases=["web"]),
        },
        sandbox=Sandbox(netns="x", endpoints=endpoints),
    )
    found = endpoint_settings(one)
    assert {name: (e.ip_address, e.ip_prefix_len) for name, e in found.items()} == {
        "ingress": ("10.255.0.8", 16),
        "nginx-net": ("10.0.1.4", 24),
    }
    assert found["nginx-net"].dns_names == ["aa", "web", AA[:12]]
    assert shown(one)["NetworkSettings"]["Ports"]["80/tcp"] is None


def test_the_short_id_is_an_alias_for_old_clients_only() -> None:
    one = container(networks={"un": EndpointSettings(network_id=container().networks["bridge"].network_id)})
    old = shown(one, OLD)["NetworkSettings"]["Networks"]["un"]
    new = shown(one, NEW)["NetworkSettings"]["Networks"]["un"]
    assert old["Aliases"] == [AA[:12]]
    assert new["Aliases"] is None
    assert new["DNSNames"] == ["aa", AA[:12]]
    assert listed(one)["NetworkSettings"]["Networks"]["un"]["Aliases"] is None


def test_ipv6_beside_ipv4() -> None:
    assert container().sandbox is not None
    endpoint = replace(
        container().sandbox.endpoints[0],  # type: ignore[union-attr]
        addresses=["172.17.0.2/16", "fd00::2/64"],
        gateways=["172.17.0.1", "fd00::1"],
    )
    got = shown(container(sandbox=Sandbox(netns="aa", endpoints=[endpoint])))["NetworkSettings"]
    assert (got["IPAddress"], got["IPPrefixLen"], got["Gateway"]) == ("172.17.0.2", 16, "172.17.0.1")
    assert (got["GlobalIPv6Address"], got["GlobalIPv6PrefixLen"], got["IPv6Gateway"]) == ("fd00::2", 64, "fd00::1")


def test_a_port_of_one_address_only() -> None:
    sandbox = container().sandbox
    assert sandbox is not None
    one = container(sandbox=replace(sandbox, ports=[replace(sandbox.ports[0], host_ip="127.0.0.1")]))
    assert shown(one)["NetworkSettings"]["Ports"]["80/tcp"] == [{"HostIp": "127.0.0.1", "HostPort": "8080"}]


def test_zeros_that_mean_something_stay() -> None:
    config = replace(container().config, stop_timeout=0)
    got = shown(container(config=config, host_config=HostConfig(init=False)))
    assert got["Config"]["StopTimeout"] == 0
    assert got["HostConfig"]["Init"] is False
    assert "StopSignal" not in got["Config"]


def test_arguments_with_spaces_are_quoted() -> None:
    one = container(path="nginx", args=["-g", "daemon off;"])
    assert listed(one)["Command"] == "nginx -g 'daemon off;'"


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (RUNNING, "Up 2 seconds"),
        (replace(RUNNING, paused=True, status="paused"), "Up 2 seconds (Paused)"),
        (replace(RUNNING, health=Health(status="healthy")), "Up 2 seconds (healthy)"),
        (replace(RUNNING, health=Health(status="starting")), "Up 2 seconds (health: starting)"),
        (replace(RUNNING, health=Health(status="unhealthy")), "Up 2 seconds (unhealthy)"),
        (replace(RUNNING, health=Health(status="none")), "Up 2 seconds"),
        (EXITED, "Exited (3) 2 seconds ago"),
        (replace(EXITED, status="restarting", restarting=True), "Restarting (3) 2 seconds ago"),
        (ContainerState(), "Created"),
        (ContainerState(exit_code=127, error="not found"), "Created"),
        (replace(EXITED, status="dead", dead=True), "Dead"),
        (replace(EXITED, status="removing"), "Removal In Progress"),
    ],
)
def test_the_state_in_words(state: ContainerState, text: str) -> None:
    assert status_text(state, NOW) == text
