"""JSON as the Engine API's clients and dockerd itself write it."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InvalidArgument
from shoal.objects.base import api_name, convert, decode, encode, parse_time, timestamp
from shoal.objects.node import Node
from shoal.objects.service import ContainerSpec, PortConfig, Service, ServiceSpec, UpdateConfig
from shoal.objects.task import Task

# Excerpts of what dockerd 20.10 answers.
SERVICE: dict[str, Any] = {
    "ID": "7nzh6nugwvhprynu985pvz0vn",
    "Version": {"Index": 13},
    "CreatedAt": "2026-11-23T15:54:16.960121976Z",
    "UpdatedAt": "2026-11-23T15:54:16.961018322Z",
    "Spec": {
        "Name": "my-nginx-default-net",
        "Labels": {},
        "TaskTemplate": {
            "ContainerSpec": {"Image": "nginx:latest", "Init": False, "DNSConfig": {}, "Isolation": "default"},
            "Resources": {"Limits": {}, "Reservations": {}},
            "Placement": {},
            "ForceUpdate": 0,
            "Runtime": "container",
        },
        "Mode": {"Replicated": {"Replicas": 2}},
        "EndpointSpec": {
            "Mode": "vip",
            "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 80, "PublishMode": "ingress"}],
        },
    },
    "Endpoint": {
        "Spec": {"Mode": "vip"},
        "VirtualIPs": [{"NetworkID": "gktwmryi0t0v0iaqd1bec21ew", "Addr": "10.0.0.3/24"}],
    },
}
TASK: dict[str, Any] = {
    "ID": "9d61gnbb9mndaeehb86ddlosm",
    "Version": {"Index": 18},
    "Labels": {},
    "Spec": {"ContainerSpec": {"Image": "nginx:latest"}, "Placement": {}, "ForceUpdate": 0},
    "ServiceID": "7nzh6nugwvhprynu985pvz0vn",
    "Slot": 1,
    "NodeID": "taan1mj3bpyavx3q8stks1uqe",
    "Status": {
        "Timestamp": "2026-11-23T15:54:18.076449701Z",
        "State": "running",
        "Message": "started",
        "ContainerStatus": {"ContainerID": "3cbd5189a38c", "PID": 5531, "ExitCode": 0},
        "PortStatus": {},
    },
    "DesiredState": "running",
    "NetworksAttachments": [
        {
            "Network": {
                "ID": "gktwmryi0t0v0iaqd1bec21ew",
                "Version": {"Index": 6},
                "Spec": {
                    "Name": "ingress",
                    "Labels": {},
                    "DriverConfiguration": {},
                    "Ingress": True,
                    "IPAMOptions": {"Driver": {}},
                    "Scope": "swarm",
                },
                "DriverState": {
                    "Name": "overlay",
                    "Options": {"com.docker.network.driver.overlay.vxlanid_list": "4096"},
                },
                "IPAMOptions": {
                    "Driver": {"Name": "default"},
                    "Configs": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}],
                },
            },
            "Addresses": ["10.0.0.8/24"],
        }
    ],
}
NODE: dict[str, Any] = {
    "ID": "taan1mj3bpyavx3q8stks1uqe",
    "Version": {"Index": 26},
    "Spec": {"Labels": {}, "Role": "manager", "Availability": "active"},
    "Description": {
        "Hostname": "vm",
        "Platform": {"Architecture": "x86_64", "OS": "linux"},
        "Resources": {"NanoCPUs": 2000000000, "MemoryBytes": 25276514304},
        "Engine": {"EngineVersion": "20.10.24+dfsg1", "Plugins": [{"Type": "Log", "Name": "awslogs"}]},
        "TLSInfo": {"TrustRoot": "x", "CertIssuerSubject": "MBM=", "CertIssuerPublicKey": "MFk="},
    },
    "Status": {"State": "ready", "Addr": "192.0.2.2"},
    "ManagerStatus": {"Leader": True, "Reachability": "reachable", "Addr": "192.0.2.2:2377"},
}


def folded(raw: Any, fold: Any) -> Any:
    """All keys in another case, except in maps that users own."""
    if isinstance(raw, dict):
        return {k if k.startswith("com.") else fold(k): folded(v, fold) for k, v in raw.items()}
    return [folded(item, fold) for item in raw] if isinstance(raw, list) else raw


@pytest.mark.parametrize(("kind", "raw"), [(Service, SERVICE), (Task, TASK), (Node, NODE)])
def test_what_dockerd_answers_comes_back_exactly(kind: type[Any], raw: dict[str, Any]) -> None:
    read = decode(json.dumps(raw).encode(), kind)
    assert json.loads(encode(read)) == raw
    for fold in (str.lower, str.upper, str.swapcase):
        assert convert(folded(raw, fold), kind) == read


def test_keys_of_maps_keep_their_case() -> None:
    spec = decode(b'{"name":"web","LABELS":{"Tier":"Front","tier":"back"}}', ServiceSpec)
    assert spec == ServiceSpec(name="web", labels={"Tier": "Front", "tier": "back"})


def test_keys_that_nobody_knows_are_ignored() -> None:
    assert decode(b'{"Name":"web","Tomorrow":{"a":[1]}}', ServiceSpec) == ServiceSpec(name="web")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # A field is left alone.
        (b'{"Name":null,"TaskTemplate":null,"Mode":null}', ServiceSpec()),
        (b'{"Labels":null}', ServiceSpec()),
        # In a list or a map null is what Go's zero value is.
        (b'{"Labels":{"a":null}}', ServiceSpec(labels={"a": ""})),
        (b'{"Networks":[]}', ServiceSpec(networks=[])),
    ],
)
def test_null_is_read_as_go_reads_it(body: bytes, expected: ServiceSpec) -> None:
    assert decode(body, ServiceSpec) == expected


def test_null_in_a_list() -> None:
    assert decode(b'{"Env":["A=1",null]}', ContainerSpec) == ContainerSpec(env=["A=1", ""])
    spec = decode(b'{"EndpointSpec":{"Ports":[null]}}', ServiceSpec)
    assert spec.endpoint_spec and spec.endpoint_spec.ports == [PortConfig()]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b'{"Name":1}', b'{"Labels":[]}', b'{"Mode":{"Replicated":{"Replicas":"2"}}}', b"\xff"],
)
def test_what_does_not_fit_is_an_invalid_argument(body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        decode(body, ServiceSpec)


def test_defaults_that_were_sent_are_kept() -> None:
    body = b'{"Parallelism":0,"MaxFailureRatio":0.0,"Delay":0}'
    assert json.loads(encode(decode(body, UpdateConfig))) == json.loads(body)
    assert encode(UpdateConfig()) == b"{}"


def test_names_are_the_apis() -> None:
    names = {
        "desired_state": "DesiredState",
        "service_id": "ServiceID",
        "nano_cpus": "NanoCPUs",
        "dns_config": "DNSConfig",
    }
    assert {name: api_name(name) for name in names} == names


MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC))


@given(MOMENTS, MOMENTS)
def test_timestamps_sort_as_moments_do(one: datetime, other: datetime) -> None:
    assert parse_time(timestamp(one)) == one
    assert (timestamp(one) < timestamp(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-11-23T15:54:18.076449701Z", 76449),
        ("2026-11-23T15:54:18.1Z", 100000),
        ("2026-11-23T15:54:18Z", 0),
        ("2026-11-23T17:54:18.000000001+02:00", 0),
    ],
)
def test_gos_times_are_read(text: str, microseconds: int) -> None:
    assert parse_time(text) == datetime(2026, 11, 23, 15, 54, 18, microseconds, tzinfo=UTC)


def test_times_are_written_in_utc() -> None:
    moment = datetime(2026, 11, 23, 17, 0, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(moment) == "2026-11-23T15:00:00.000000Z"
