"""Usage out of cgroup files, both versions."""

from pathlib import Path

import pytest

from shoal.container import cgroups
from shoal.container.cgroups import CgroupHost, DiskUse
from shoal.errors import NotFound


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_version_2(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/7/cgroup": "0::/shoal/x\n",
            "cg/cgroup.controllers": "cpu memory\n",
            "cg/shoal/memory.swap.max": "max\n",
            "cg/shoal/x/cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\n"
            "nr_periods 4\nnr_throttled 2\nthrottled_usec 5\n",
            "cg/shoal/x/memory.current": "4096\n",
            "cg/shoal/x/memory.max": "max\n",
            "cg/shoal/x/memory.events": "low 0\nmax 3\noom_kill 2\n",
            "cg/shoal/x/memory.stat": "anon 1\ninactive_file 2\n",
            "cg/shoal/x/pids.current": "5\n",
            "cg/shoal/x/pids.max": "10\n",
            "cg/shoal/x/io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n254:1 \n",
        },
    )
    found = cgroups.usage(7, root=tmp_path / "cg", proc=tmp_path / "proc")
    assert (found.cpu_total, found.cpu_user, found.cpu_system) == (30_000, 20_000, 10_000)
    assert (found.throttle_periods, found.throttled_periods, found.throttled_time) == (4, 2, 5_000)
    assert (found.memory, found.memory_limit, found.memory_failures) == (4096, 0, 3)
    assert found.memory_detail == {"anon": 1, "inactive_file": 2}
    assert (found.pids, found.pids_limit) == (5, 10)
    assert found.disks == (DiskUse(8, 0, 1, 2, 3, 4), DiskUse(254, 1))
    assert cgroups.detect(tmp_path / "cg") == CgroupHost(2, swap=True)
    assert cgroups.oom_kills("/shoal/x", tmp_path / "cg") == 2


def test_version_1_with_controllers_together_and_apart(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/7/cgroup": "4:memory:/shoal/x\n3:cpu,cpuacct:/shoal/x\n2:pids:/shoal/x\n1:name=systemd:/\n"
            "5:blkio:/shoal/x\n0::/\n",
            "cg/memory/shoal/x/memory.usage_in_bytes": "4096\n",
            "cg/memory/shoal/x/memory.limit_in_bytes": "9223372036854771712\n",
            "cg/cpu,cpuacct/shoal/x/cpuacct.usage": "123\n",
            "cg/cpu,cpuacct/shoal/x/cpuacct.usage_percpu": "100 23 \n",
            "cg/cpu,cpuacct/shoal/x/cpuacct.stat": "user 2\nsystem 1\n",
            "cg/pids/shoal/x/pids.current": "5\n",
            "cg/blkio/shoal/x/blkio.throttle.io_service_bytes": "8:0 Read 1\n8:0 Write 2\n8:0 Sync 3\nTotal 3\n",
            "cg/blkio/shoal/x/blkio.throttle.io_serviced": "8:0 Read 3\n8:0 Write 4\nTotal 7\n",
        },
    )
    found = cgroups.usage(7, root=tmp_path / "cg", proc=tmp_path / "proc")
    assert (found.memory, found.memory_limit) == (4096, 0)
    assert (found.cpu_total, found.cpu_user, found.cpu_system) == (123, 20_000_000, 10_000_000)
    assert found.per_cpu == (100, 23)
    assert found.pids == 5
    assert found.disks == (DiskUse(8, 0, 1, 2, 3, 4),)
    assert cgroups.detect(tmp_path / "cg") == CgroupHost(1, swap=False)


def test_no_such_process(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        cgroups.usage(7, root=tmp_path, proc=tmp_path)


def test_only_empty_cgroups_are_removed(tmp_path: Path) -> None:
    (tmp_path / "cpu/shoal").mkdir(parents=True)
    (tmp_path / "memory").mkdir()
    cgroups.remove_empty("/shoal", tmp_path)
    assert not (tmp_path / "cpu/shoal").exists()
    assert (tmp_path / "memory").exists()
