"""A life in short, again and again, while something dies in the middle of it.

A cycle sets up a swarm, a network, a service, a volume, containers and an image, changes them, checks that all is as it
would be undisturbed, takes everything away, and checks that nothing is left. Whoever asks for something and loses the
connection asks again, as a person would; what was answered must be there.
"""

import json
import os
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.harness import ROOT, Machine, Ran
from tools import images
from tools.engine import EngineError

_LOST = re.compile(
    r"Cannot connect to the Docker daemon|error during connect|EOF|connection reset|broken pipe"
    # What containerd was in the middle of when it died.
    r"|went away in the middle|Socket closed|failed to connect to all addresses|ttrpc: closed|error reading from server"
)
_SECONDS = 90.0


class Broken(Exception):
    """Something is not as it would be undisturbed."""


@dataclass
class Cycles:
    """Cycles on one machine. ``crash`` is what shoald is told to die of next; none for one that lives."""

    machine: Machine
    random: random.Random
    archive: Path
    crash: Callable[[], str] | None = None
    crashes: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    told: str = ""
    bare: dict[str, list[str]] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)

    @classmethod
    def on(cls, machine: Machine, seed: int, crash: Callable[[], str] | None = None) -> "Cycles":
        """On a machine whose engine runs, with nothing in it but nginx's image."""
        archive = images.build("busybox", ROOT / "build" / "images")
        cycles = cls(machine, random.Random(seed), archive)
        # The first one, undisturbed, leaves folders behind that containerd makes once.
        cycles.up()
        cycles.check_up()
        cycles.down()
        time.sleep(1)
        cycles.bare = machine.snapshot()
        cycles.kept = cycles.stores()
        cycles.crash = crash
        return cycles

    # What a cycle does.

    def cycle(self) -> None:
        """One life. Raises Broken with what is wrong."""
        self.up()
        self.check_up()
        self.down()
        self.check_down()

    def up(self) -> None:
        self.insist("swarm", "init", fine="already part of a swarm")
        self.insist("network", "create", "-d", "overlay", "net", fine="already exists")
        self.insist(
            *("service", "create", "-d", "-q", "--name", "web", "--replicas", "2", "--network", "net"),
            *("--stop-grace-period", "1s", "--publish", "80:80", "nginx"),
            fine="name conflicts with an existing object",
        )
        self.insist("volume", "create", "data")
        self.container("plain", "-v", "data:/data", "-p", "8080:80", "nginx")
        self.insist("load", "-q", "-i", str(self.archive))
        self.settle("web 2/2")
        self.insist("service", "update", "-d", "-q", "--env-add", "COLOUR=blue", "--update-parallelism", "2", "web")
        self.insist("service", "scale", "-d", "web=3")
        self.container("second", "--network", "bridge", "busybox", "sleep", "1000")
        self.settle("web 3/3")

    def down(self) -> None:
        for name in ("plain", "second"):
            self.insist("rm", "-f", name, fine="No such container|already in progress")
        self.insist("volume", "rm", "data", fine="no such volume", again="volume is in use")
        self.insist("service", "rm", "web", fine="not found")
        self.insist("network", "rm", "net", fine="not found", again="in use by|active endpoints")
        self.insist("rmi", "busybox", fine="No such image", again="is using|is being used")
        self.insist("swarm", "leave", "--force", fine="not part of a swarm")

    def container(self, name: str, *words: str) -> None:
        """``docker run -d``, which is two requests: after a lost one it is begun again."""
        end = time.monotonic() + _SECONDS
        while (ran := self.ask("run", "-d", "--restart", "always", "--name", name, *words)) is None or ran.status:
            if time.monotonic() > end:
                raise Broken(f"$ docker run {name}: still {ran.text if ran else 'no answer'}")
            self.insist("rm", "-f", name, fine="No such container|already in progress")

    # How it is asked for.

    def insist(self, *words: str, fine: str = "$^", again: str = "update out of sequence") -> None:
        """Ask until it is done: what a request that lost its answer may have done already is ``fine``."""
        end = time.monotonic() + _SECONDS
        while True:
            ran = self.ask(*words)
            if ran is not None and (ran.status == 0 or re.search(fine, ran.text)):
                return
            if ran is not None and not re.search(again, ran.text):
                raise Broken(f"$ docker {' '.join(words)}\n{ran.text}")
            if time.monotonic() > end:
                raise Broken(f"$ docker {' '.join(words)}: still {ran.text if ran else 'no answer'}")
            time.sleep(0.05)

    def ask(self, *words: str) -> Ran | None:
        """Ask once; None when shoald died of it, and is there again. An answer that is an error is an answer."""
        ran = self.machine.docker(*words, check=False)
        if not self.machine.shoald.running:
            if not self.machine.shoald.was_killed:
                raise Broken(f"shoald has ended\n{self.machine.shoald.log_end(40)}")
            self.start()
            self.retried += 1
            return None
        if ran.status and _LOST.search(ran.text):
            self.retried += 1
            time.sleep(0.1)
            return None
        return ran

    def start(self) -> None:
        """Start shoald, which may die of it, until it stays."""
        while True:
            if self.told:
                self.crashes[self.told.partition(":")[0]] += 1
            self.told = self.crash() if self.crash else ""
            self.machine.shoald.environment = {"PYTHONPATH": str(ROOT), "SHOAL_CRASH": self.told}
            try:
                self.machine.shoald.start()
            except EngineError as error:
                if not self.machine.shoald.was_killed or not self.told:
                    raise Broken(str(error)) from error
                continue
            return

    def arm(self) -> None:
        """From now on shoald is one that dies as :attr:`crash` says."""
        shoald = self.machine.shoald
        shoald.program = [sys.executable, "-m", "tests.faults.crashing"]
        shoald.stop()
        self.start()

    def disarm(self) -> None:
        """From now on shoald lives."""
        self.crash, self.told = None, ""
        self.machine.shoald.program = [str(Path(sys.executable).with_name("shoald"))]
        if self.machine.shoald.running:
            self.machine.shoald.stop()
        self.start()

    # What must be so.

    def settle(self, replicas: str) -> None:
        """Wait until the service has its replicas."""
        name, _, wanted = replicas.partition(" ")
        words = ("service", "ls", "--filter", f"name={name}", "--format", "{{.Replicas}}")
        self.until(f"{replicas} replicas", lambda: (ran := self.ask(*words)) is not None and ran.out == wanted)

    def until(self, what: str, holds: Callable[[], bool], seconds: float = _SECONDS) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                ps = self.machine.docker("service", "ps", "web", "--no-trunc", check=False).text
                raise Broken(f"not within {seconds:g} s: {what}\n{ps}\n{self.machine.shoald.log_end(40)}")
            time.sleep(0.05)

    def check_up(self) -> None:
        """All is there, answers, and is in the kernel as wanted."""
        self.until("the update is over", self._is_updated)
        for port in (80, 8080):
            for _ in range(3):
                self.until(f"port {port} answers", lambda port=port: self._answers(port), 5)  # type: ignore[misc]
        wanted = ["plain", "second", "web.1", "web.2", "web.3"]
        self.until("all containers run, and no others", lambda: self._running() == wanted)
        self.until("exec in second", lambda: self._listed("exec", "second", "sh", "-c", "echo hello") == ["hello"])

    def _running(self) -> list[str]:
        rows = self._listed("ps", "--format", "{{.Names}} {{.Status}}")
        return sorted(re.sub(r"(\.[0-9a-z]{25})? Up .*", "", row) for row in rows)

    def _answers(self, port: int) -> bool:
        return self.machine.http(f"http://{self.machine.address}:{port}", netns=self.machine.neighbour) == "200"

    def _is_updated(self) -> bool:
        ran = self.ask("service", "inspect", "web")
        if ran is None or ran.status:
            return False
        state = (json.loads(ran.out)[0].get("UpdateStatus") or {}).get("State", "completed")
        if state not in ("updating", "completed"):
            raise Broken(f"the update is {state}")
        shown = self._listed("ps", "-q", "--filter", "name=web.")
        if state != "completed" or len(shown) != 3:
            return False
        envs = self._listed("inspect", "--format", "{{.Config.Env}}", *shown)
        return len(envs) == 3 and all("COLOUR=blue" in env for env in envs)

    def _listed(self, *words: str) -> list[str]:
        while (ran := self.ask(*words)) is None:
            pass
        return ran.lines if ran.status == 0 else [ran.text]

    def check_down(self) -> None:
        """Nothing is left: on the machine, in containerd, in shoald's own folders."""
        end = time.monotonic() + 15
        while left := self._left():
            if time.monotonic() > end:
                raise Broken("left behind:\n" + "\n".join(left) + "\n" + self.machine.shoald.log_end(40))
            time.sleep(0.2)

    def _left(self) -> list[str]:
        # A daemon that ended politely with nothing to look after took containerd and the keeper along.
        own = re.compile(r"process: .*(-m shoal\.keeper|containerd --config|tests\.faults\.crashing|bin/shoald)")
        left = [line for line in self.machine.left(self.bare, seconds=0) if not own.search(line)]
        # The folder of the containers' cgroups is the daemon's own and goes with its end, which is looked at then.
        left = [line for line in left if not line.endswith(self.machine.shoald.cgroup_parent)]
        # Files there are the whole machine's; its own are all in its folder, and in the stores.
        left = [line for line in left if not line.startswith("file: /var/")]
        return left + sorted(self.stores() - self.kept)

    def stores(self) -> set[str]:
        """What is kept where ``docker`` does not show it: in containerd, on disk, in the local database."""
        folder = self.machine.shoald.folder
        ctr = ["ctr", "-a", str(folder / "run" / "containerd" / "containerd.sock"), "-n", "shoal"]
        found = set()
        for what in (
            ["containers", "ls", "-q"],
            ["tasks", "ls", "-q"],
            ["snapshots", "ls"],
            ["leases", "ls", "-q"],
            ["content", "ls", "-q"],
            ["content", "active"],
        ):
            keys = [row.split()[0] for row in self.machine.run(*ctr, *what).lines if row.split()]
            found |= {f"{what[0]}: {key}" for key in keys if key not in ("KEY", "REF")}
        for place in ("data/containers", "data/volumes", "data/tmp", "data/swarm", "run/stdio"):
            if (folder / place).is_dir():
                found |= {f"file: {place}/{name}" for name in os.listdir(folder / place)}
        return found


def kill(machine: Machine, pattern: str, choice: random.Random) -> bool:
    """Kill one process of the machine's whose command line has this; whether there was one."""
    found = []
    mine = {str(pid) for pid in machine.box.processes()}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            # Containers have numbers of their own within the machine's.
            if pid not in mine and machine.shoald.cgroup_parent not in Path(f"/proc/{pid}/cgroup").read_text():
                continue
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if re.search(pattern, command):
            found.append(int(pid))
    if not found:
        return False
    os.kill(choice.choice(found), signal.SIGKILL)
    return True


def crash_points(seed: int, classes: Sequence[str], most: int) -> Callable[[], str]:
    """What to die of, each time another thing: a class, and how often a point of it is passed before."""
    choice = random.Random(seed)
    return lambda: f"{choice.choice(list(classes))}:{1 + int(choice.random() ** 2 * most)}"


CLASSES = ("any", "state", "kernel", "containerd", "keeper", "files")


def crashes(machine: Machine, *, rounds: int, seed: int) -> str:
    """Let shoald die that often, at points that follow from the seed, and say what came of it. Raises Broken."""
    cycles = Cycles.on(machine, seed, crash_points(seed, CLASSES, 200))
    cycles.arm()
    lives = 0
    while sum(cycles.crashes.values()) < rounds:
        cycles.cycle()
        lives += 1
    cycles.disarm()
    by_class = ", ".join(f"{kind} {number}" for kind, number in sorted(cycles.crashes.items()))
    return (
        f"shoald was killed {sum(cycles.crashes.values())} times in {lives} lives ({by_class}; seed {seed}): "
        f"each came out as an undisturbed one, nothing was left behind"
    )


VICTIMS = {
    "containerd": r"^\S*containerd --config",
    "shim": r"^\S*containerd-shim",
    "runc": r"^\S*runc ",
    "task": r"^nginx",
    "keeper": r"shoal\.keeper",
}


def killings(machine: Machine, *, lives: int, seed: int) -> str:
    """Kill what shoald leans on, at random moments of its lives, and say what came of it. Raises Broken."""
    cycles = Cycles.on(machine, seed)
    choice = random.Random(seed)
    killed: Counter[str] = Counter()
    over = threading.Event()

    def go_on() -> None:
        # No more than a life can come back from in time.
        for _ in range(4):
            if over.wait(choice.uniform(0.3, 2.0)):
                return
            victim = choice.choice(list(VICTIMS))
            killed[victim] += kill(machine, VICTIMS[victim], choice)

    for _ in range(lives):
        over.clear()
        killer = threading.Thread(target=go_on)
        killer.start()
        try:
            cycles.up()
        finally:
            over.set()
            killer.join()
        cycles.check_up()
        cycles.down()
        cycles.check_down()
    by_victim = ", ".join(f"{victim} {number}" for victim, number in sorted(killed.items()))
    return f"{by_victim} killed in {lives} lives (seed {seed}): all came back, nothing was left behind"
