"""Samples as answered, against dockerd's."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.fakes.container_records import AA, container

from shoal.container.cgroups import DiskUse, Usage
from shoal.objects.base import encode
from shoal.objects.results import InterfaceCounters, StatsSample
from shoal.wire.docker.stats import stats

USAGE = Usage(
    cpu_total=29975566,
    cpu_user=10000000,
    cpu_system=10000000,
    per_cpu=(17169384, 12806182),
    memory=1372160,
    memory_max=3817472,
    memory_detail={"cache": 1028096},
    pids=1,
)


def sample(second: int, usage: Usage | None = USAGE) -> StatsSample:
    return StatsSample(
        read=datetime(2026, 11, 23, 19, 18, second, tzinfo=UTC),
        usage=usage,
        system_cpu=6772390000000 + second * 10**9,
        online_cpus=2,
        memory_total=25276502016,
        networks={"eth0": InterfaceCounters(rx_bytes=1042, rx_packets=11)},
    )


def answered(value: object) -> Any:
    return json.loads(encode(value))


def same_keys(got: Any, expected: Any, where: str = "") -> None:
    if isinstance(expected, dict) and where != ".memory_stats.stats":
        assert set(got) == set(expected), where
        for key, value in expected.items():
            same_keys(got[key], value, f"{where}.{key}")


def test_a_sample_has_dockerds_keys() -> None:
    expected = json.loads((Path(__file__).parent / "dockerd" / "stats.json").read_text())
    got = answered(stats(container(), sample(1), sample(0)))
    same_keys(got, expected)
    for key in ("name", "id", "networks", "pids_stats", "storage_stats", "num_procs"):
        assert got[key] == expected[key]
    assert got["memory_stats"]["limit"] == expected["memory_stats"]["limit"]
    assert got["cpu_stats"]["cpu_usage"] == expected["cpu_stats"]["cpu_usage"]


def test_the_first_sample_is_compared_to_nothing() -> None:
    got = answered(stats(container(), sample(1), None))
    assert got["preread"] == "0001-01-01T00:00:00Z"
    assert got["precpu_stats"] == {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }


def test_one_that_does_not_run() -> None:
    got = answered(stats(container(), sample(1, None), None))
    assert got["read"] == got["preread"] == "0001-01-01T00:00:00Z"
    assert got["pids_stats"] == got["memory_stats"] == got["storage_stats"] == {}
    assert got["blkio_stats"]["io_service_bytes_recursive"] is None
    assert "networks" not in got
    assert got["id"] == AA


def test_a_limit_of_its_own_and_what_it_did_on_disks() -> None:
    usage = Usage(memory_limit=1 << 20, disks=(DiskUse(8, 0, 1, 2, 3, 4),))
    got = answered(stats(container(), sample(1, usage), None))
    assert got["memory_stats"]["limit"] == 1 << 20
    assert got["blkio_stats"]["io_service_bytes_recursive"] == [
        {"major": 8, "minor": 0, "op": "read", "value": 1},
        {"major": 8, "minor": 0, "op": "write", "value": 2},
    ]
    assert [entry["value"] for entry in got["blkio_stats"]["io_serviced_recursive"]] == [3, 4]
