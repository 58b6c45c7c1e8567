"""Rounds of create, scale, update and remove against one shoald that nobody disturbs, and what grows with them.

After some of the rounds, when nothing of the service is left, everything is measured that a daemon can gather: memory,
files, threads, what is in the kernel, in containerd, on disk. At the end each figure is judged (:data:`FIGURES`).
"""

import os
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.harness import Machine
from tests.faults.cycles import Broken
from tests.faults.growth import Figure, growing, table, trend

METRICS = "127.0.0.1:9323"
FLAGS = ("--metrics-addr", METRICS)

# A name without tolerance must be equal after each round. Memory comes in the allocators' steps, files of databases in
# their own, and a busy machine is slow at any time: the daemon's own processor time says more than the clock. Cycles
# among Python's blocks wait for its collector; containerd's log is cut at 8 MB.
FIGURES = (
    Figure("round", "s", part=0.3, slack=0.5),
    Figure("cpu", "s", part=0.15, slack=0.05),
    Figure("shoald", "MB", part=0.05),
    Figure("blocks", "k", part=0.05, least=True),
    Figure("keeper", "MB", part=0.05),
    Figure("containerd", "MB", part=0.2),
    Figure("files", slack=2),
    Figure("keeper files"),
    Figure("threads", slack=2),
    Figure("tasks", slack=1),
    Figure("processes"),
    Figure("netns"),
    Figure("links"),
    Figure("nft"),
    Figure("routes"),
    Figure("conntrack", part=0.2, slack=20),
    Figure("mounts"),
    Figure("cgroups"),
    Figure("objects"),
    Figure("stored"),
    Figure("paths", slack=8),
    Figure("node.db", "KB", part=0.1, slack=64),
    Figure("state.db", "KB", part=0.1, slack=64),
    # containerd's (bbolt) is twice as large once its pages lie too scattered, and then no more for long; what is in it
    # is counted above, and must be equal.
    Figure("meta.db", "KB", part=1.0, slack=64),
    Figure("logs", "KB", slack=(8 << 20) / 1000),
)
_EXACT = [figure.name for figure in FIGURES if figure.is_exact]

_SECONDS = 60.0
_PATIENCE = 10.0
# A connection that was closed is remembered for two minutes: longer than a run should wait to come to its level.
_TIME_WAIT = "net.netfilter.nf_conntrack_tcp_timeout_time_wait=3"
# Counts in the box's own namespace and in each that has a name. Of the rules the words, elements of maps with them.
_KERNEL = r"""
each() { sh -c "$1"; for name in $(ls /run/netns); do ip netns exec "$name" sh -c "$1"; done; }
# What has expired is counted until somebody reads it, or the kernel comes by.
each 'cat /proc/net/nf_conntrack' >/dev/null 2>&1
echo paths $(find /run -xdev | wc -l)
echo netns $(ls /run/netns | wc -l)
echo links $(each 'ip -o link' | wc -l)
echo nft $(each 'nft list ruleset' | wc -w)
echo routes $(each 'ip -4 route show table all; ip rule; ip neighbour show nud permanent; bridge fdb' | wc -l)
echo conntrack $(each 'cat /proc/sys/net/netfilter/nf_conntrack_count' | awk '{ n += $1 } END { print n }')
"""
_STORED = ("containers ls -q", "tasks ls -q", "snapshots ls", "leases ls -q", "content ls -q", "content active")


@dataclass
class Rounds:
    """Rounds on a machine whose engine was started with :data:`FLAGS`, in a swarm, with nothing but images in it."""

    machine: Machine
    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    _since: int = 0

    def run(self, rounds: int, *, every: int, warm: int, say: Callable[[str], None] = lambda _: None) -> None:
        """So many rounds after ``warm`` ones that are not measured, with a row for each ``every``."""
        for _ in range(warm):
            self.round()
        self.machine.run("sysctl", "-qw", _TIME_WAIT)
        self.machine.run("sysctl", "-qw", _TIME_WAIT, netns="ingress_sbox")
        for number in range(1, rounds + 1):
            begun, used = time.monotonic(), self._processor()
            self.round()
            self.seconds.append(time.monotonic() - begun)
            self.used.append(self._processor() - used)
            if number % every == 0:
                self.rows.append(self._settled())
                self._since = number
                head, row = table(FIGURES, [self.rows[-1]])
                if len(self.rows) % 20 == 1:
                    say(f"after  {head}")
                say(f"{number:5}  {row}")

    def round(self) -> None:
        """A service's life, on a network of its own. Raises Broken when it does not get on."""
        docker = self.machine.docker
        docker("network", "create", "-d", "overlay", "net")
        docker(
            *("service", "create", "-d", "-q", "--name", "web", "--replicas", "2", "--network", "net"),
            *("--publish", "80:80", "--stop-grace-period", "1s"),
            *("--update-parallelism", "0", "--update-monitor", "100ms", "nginx"),
        )
        self._replicas("2/2")
        self._ask()
        docker("service", "scale", "-d", "web=3")
        self._replicas("3/3")
        docker("service", "update", "-d", "-q", "--env-add", "COLOUR=blue", "web")
        state = ("service", "inspect", "--format", "{{with .UpdateStatus}}{{.State}}{{end}}", "web")
        self._until("the update is over", lambda: docker(*state).out == "completed")
        self._replicas("3/3")
        self._ask()
        docker("service", "rm", "web")
        self._until("the network goes", lambda: docker("network", "rm", "net", check=False).status == 0)
        self._until("the containers go", lambda: not docker("ps", "-aq").out)

    def _ask(self) -> None:
        """A few requests: the first waits, since a task runs before what is in it listens."""
        for _ in range(3):
            self._until("port 80 answers", self._answers)

    def _answers(self) -> bool:
        return self.machine.http(f"http://{self.machine.address}:80", netns=self.machine.neighbour) == "200"

    def _replicas(self, wanted: str) -> None:
        words = ("service", "ls", "--format", "{{.Replicas}}")
        self._until(f"{wanted} replicas", lambda: self.machine.docker(*words).out == wanted)

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + _SECONDS
        while not holds():
            if time.monotonic() > end:
                raise Broken(f"not within {_SECONDS:g} s: {what}\n{self.machine.shoald.log_end(40)}")
            time.sleep(0.02)

    # What is measured.

    def _settled(self) -> dict[str, float]:
        """The figures, once those that must be equal are, or after a while as they are."""
        end = time.monotonic() + _PATIENCE
        while True:
            row = self.measure()
            if not self.rows or all(row[name] == self.rows[0][name] for name in _EXACT) or time.monotonic() > end:
                return row
            time.sleep(0.2)

    def measure(self) -> dict[str, float]:
        """All figures now, and the time of the rounds since the last row."""
        folder = self.machine.shoald.folder
        shoald = self.machine.shoald.pid
        keeper, containerd = self._process(r"-m shoal\.keeper"), self._process(r"containerd --config")
        metrics = self._metrics()
        kernel = self._kernel()
        since = self._since
        return {
            "round": sum(self.seconds[since:]) / len(self.seconds[since:]),
            "cpu": sum(self.used[since:]) / len(self.used[since:]),
            "shoald": _resident(shoald),
            "blocks": metrics["python_allocated_blocks"] / 1000,
            "keeper": _resident(keeper),
            "containerd": _resident(containerd),
            "files": len(os.listdir(f"/proc/{shoald}/fd")),
            "keeper files": len(os.listdir(f"/proc/{keeper}/fd")),
            "threads": len(os.listdir(f"/proc/{shoald}/task")),
            "tasks": metrics["shoal_asyncio_tasks"],
            "processes": len(self.machine.box.processes()),
            **kernel,
            "mounts": len(Path(f"/proc/{shoald}/mountinfo").read_text().splitlines()),
            "cgroups": len([each for each in self.machine.snapshot()["cgroup"] if self._cgroup in each]),
            "objects": sum(metrics.get(f"swarm_manager_{kind}_total", 0) for kind in ("tasks", "services", "networks")),
            "stored": self._stored(),
            "paths": kernel["paths"] + sum(len(folders) + len(files) for _, folders, files in os.walk(folder)),
            "node.db": _size(folder.glob("data/node.db*")),
            "state.db": _size(folder.glob("data/swarm/state.db*")),
            "meta.db": _size(folder.glob("data/containerd/*/*.db")),
            "logs": _size([folder / "data/keeper/keeper.log", folder / "run/containerd/containerd.log"]),
        }

    @property
    def _cgroup(self) -> str:
        return self.machine.shoald.cgroup_parent

    def _processor(self) -> float:
        """The seconds of processor time that shoald has had."""
        stat = Path(f"/proc/{self.machine.shoald.pid}/stat").read_text()
        fields = stat[stat.rindex(")") + 2 :].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _process(self, pattern: str) -> int:
        for pid in self.machine.box.processes():
            with suppress(FileNotFoundError, ProcessLookupError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if re.search(pattern, command) and "containerd-shim" not in command:
                    return pid
        raise Broken(f"no process {pattern}")

    def _metrics(self) -> dict[str, float]:
        """Of each metric the sum over its labels."""
        found: dict[str, float] = {}
        for line in self.machine.run("curl", "-s", f"http://{METRICS}/metrics").lines:
            if not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                name = series.partition("{")[0]
                found[name] = found.get(name, 0) + float(value)
        return found

    def _kernel(self) -> dict[str, float]:
        rows = (line.split() for line in self.machine.run("sh", "-c", _KERNEL).lines)
        return {name: float(value) for name, value in rows}

    def _stored(self) -> int:
        socket = self.machine.shoald.folder / "run" / "containerd" / "containerd.sock"
        script = "; ".join(f"ctr -a {socket} -n shoal {words}" for words in _STORED)
        return len(self.machine.run("sh", "-c", script).lines)


def _resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _size(paths: Iterable[Path]) -> float:
    return sum(path.stat().st_size for path in paths) / 1000


def run(machine: Machine, *, rounds: int, every: int = 5, warm: int = 3) -> str:
    """So many rounds on a machine started with :data:`FLAGS`; a row for each ``every`` is printed, and the one line
    that says how it went is given. Raises Broken with what has grown."""
    machine.docker("swarm", "init")
    done = Rounds(machine)
    done.run(rounds, every=every, warm=warm, say=lambda line: print(line, flush=True))
    if lines := growing(FIGURES, done.rows):
        raise Broken("\n".join(lines))
    seen = trend([row["round"] for row in done.rows])
    return f"{rounds} rounds, nothing grows; the last as fast as the first ({seen.late:.1f} s, {seen.early:.1f} s)"
