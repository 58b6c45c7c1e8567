"""Clients that change a swarm through one manager after the other, and keep every answer; others that only look.

They speak the Engine API over the managers' sockets, a connection a request, so that it is known of each whether it was
sent.
"""

import json
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from tests.faults.history import Answer, Found, Kind, Sightings, Write

# How long a client waits for an answer, in seconds: the longer one is more than a manager takes for one.
_HASTY, _PATIENT = 2.0, 20.0
# What says that nothing was changed, and is a right answer to what is asked here.
_REFUSAL = re.compile(
    r"update out of sequence|\bnot found$|so nothing can be changed|nothing was changed|not a swarm manager"
    r"|manager on this node is being started|manager on this node does not run|swarm's state is not open here"
)
_IN_DOUBT = "whether this was done cannot be said"
# Where no node is: the tasks of shared services are made by the orchestrator and wait for ever.
_NOWHERE = "node.labels.none==here"
_LEAST_PAUSE, _MOST_PAUSE = 0.005, 0.05


class NotSent(Exception):
    """There was nobody to send it to."""


@dataclass
class Asked:
    """An answer; status 0 where none came."""

    status: int
    body: Any = None

    @property
    def said(self) -> str:
        return str(self.body.get("message", "")) if isinstance(self.body, dict) else ""

    @property
    def answer(self) -> Answer:
        if 200 <= self.status < 300:
            return Answer.DONE
        return Answer.UNCERTAIN if not self.status or _IN_DOUBT in self.said else Answer.REFUSED


class _Unix(HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, method: str, target: str, body: Any = None, *, timeout: float = _PATIENT) -> Asked:
    """Ask once. Raises NotSent."""
    connection = _Unix(path, timeout)
    try:
        try:
            connection.connect()
        except OSError as error:
            raise NotSent from error
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, f"/v1.43{target}", content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        except (OSError, HTTPException):
            return Asked(0)
        return Asked(response.status, json.loads(text) if text.strip() else None)
    finally:
        connection.close()


@dataclass
class Record:
    """All that was asked and seen; shared by the clients."""

    writes: list[Write] = field(default_factory=list)
    sightings: Sightings = field(default_factory=Sightings)
    # Answers that mean nothing here, and what a single leader would not have done.
    strange: list[str] = field(default_factory=list)

    def add(self, write: Write, status: int) -> None:
        # Lists of CPython's are appended to by one thread at a time.
        self.writes.append(write)
        if write.answer is Answer.REFUSED and not _REFUSAL.search(write.said):
            self.strange.append(f"status {status}: {write}")

    def count(self, answer: Answer) -> int:
        return sum(write.answer is answer for write in self.writes)


@dataclass
class Swarm:
    """The managers' sockets, by host, and the record; ``shared`` are the ids of objects that everybody updates."""

    sockets: Mapping[str, Path]
    record: Record
    shared: list[tuple[str, str, str]] = field(default_factory=list)
    # While this is set nobody pauses: what happens then happens in the middle of writes.
    hurry: threading.Event = field(default_factory=threading.Event)

    def get(self, manager: str, target: str) -> Any:
        """What a manager shows; None when it does not answer so. Raises NotSent."""
        asked = ask(self.sockets[manager], "GET", target)
        return asked.body if asked.status == 200 else None

    def write(self, kind: Kind, manager: str, thing: str, mark: str, request: Sequence[Any], **more: Any) -> Asked:
        """Send a write and keep what came of it. Raises NotSent."""
        asked = ask(self.sockets[manager], *request, timeout=more.pop("timeout", _PATIENT))
        write = Write(kind, thing, mark, asked.answer, manager, said=asked.said, ended=time.monotonic(), **more)
        self.record.add(write, asked.status)
        return asked

    def create_service(self, manager: str, name: str, mark: str, *, replicas: int = 0, timeout: float) -> Asked:
        spec = {
            "Name": name,
            "Labels": {mark: ""},
            "TaskTemplate": {
                "ContainerSpec": {"Image": "busybox"},
                "Placement": {"Constraints": [_NOWHERE]},
            },
            "Mode": {"Replicated": {"Replicas": replicas}},
        }
        asked = self.write(Kind.CREATE, manager, name, mark, ("POST", "/services/create", spec), timeout=timeout)
        if asked.answer is Answer.DONE:
            self.record.sightings.changed(manager, asked.body["ID"], 1)
        return asked

    def create_network(self, manager: str, name: str, mark: str, *, timeout: float) -> Asked:
        spec = {"Name": name, "Driver": "overlay", "Labels": {mark: ""}}
        return self.write(Kind.CREATE, manager, name, mark, ("POST", "/networks/create", spec), timeout=timeout)


@dataclass
class Own:
    """An object that one client alone writes to."""

    path: str
    name: str
    id: str


class Writer:
    """One client of these managers; :meth:`run` is for a thread."""

    def __init__(self, swarm: Swarm, name: str, managers: Sequence[str], seed: str) -> None:
        self._swarm = swarm
        self._name = name
        self._random = random.Random(seed)
        self._number = 0
        self._own: list[Own] = []
        self._managers = managers

    def run(self, over: threading.Event) -> None:
        """Change things until it is over."""
        while not over.wait(0 if self._swarm.hurry.is_set() else self._random.uniform(_LEAST_PAUSE, _MOST_PAUSE)):
            deed = self._random.choices(
                (self._create_service, self._create_network, self._update, self._update_shared, self._remove),
                (15, 10, 40, 20, 15),
            )[0]
            try:
                deed(self._random.choice(self._managers))
            except NotSent:
                over.wait(0.05)

    def _mark(self) -> str:
        self._number += 1
        return f"{self._name}.{self._number}"

    @property
    def _patience(self) -> float:
        return self._random.choice((_HASTY, _PATIENT, _PATIENT))

    def _create_service(self, manager: str) -> None:
        mark = self._mark()
        name = f"s-{mark.replace('.', '-')}"
        asked = self._swarm.create_service(manager, name, mark, timeout=self._patience)
        if asked.answer is Answer.DONE:
            self._own.append(Own("/services", name, asked.body["ID"]))

    def _create_network(self, manager: str) -> None:
        mark = self._mark()
        name = f"n-{mark.replace('.', '-')}"
        asked = self._swarm.create_network(manager, name, mark, timeout=self._patience)
        if asked.answer is Answer.DONE:
            self._own.append(Own("/networks", name, asked.body["Id"]))

    def _update(self, manager: str) -> None:
        if services := [own for own in self._own if own.path == "/services"]:
            own = self._random.choice(services)
            self._label(manager, own.path, own.name, own.id)

    def _update_shared(self, manager: str) -> None:
        self._label(manager, *self._random.choice(self._swarm.shared))

    def _label(self, manager: str, path: str, thing: str, id: str) -> None:
        """Read it, mostly where it is written to afterwards, and give it one label more."""
        at = manager if self._random.random() < 0.7 else self._random.choice(self._managers)
        before = self._swarm.record.sightings.before(at)
        asked = ask(self._swarm.sockets[at], "GET", f"{path}/{id}")
        if asked.status not in (200, 404):
            return
        found = asked.body if asked.status == 200 else None
        versions = {id: found["Version"]["Index"]} if found else {}
        self._swarm.record.sightings.seen(before, versions, only=id)
        if not found:
            return
        mark, base, spec = self._mark(), found["Version"]["Index"], found["Spec"]
        spec["Labels"] = {**(spec.get("Labels") or {}), mark: ""}
        if thing.startswith("shared"):
            spec["Mode"]["Replicated"]["Replicas"] = self._random.randrange(5)
        request = ("POST", f"{path}/{id}/update?version={base}", spec)
        done = self._swarm.write(Kind.UPDATE, manager, thing, mark, request, base=base, timeout=self._patience)
        if done.answer is Answer.DONE:
            self._swarm.record.sightings.changed(manager, id, base + 1)

    def _remove(self, manager: str) -> None:
        """It is not written to again, unless it was refused."""
        if len(self._own) < 5:
            return
        own = self._random.choice(self._own)
        self._swarm.record.sightings.leaving(own.id)
        request = ("DELETE", f"{own.path}/{own.id}")
        asked = self._swarm.write(Kind.DELETE, manager, own.name, self._mark(), request, timeout=self._patience)
        if asked.answer is not Answer.REFUSED:
            self._own.remove(own)


def look(swarm: Swarm, manager: str, over: threading.Event, pause: float = 0.3) -> None:
    """Look at one manager again and again, at all that has versions, and whether one alone leads. For a thread."""
    while not over.wait(pause):
        try:
            before = swarm.record.sightings.before(manager)
            shown = [swarm.get(manager, path) for path in ("/services", "/nodes")]
            if None in shown:
                continue
            swarm.record.sightings.seen(before, {o["ID"]: o["Version"]["Index"] for kind in shown for o in kind})
            leaders = [node["ID"] for node in shown[1] if node.get("ManagerStatus", {}).get("Leader")]
            if len(leaders) > 1:
                swarm.record.strange.append(f"{manager} shows {len(leaders)} leaders: {leaders}")
            if tasks := swarm.get(manager, "/tasks"):
                swarm.record.strange += doubled(manager, tasks)
        except NotSent:
            continue


def doubled(manager: str, tasks: Sequence[Any]) -> list[str]:
    """Slots with more than one task that is to run, which is what two orchestrators would make."""
    slots = [(t["ServiceID"], t.get("Slot", 0)) for t in tasks if t["DesiredState"] == "running"]
    return [f"{manager} shows two tasks in slot {slot}" for slot in sorted(set(slots)) if slots.count(slot) > 1]


def found_at(swarm: Swarm, manager: str) -> dict[str, Found]:
    """All that was marked, as a manager shows it. Raises NotSent."""
    found = {}
    for path in ("/services", "/networks", "/nodes"):
        for one in swarm.get(manager, path) or []:
            spec = one.get("Spec", one)
            name = spec.get("Name") or one.get("Description", {}).get("Hostname")
            marks = frozenset(spec.get("Labels") or {})
            # Others' networks have other labels, and nodes have none to begin with.
            if path == "/services" or (path == "/networks" and name.startswith("n-")) or (path == "/nodes" and marks):
                found[name] = Found(marks, one.get("Version", {}).get("Index", 0))
    return found


def insist(deed: Callable[[], Asked | None], seconds: float) -> bool:
    """Do it until it is done; whether it was in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if (asked := deed()) is not None and asked.answer is Answer.DONE:
                return True
        except NotSent:
            pass
        time.sleep(0.1)
    return False
