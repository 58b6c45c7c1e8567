"""A machine of a test's own, with a shoald on it, and the commands that a person types there.

``Machine`` is a box (namespaces for network, mounts and processes, a neighbour on a wire) and a daemon that lives in
it with nothing but a folder of its own; the real ``docker`` client and ``shoal`` are run inside. One a test process is
enough: between tests :meth:`Machine.reset` takes away what a test has made, and says what would not go.
"""

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tools import images
from tools.box import ADDRESS, NEIGHBOUR, NEIGHBOUR_ADDRESS, Box
from tools.engine import Shoald

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
IMAGES = ROOT / "build" / "images"
NOT_A_MANAGER = (
    'Error response from daemon: This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to '
    "connect this node to swarm and try again."
)
T = TypeVar("T")


@dataclass(frozen=True)
class Ran:
    """A command that has ended: what it printed, without the last line's end, and its status."""

    out: str
    err: str
    status: int

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def text(self) -> str:
        return f"{self.out}\n{self.err}".strip()

    def json(self) -> Any:
        return json.loads(self.out)


class Machine:
    """A box with an engine. ``address`` is the box's own, ``neighbour_address`` that of the other host; ``client`` is
    the docker that is run, on PATH or with its own."""

    address = ADDRESS
    neighbour = NEIGHBOUR
    neighbour_address = NEIGHBOUR_ADDRESS

    def __init__(self, folder: Path, *, flags: Sequence[str] = ()) -> None:
        self.folder = folder
        self.box = Box()
        self.client = "docker"
        self.shoald = Shoald(folder / "engine", self.box.enter, flags=flags, cgroup_parent=f"/shoal-{folder.name}")
        self._bare: dict[str, list[str]] = {}

    def start(self, *, load: Sequence[str] = ("busybox", "nginx")) -> None:
        """Make the box, start the engine and load these images."""
        self.box.start()
        self._bare = self.snapshot()
        self.shoald.start()
        for name in load:
            self.docker("load", "-q", "-i", str(images.build(name, IMAGES)))

    def stop(self) -> list[str]:
        """End the engine politely, and the box; what was left in it then."""
        try:
            if self.shoald.running:
                self.reset()
                self.shoald.stop()
                return self.left(self._bare)
            return []
        finally:
            self.box.stop()
            self.shoald.remove_cgroups()
            shutil.rmtree(self.folder, ignore_errors=True)

    def reboot(self) -> None:
        """Cut the power, and have the machine come up again: of all there was, only the data root is left."""
        self.box.stop()
        self.shoald.forget()
        self.box.start()
        self.shoald.start()

    def reset(self) -> None:
        """Take away the swarm, containers, networks and volumes that a test has made."""
        left = self.docker("swarm", "leave", "--force", check=False)
        assert left.status == 0 or "not part of a swarm" in left.text, f"{left.text}\n{self.shoald.log_end()}"
        if found := self.docker("ps", "-aq").lines:
            self.docker("rm", "-f", "-v", *found, check=False)
        self.docker("network", "prune", "-f")
        if found := self.docker("volume", "ls", "-q").lines:
            self.docker("volume", "rm", *found)

    def docker(self, *words: str, check: bool = True, input: str | None = None, timeout: float = 60) -> Ran:
        """Run the real client. With ``check``, an error fails the test."""
        return self._client([self.client, *words], check=check, input=input, timeout=timeout)

    def shoal(self, *words: str, check: bool = True, input: str | None = None, timeout: float = 60) -> Ran:
        """Run our own."""
        return self._client([str(BIN / "shoal"), *words], check=check, input=input, timeout=timeout)

    def _client(self, command: Sequence[str], *, check: bool, input: str | None, timeout: float) -> Ran:
        ran = self.run(*command, env=self.env, input=input, timeout=timeout)
        if check:
            assert ran.status == 0, f"$ {' '.join(command)}\n{ran.text}\n{self.shoald.log_end()}"
        return ran

    @property
    def env(self) -> Mapping[str, str]:
        return {"DOCKER_HOST": self.shoald.host, "DOCKER_CONFIG": str(self.folder / "docker-config")}

    def run(
        self,
        *command: str,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
        input: str | None = None,
        timeout: float = 60,
    ) -> Ran:
        """Run any command in the box."""
        done = self.box.run(command, netns=netns, env=env, input=input, timeout=timeout)
        return Ran(done.stdout.rstrip("\n"), done.stderr.rstrip("\n"), done.returncode)

    def spawn(self, *command: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a command in the box, with the client's environment."""
        env = {**os.environ, **self.env}
        return subprocess.Popen(self.box.enter(command), env=env, text=True, **options)

    def typed(self, *words: str, send: str, until: str, timeout: float = 20) -> str:
        """Run ``docker`` at a terminal, type ``send`` into it, and give what it has shown once ``until`` was."""
        controller, terminal = pty.openpty()
        process = self.spawn(self.client, *words, stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        shown = b""
        deadline = time.monotonic() + timeout
        try:
            os.write(controller, send.encode())
            while until.encode() not in shown and time.monotonic() < deadline:
                if select.select([controller], [], [], 0.1)[0]:
                    try:
                        shown += os.read(controller, 4096)
                    except OSError:  # the other end is closed
                        break
            process.wait(timeout)
        finally:
            process.kill()
            process.wait()
            os.close(controller)
        return shown.decode(errors="replace")

    def http(self, url: str, *, netns: str | None = None, agent: str = "test") -> str:
        """The status that a URL answers with; 000 for no answer."""
        return self.run(
            "curl", "-s", "-m", "5", "-A", agent, "-o", "/dev/null", "-w", "%{http_code}", url, netns=netns
        ).out

    def inspect(self, what: str) -> Any:
        return self.docker("inspect", what).json()[0]

    def containers(self, service: str) -> list[str]:
        """The running containers of a service, by slot."""
        rows = self.docker("ps", "--no-trunc", "--filter", f"name={service}.", "--format", "{{.Names}} {{.ID}}").lines
        return [row.split()[1] for row in sorted(rows)]

    def running(self, service: str, replicas: str) -> None:
        """Wait until ``service ls`` says so, such as 2/2."""
        words = ("service", "ls", "--filter", f"name={service}", "--format", "{{.Name}} {{.Replicas}}")
        eventually(lambda: f"{service} {replicas}" in self.docker(*words).lines)

    def links(self, netns: str | None = None) -> dict[str, Any]:
        """The links of a namespace with their addresses, by name."""
        found = self.run("ip", "-j", "-d", "address", netns=netns).json()
        return {link["ifname"]: link for link in found}

    def namespaces(self) -> set[str]:
        return {line.split()[0] for line in self.run("ip", "netns").lines} - {self.neighbour}

    def snapshot(self) -> dict[str, list[str]]:
        """What there is in the box, by kind (see tools/leftovers.py)."""
        file = self.folder / "snapshot"
        self.folder.mkdir(parents=True, exist_ok=True)
        ran = self.run(sys.executable, str(ROOT / "tools" / "leftovers.py"), "snapshot", str(file))
        assert ran.status == 0, ran.text
        found: dict[str, list[str]] = json.loads(file.read_text())
        return found

    def left(self, before: Mapping[str, Sequence[str]], *, kinds: Sequence[str] = (), seconds: float = 10) -> list[str]:
        """What has come since ``before``, once there is nothing or ``seconds`` have passed; all kinds if none is named.

        Others' cgroups do not count, nor link-local routes, which the kernel gives to a link with its first carrier.
        """
        deadline = time.monotonic() + seconds
        while lines := self._come(before, kinds):
            if time.monotonic() > deadline:
                return lines
            time.sleep(0.25)
        return []

    def _come(self, before: Mapping[str, Sequence[str]], kinds: Sequence[str]) -> list[str]:
        now = self.snapshot()
        lines = [
            f"{kind}: {thing}"
            for kind in kinds or now
            for thing in sorted(set(now[kind]) - set(before[kind]))
            if kind != "cgroup" or self.shoald.cgroup_parent in thing
        ]
        return [
            line for line in lines if not line.startswith("route:") or ("fe80:" not in line and "ff00:" not in line)
        ]


def eventually(look: Callable[[], T], *, seconds: float = 15) -> T:
    """What ``look`` gives once that is true. Fails the test after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        if seen := look():
            return seen
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {seen!r}"
        time.sleep(0.05)


def pids(machine: Machine) -> dict[str, int]:
    """The first process of each container that runs, by the container's id."""
    ids = machine.docker("ps", "-q", "--no-trunc").lines
    return {key: machine.inspect(key)["State"]["Pid"] for key in ids}
