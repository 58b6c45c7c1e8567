"""A box to make labs in, and a swarm on several hosts of one, as a person with ``shoal lab`` and ``docker`` has it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.harness import BIN, IMAGES, ROOT, Ran, eventually
from tools import images
from tools.box import Box


class Place:
    """A box, a folder for labs, and names that no other box uses: cgroups are the whole machine's."""

    def __init__(self, folder: Path) -> None:
        self.box = Box()
        self.folder = folder
        self.name = f"t{os.getpid()}"

    def run(self, *command: str, env: dict[str, str] | None = None) -> Ran:
        done = self.box.run(command, env={"PATH": f"{BIN}:{os.environ['PATH']}", **(env or {})}, timeout=120)
        return Ran(done.stdout.rstrip("\n"), done.stderr.rstrip("\n"), done.returncode)

    def spawn(self, *command: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a command in the box."""
        return subprocess.Popen(self.box.enter(command), text=True, **options)

    def words(self, verb: str, *words: str, name: str = "") -> list[str]:
        return ["shoal", "lab", verb, "--root", str(self.folder), "--name", name or self.name, *words]

    def lab(self, verb: str, *words: str, name: str = "", check: bool = True) -> Ran:
        ran = self.run(*self.words(verb, *words, name=name))
        assert not check or ran.status == 0, f"{verb} {words}: {ran.text}"
        return ran

    def inside(self, host: str, *command: str, check: bool = True) -> Ran:
        return self.lab("exec", host, "--", *command, check=check)

    def pings(self, host: str, other: str) -> bool:
        return self.inside(host, "ping", "-c1", "-W0.3", other, check=False).status == 0

    def states(self) -> dict[str, tuple[str, str]]:
        """Of each host, what it does and whom it is cut off from."""
        rows = [row.split("|") for row in self.lab("ls", "--format", "{{.Host}}|{{.State}}|{{.CutOffFrom}}").lines]
        return {host: (state, cut) for host, state, cut in rows}

    def cgroups(self, name: str) -> list[str]:
        """Those of a lab, or of one of its hosts, in all hierarchies."""
        roots = Path("/sys/fs/cgroup")
        return [str(path) for depth in ("", "*/") for path in roots.glob(f"{depth}shoal-lab-{name}*")]

    def snapshot(self) -> dict[str, list[str]]:
        file = self.folder.parent / "snapshot"
        ran = self.run(sys.executable, str(ROOT / "tools" / "leftovers.py"), "snapshot", str(file))
        assert ran.status == 0, ran.text
        found: dict[str, list[str]] = json.loads(file.read_text())
        return {kind: things for kind, things in found.items() if kind != "cgroup"}

    def left(self, before: Mapping[str, Sequence[str]]) -> list[str]:
        """What has come since, once there is nothing or ten seconds have passed; the kernel ends namespaces later."""
        deadline = time.monotonic() + 10
        while True:
            now = self.snapshot()
            lines = [f"{kind}: {thing}" for kind in now for thing in sorted(set(now[kind]) - set(before[kind]))]
            # A link has its link-local routes some time after it has got its carrier.
            lines = [line for line in lines if "fe80:" not in line and "ff00:" not in line]
            if not lines or time.monotonic() > deadline:
                return lines
            time.sleep(0.1)


@contextmanager
def a_place(name: str) -> Iterator[Place]:
    """A box for labs, for the block."""
    folder = Path(tempfile.mkdtemp(prefix=f"shoal-{name}-"))
    place = Place(folder / "labs")
    try:
        place.box.start()
        yield place
    finally:
        place.box.stop()
        shutil.rmtree(folder)


class Cluster:
    """A swarm on a lab's hosts: ``node1`` is a manager; ``at`` is the one that is asked."""

    def __init__(self, place: Place, count: int, *flags: str) -> None:
        self.place = place
        self.at = "node1"
        self.hosts = [f"node{number}" for number in range(1, count + 1)]
        archives = [word for name in ("nginx", "busybox") for word in ("--image", str(images.build(name, IMAGES)))]
        said = place.lab("up", str(count), *archives, *flags)
        assert re.search(rf"^{count} hosts are up", said.out, re.MULTILINE), said.text
        rows = place.lab("ls", "--format", "{{.Host}} {{.Address}}").lines
        self.address = dict(row.split() for row in rows)

    def docker(self, *words: str, host: str = "", check: bool = True) -> Ran:
        """Run the real client on a host."""
        return self.place.inside(host or self.at, "docker", *words, check=check)

    def web(self, *flags: str, replicas: int = 2, name: str = "web") -> None:
        """A service of nginx, running."""
        words = ("service", "create", "-d", "-q", "--name", name, "--replicas", str(replicas), *flags, "nginx")
        self.docker(*words)
        self.running(name, replicas)

    def running(self, name: str, replicas: int, *, seconds: float = 20) -> None:
        """Wait until a service has its replicas."""
        words = ("service", "ls", "--filter", f"name={name}", "--format", "{{.Replicas}}")
        eventually(lambda: self.docker(*words).out == f"{replicas}/{replicas}", seconds=seconds)

    def tasks(self, name: str) -> dict[str, str]:
        """The tasks of a service that are wanted, by id, with the node that each is on."""
        words = ("service", "ps", name, "--no-trunc", "--filter", "desired-state=running")
        rows = self.docker(*words, "--format", "{{.ID}} {{.Node}}").lines
        return dict(row.split() for row in rows)

    def nodes(self) -> dict[str, str]:
        """The state of each node, by host name; ``Down`` ones that another of that name has followed do not count."""
        rows = [row.split() for row in self.docker("node", "ls", "--format", "{{.Hostname}} {{.Status}}").lines]
        return dict(sorted(rows, key=lambda row: row[1] == "Ready"))

    def all_ready(self) -> None:
        eventually(lambda: self.nodes() == dict.fromkeys(self.hosts, "Ready"))

    def http(self, host: str, *, port: int = 80, inside: str = "", path: str = "/", seconds: float = 2) -> str:
        """The status that a host answers with, asked from the box or from inside another host; 000 for none."""
        url = f"http://{self.address[host]}:{port}{path}"
        words = ("curl", "-s", "-m", str(seconds), "-o", "/dev/null", "-w", "%{http_code}", url)
        return (self.place.inside(inside, *words, check=False) if inside else self.place.run(*words)).out

    def containers(self, host: str) -> dict[str, str]:
        """The running containers of a host: name and when it was started."""
        ids = self.docker("ps", "-q", host=host).lines
        words = ("inspect", "--format", "{{.Name}} {{.State.StartedAt}}", *ids)
        return dict(row.split() for row in self.docker(*words, host=host).lines) if ids else {}

    def managers(self) -> dict[str, str]:
        """What each manager is, by host name: Leader, Reachable or Unreachable."""
        rows = self.docker("node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}").lines
        return dict(row.split() for row in rows if len(row.split()) == 2)

    def leader(self) -> str:
        """The leader's host name."""
        found = [host for host, status in self.managers().items() if status == "Leader"]
        return found[0] if found else ""

    def kill_shoald(self, host: str) -> None:
        """As the kernel may; its machine goes on."""
        self.place.inside(host, "sh", "-c", "kill -9 $(cat /run/shoald.pid)")

    def start_shoald(self, host: str) -> None:
        """Start it again, and wait until it answers."""
        folder = self.place.folder / self.place.name / host
        self.place.inside(host, "sh", "-c", f"setsid {folder}/shoald >>{folder}/shoald.log 2>&1 </dev/null &")
        eventually(lambda: self.docker("version", host=host, check=False).status == 0)

    def reset(self) -> None:
        """Every host on, in reach and active; no service, no network, no plain container."""
        self.at = "node1"
        for host in self.hosts:
            self.place.lab("heal", host, check=False)
            self.place.lab("start", host)
        self.all_ready()
        for host in self.hosts:
            names = self.docker("ps", "-a", "--format", "{{.Names}}", host=host).lines
            if found := [name for name in names if "." not in name]:
                self.docker("rm", "-f", "-v", *found, host=host, check=False)
        for kind in ("service", "network"):
            words = (kind, "ls", "-q", *(("--filter", "type=custom", "--filter", "scope=swarm") * (kind == "network")))
            if found := self.docker(*words).lines:
                eventually(lambda kind=kind, found=found: self.docker(kind, "rm", *found, check=False).status == 0)  # type: ignore[misc]
