"""What containers use (``stats``), and the processes in them (``top``)."""

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path

from shoal.aio.clock import Clock
from shoal.container.runtime import Runtime
from shoal.engine.records import Records
from shoal.errors import Conflict, Internal, InvalidArgument, NotFound
from shoal.objects.results import InterfaceCounters, StatsSample

# proc(5): /proc/stat counts in hundredths of a second (USER_HZ, fixed on x86 and arm).
_TICK = 10_000_000
_RENAMED_PID = re.compile(r"\s+(\S*)=\s*(PID\S*)")


class Stats:
    """``stats`` and ``top`` of :class:`shoal.api.backends_containers.ContainerBackend`."""

    def __init__(self, *, records: Records, runtime: Runtime, clock: Clock) -> None:
        self._records = records
        self._runtime = runtime
        self._clock = clock

    async def stats(self, ref: str) -> StatsSample:
        """What the container has used up to now; of one that does not run, nothing but the time."""
        container = self._records.get(ref)
        if not container.is_running:
            return StatsSample(read=self._clock.now())
        pid = 0 if container.host_config.network_mode == "host" else container.state.pid
        try:
            usage, (cpu, cpus, networks) = await asyncio.gather(
                self._runtime.usage(container.id), asyncio.to_thread(_machine, pid)
            )
        except NotFound:  # it has ended just now
            return StatsSample(read=self._clock.now())
        return StatsSample(
            read=self._clock.now(),
            usage=usage,
            system_cpu=cpu,
            online_cpus=cpus,
            memory_total=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            networks=networks,
        )

    async def top(self, ref: str, ps_args: str) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
        """The host's ``ps`` of the container's processes: titles, and a row each.

        :raises Conflict: it does not run.
        :raises InvalidArgument: the arguments hide the pids.
        """
        container = self._records.get(ref)
        if not container.is_running:
            raise Conflict(f"Container {container.id} is not running")
        if container.state.restarting:
            raise Conflict(f"Container {container.id} is restarting, wait until the container is running")
        if found := _RENAMED_PID.search(f" {ps_args}"):
            raise InvalidArgument(f'specifying "{found[1]}={found[2]}" is not allowed')
        pids = await self._runtime.pids(container.id)
        words = ps_args.split() or ["-ef"]
        # Asked for these alone first, which not every form of arguments allows; then all are listed.
        code, output, _ = await _ps(["-q", ",".join(map(str, pids)), *words])
        if code:
            code, output, problem = await _ps(words)
            if code:
                raise Internal(f"ps: {problem.strip()}")
        return parse_ps(output, pids)


def parse_ps(output: str, pids: Sequence[int]) -> tuple[list[str], list[list[str]]]:
    """The titles, and the rows of those processes; the last column has all that is left of its line.

    :raises Internal: there is no column of pids.
    """
    lines = output.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Internal("Couldn't find PID field in ps output")
    column, wanted = titles.index("PID"), {str(pid) for pid in pids}
    rows = [line.split(maxsplit=len(titles) - 1) for line in lines[1:]]
    return titles, [row for row in rows if len(row) > column and row[column] in wanted]


def parse_cpu(text: str) -> tuple[int, int]:
    """From /proc/stat: what all CPUs have worked and idled since boot, in ns, and how many there are."""
    lines = text.splitlines()
    total = sum(int(word) for word in lines[0].split()[1:8]) * _TICK
    return total, sum(1 for line in lines[1:] if line.startswith("cpu"))


def parse_interfaces(text: str) -> dict[str, InterfaceCounters]:
    """From /proc/net/dev: the counters of every interface but the loopback."""
    found: dict[str, InterfaceCounters] = {}
    for line in text.splitlines()[2:]:
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            continue
        n = [int(word) for word in numbers.split()]
        found[name.strip()] = InterfaceCounters(
            rx_bytes=n[0],
            rx_packets=n[1],
            rx_errors=n[2],
            rx_dropped=n[3],
            tx_bytes=n[8],
            tx_packets=n[9],
            tx_errors=n[10],
            tx_dropped=n[11],
        )
    return found


def _machine(pid: int) -> tuple[int, int, dict[str, InterfaceCounters]]:
    cpu, cpus = parse_cpu(Path("/proc/stat").read_text())
    try:
        networks = parse_interfaces(Path(f"/proc/{pid}/net/dev").read_text()) if pid else {}
    except OSError as error:
        raise NotFound(f"no process {pid}") from error
    return cpu, cpus, networks


async def _ps(words: Sequence[str]) -> tuple[int, str, str]:
    try:
        process = await asyncio.create_subprocess_exec(
            "ps", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise Internal(f"ps: {error}") from error
    output, problem = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace"), problem.decode(errors="replace")
