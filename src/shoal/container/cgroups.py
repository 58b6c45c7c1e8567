"""Control groups, version 1 and 2: what this host has, and what a container used (kernel doc, cgroup-v1 and cgroup-v2).

Limits are written by runc, not here. Reading touches files that answer from memory, yet may wait for a lock: it belongs
in a thread.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from shoal.errors import NotFound

ROOT = Path("/sys/fs/cgroup")
UNLIMITED = 2**62
"""Version 1 says a number about this big where it means no limit."""


class CgroupHost(msgspec.Struct, frozen=True):
    """What the host's cgroups can do."""

    version: int = 2
    swap: bool = True
    """Swap can be limited; without it such a limit is left out of a spec."""


class DiskUse(msgspec.Struct, frozen=True):
    """Bytes and operations on one block device."""

    major: int
    minor: int
    read_bytes: int = 0
    write_bytes: int = 0
    reads: int = 0
    writes: int = 0


class Usage(msgspec.Struct, frozen=True):
    """What a cgroup has used; times in nanoseconds, sizes in bytes; a limit of 0 is none."""

    cpu_total: int = 0
    cpu_user: int = 0
    cpu_system: int = 0
    throttle_periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0
    per_cpu: tuple[int, ...] = ()
    memory: int = 0
    memory_max: int = 0
    memory_limit: int = 0
    memory_failures: int = 0
    memory_detail: Mapping[str, int] = {}
    """memory.stat as the kernel has it, whose names differ between the versions as they do in Docker's answers."""
    pids: int = 0
    pids_limit: int = 0
    disks: tuple[DiskUse, ...] = ()


def detect(root: Path = ROOT) -> CgroupHost:
    """What the host has."""
    if (root / "cgroup.controllers").exists():
        # The root cgroup has no memory.swap.max; its children do, if swap accounting is there at all.
        swap = any((child / "memory.swap.max").exists() for child in root.iterdir() if child.is_dir())
        return CgroupHost(2, swap)
    return CgroupHost(1, (root / "memory" / "memory.memsw.limit_in_bytes").exists())


def clear(path: str, root: Path = ROOT) -> None:
    """Remove the cgroup ``path`` with all below it, in every hierarchy, and kill whatever is in it still. Blocks while
    that ends, for a tenth of a second at most; what is in use even then stays."""
    for pause in (0.0, 0.01, 0.03, 0.06):
        time.sleep(pause)
        if not [folder for base in _bases(root) for folder in _remove_tree(base / path.lstrip("/"))]:
            return


def _remove_tree(top: Path) -> Iterator[Path]:
    """Remove what can be removed, and give what cannot: its processes have been told to die."""
    for name, _, _ in os.walk(top, topdown=False):
        folder = Path(name)
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            yield folder
            with contextlib.suppress(OSError):
                for pid in (folder / "cgroup.procs").read_text().split():
                    # A process that has no number in our own namespace shows as 0, which would be our own group.
                    if pid != "0":
                        os.kill(int(pid), signal.SIGKILL)


def _bases(root: Path) -> list[Path]:
    if (root / "cgroup.controllers").exists():
        return [root]
    return [entry for entry in root.iterdir() if entry.is_dir()]


def children(path: str, root: Path = ROOT) -> set[str]:
    """The names of the cgroups in the cgroup ``path``, in any hierarchy."""
    found: set[str] = set()
    for base in _bases(root):
        with contextlib.suppress(OSError):
            found |= {entry.name for entry in os.scandir(base / path.lstrip("/")) if entry.is_dir()}
    return found


def remove_empty(path: str, root: Path = ROOT) -> None:
    """Remove the cgroup ``path`` in every hierarchy, if it is there and empty; runc removes a container's, not that
    one's parents."""
    for base in _bases(root):
        try:
            (base / path.lstrip("/")).rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno != errno.EBUSY:  # in use still: whoever uses it removes it
                raise


def usage(pid: int, *, root: Path = ROOT, proc: Path = Path("/proc")) -> Usage:
    """What the cgroup has used that process ``pid`` is in. Raises NotFound when there is no such process."""
    try:
        lines = (proc / str(pid) / "cgroup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NotFound(f"no process {pid}") from error
    paths = {names: path.lstrip("/") for _, names, path in (line.split(":", 2) for line in lines)}
    if (root / "cgroup.controllers").exists():
        return _usage_v2(root / paths.get("", ""))
    # A line may name several controllers, which are then mounted together: "cpu,cpuacct".
    folders = {
        name: root / controller / path
        for controllers, path in paths.items()
        for name in controllers.split(",")
        for controller in ([name] if (root / name).exists() else [controllers])
    }
    return _usage_v1(folders)


def oom_kills(path: str, root: Path = ROOT) -> int:
    """How often the kernel killed something in the cgroup ``path`` for want of memory; it is there until the task is
    deleted. The events that say so miss what happens right after a start."""
    if (root / "cgroup.controllers").exists():
        return _table(root / path.lstrip("/") / "memory.events").get("oom_kill", 0)
    return _table(root / "memory" / path.lstrip("/") / "memory.oom_control").get("oom_kill", 0)


def _usage_v2(folder: Path) -> Usage:
    cpu = _table(folder / "cpu.stat")
    events = _table(folder / "memory.events")
    return Usage(
        cpu_total=cpu.get("usage_usec", 0) * 1000,
        cpu_user=cpu.get("user_usec", 0) * 1000,
        cpu_system=cpu.get("system_usec", 0) * 1000,
        throttle_periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled_time=cpu.get("throttled_usec", 0) * 1000,
        memory=_number(folder / "memory.current"),
        memory_max=_number(folder / "memory.peak"),
        memory_limit=_number(folder / "memory.max"),
        memory_failures=events.get("max", 0),
        memory_detail=_table(folder / "memory.stat"),
        pids=_number(folder / "pids.current"),
        pids_limit=_number(folder / "pids.max"),
        disks=_disks_v2(_text(folder / "io.stat")),
    )


def _usage_v1(folders: Mapping[str, Path]) -> Usage:
    def at(controller: str) -> Path:
        return folders.get(controller, Path("/nonexistent"))

    cpu = _table(at("cpu") / "cpu.stat")
    memory_limit = _number(at("memory") / "memory.limit_in_bytes")
    per_cpu = tuple(int(word) for word in _text(at("cpuacct") / "cpuacct.usage_percpu").split())
    # cpuacct.stat is in ticks of a hundredth of a second (USER_HZ, fixed on x86 and arm).
    ticks = _table(at("cpuacct") / "cpuacct.stat")
    return Usage(
        cpu_total=_number(at("cpuacct") / "cpuacct.usage"),
        cpu_user=ticks.get("user", 0) * 10_000_000,
        cpu_system=ticks.get("system", 0) * 10_000_000,
        throttle_periods=cpu.get("nr_periods", 0),
        throttled_periods=cpu.get("nr_throttled", 0),
        throttled_time=cpu.get("throttled_time", 0),
        per_cpu=per_cpu,
        memory=_number(at("memory") / "memory.usage_in_bytes"),
        memory_max=_number(at("memory") / "memory.max_usage_in_bytes"),
        memory_limit=memory_limit if memory_limit < UNLIMITED else 0,
        memory_failures=_number(at("memory") / "memory.failcnt"),
        memory_detail=_table(at("memory") / "memory.stat"),
        pids=_number(at("pids") / "pids.current"),
        pids_limit=_number(at("pids") / "pids.max"),
        disks=_disks_v1(
            _text(at("blkio") / "blkio.throttle.io_service_bytes"), _text(at("blkio") / "blkio.throttle.io_serviced")
        ),
    )


def _disks_v2(text: str) -> tuple[DiskUse, ...]:
    disks = []
    for line in text.splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        values = {key: int(value) for key, _, value in (pair.partition("=") for pair in pairs) if value.isdecimal()}
        disks.append(
            DiskUse(
                int(major),
                int(minor),
                values.get("rbytes", 0),
                values.get("wbytes", 0),
                values.get("rios", 0),
                values.get("wios", 0),
            )
        )
    return tuple(disks)


def _disks_v1(size: str, count: str) -> tuple[DiskUse, ...]:
    found: dict[str, dict[str, int]] = {}
    sizes, counts = {"Read": "read_bytes", "Write": "write_bytes"}, {"Read": "reads", "Write": "writes"}
    for text, names in ((size, sizes), (count, counts)):
        for fields in map(str.split, text.splitlines()):
            if len(fields) == 3 and fields[1] in names:
                found.setdefault(fields[0], {})[names[fields[1]]] = int(fields[2])
    return tuple(DiskUse(*map(int, device.split(":")), **values) for device, values in found.items())


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # a controller that is not there, or a cgroup that goes away while it is read: nothing used
        return ""


def _number(path: Path) -> int:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else 0


def _table(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}
