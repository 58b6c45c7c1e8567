"""Three managers that are killed, cut off and held up while clients write through all of them.

What they answered has to be what is there afterwards.
"""

import random
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from tests.e2e.lab import Cluster, Place
from tests.faults.cycles import Broken
from tests.faults.history import Answer, Found, judge, longest_gap
from tests.faults.writing import Asked, NotSent, Record, Swarm, Writer, doubled, found_at, insist, look

MANAGERS = ("node1", "node2", "node3")
# Clients that go from one manager to the other, beside one that stays for each manager.
_ROVERS = 3
_SHARED = 4
# How many writes there are to a disturbance.
_A_DISTURBANCE = 50
# Between disturbances, and how long one lasts at least and, unless told otherwise, at most, in seconds.
_CALM, _LEAST, _MOST = (1.0, 4.0), 1.0, 10.0
# How long the clients make no pause after one has begun, in seconds.
_HURRY = 0.3
# In which all managers are to be there again, answer, and agree, after the last one.
_SECONDS = 60.0

_WAYS = (("kill", "start"), ("cut", "heal"), ("pause", "resume"))


@dataclass
class Disturbances:
    """What is done to the managers, for ``most`` seconds each or less; the same for a seed, but for who leads."""

    cluster: Cluster
    hurry: threading.Event
    random: random.Random
    most: float
    say: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    # When there was no quorum, until somebody could have one again.
    without: list[tuple[float, float]] = field(default_factory=list)
    _next: list[Callable[[str], None]] = field(default_factory=list)

    def one(self) -> None:
        """One of them, from its beginning to its end."""
        if not self._next:
            kinds = (
                *(self._shoald, self._shoald, self._etcd, self._etcd, self._both, self._power),
                *(self._cut, self._cut, self._between, self._pause, *(self._no_quorum,) * 3),
            )
            self._next = self.random.sample(kinds, len(kinds))
        kind = self._next.pop()
        leader = self.random.random() < 0.5 and self._leader()
        self.hurry.set()
        try:
            kind(leader or self.random.choice(MANAGERS))
        finally:
            self.hurry.clear()

    def _leader(self) -> str:
        return next((found for host in MANAGERS if (found := self._leader_at(host))), "")

    def _leader_at(self, host: str) -> str:
        rows = self.cluster.docker("node", "ls", "--format", "{{.Hostname}} {{.ManagerStatus}}", host=host, check=False)
        return next((row.split()[0] for row in rows.lines if row.endswith(" Leader")), "") if not rows.status else ""

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        self.counts[what.split()[0]] += 1
        self.say(what)
        yield

    def _last(self) -> None:
        time.sleep(_HURRY)
        self.hurry.clear()
        time.sleep(self.random.uniform(_LEAST, self.most))

    def _shoald(self, host: str) -> None:
        with self._told(f"shoald killed at {host}"):
            self.cluster.kill_shoald(host)
            self._last()
            self.cluster.start_shoald(host)

    def _etcd(self, host: str) -> None:
        """shoald starts it again."""
        with self._told(f"etcd killed at {host}"):
            self._kill_etcd(host)

    def _kill_etcd(self, host: str) -> None:
        # It may be between two lives.
        self.cluster.place.inside(host, "sh", "-c", "kill -9 $(cat /run/shoal/etcd/etcd.pid)", check=False)

    def _both(self, host: str) -> None:
        with self._told(f"both killed at {host}"):
            self._kill_etcd(host)
            self.cluster.kill_shoald(host)
            self._last()
            self.cluster.start_shoald(host)

    def _power(self, host: str) -> None:
        with self._told(f"power of {host}"):
            self.cluster.place.lab("kill", host)
            self._last()
            self.cluster.place.lab("start", host)

    def _cut(self, host: str) -> None:
        with self._told(f"cut of {host}"):
            self.cluster.place.lab("cut", host)
            self._last()
            self.cluster.place.lab("heal", host)

    def _between(self, host: str) -> None:
        other = self.random.choice([one for one in MANAGERS if one != host])
        with self._told(f"between {host} and {other} cut"):
            self.cluster.place.lab("cut", host, other)
            self._last()
            self.cluster.place.lab("heal", host, other)

    def _pause(self, host: str) -> None:
        with self._told(f"pause of {host}"):
            self.cluster.place.lab("pause", host)
            self._last()
            self.cluster.place.lab("resume", host)

    def _no_quorum(self, host: str) -> None:
        """Two at once, so that nothing can be changed for a while. What the third one was asked for while two were
        paused may be done once they go on."""
        other = self.random.choice([one for one in MANAGERS if one != host])
        ways = self.random.choice(((("pause", "resume"),) * 2, self.random.choices(_WAYS, k=2)))
        with self._told(f"quorum lost by {ways[0][0]} of {host} and {ways[1][0]} of {other}"):
            began = time.monotonic()
            self.cluster.place.lab(ways[0][0], host)
            self.cluster.place.lab(ways[1][0], other)
            self._last()
            self.cluster.place.lab(ways[1][1], other)
            self.without.append((began, time.monotonic()))
            self.cluster.place.lab(ways[0][1], host)


@dataclass
class Checker:
    """A run on a cluster of three managers with nothing in its swarm."""

    cluster: Cluster
    seed: int
    most: float = _MOST
    say: Callable[[str], None] = lambda _: None
    record: Record = field(default_factory=Record)

    def __post_init__(self) -> None:
        folder = self.cluster.place.folder / self.cluster.place.name
        self.swarm = Swarm({host: folder / host / "docker.sock" for host in MANAGERS}, self.record)
        self.disturbances = Disturbances(self.cluster, self.swarm.hurry, random.Random(self.seed), self.most, self.say)

    def run(self, operations: int) -> str:
        """At least so many writes, and a disturbance for each fifty; the one line that says how it went. Raises
        Broken."""
        self._share()
        began, over = time.monotonic(), threading.Event()
        routes = [*([host] for host in MANAGERS), *([list(MANAGERS)] * _ROVERS)]
        writers = [Writer(self.swarm, f"w{n}", route, f"{self.seed}/{n}") for n, route in enumerate(routes)]
        threads = [threading.Thread(target=writer.run, args=(over,)) for writer in writers]
        threads += [threading.Thread(target=look, args=(self.swarm, host, over)) for host in MANAGERS]
        for thread in threads:
            thread.start()
        try:
            for _ in range(max(3, operations // _A_DISTURBANCE)):
                time.sleep(self.disturbances.random.uniform(*_CALM))
                self.disturbances.one()
            while len(self.record.writes) < operations:
                time.sleep(0.1)
        finally:
            over.set()
            for thread in threads:
                thread.join()
        return self._verdict(time.monotonic() - began)

    def _share(self) -> None:
        """Objects that everybody writes to: some services, and the nodes."""
        for number in range(_SHARED):
            name = f"shared{number}"
            asked = self.swarm.create_service(MANAGERS[0], name, name, replicas=2, timeout=20)
            if asked.answer is not Answer.DONE:
                raise Broken(f"a service cannot be created: {asked}")
            # More often than nodes.
            self.swarm.shared += [("/services", name, asked.body["ID"])] * 2
        for node in self.swarm.get(MANAGERS[0], "/nodes"):
            self.swarm.shared.append(("/nodes", node["Description"]["Hostname"], node["ID"]))

    def _verdict(self, seconds: float) -> str:
        for host in MANAGERS:
            # Behind all that this manager may still have been asked for.
            if not insist(partial(self._last_write, host, count()), _SECONDS):
                raise Broken(self._failed([f"{host} takes no writes after the last disturbance"]))
        found, lines = self._agreed()
        verdict = judge(self.record.writes, found)
        sightings = self.record.sightings.lines
        lines += verdict.lines + [f"version backwards: {line}" for line in sightings] + self.record.strange
        line = self._line(
            seconds, found, len(verdict.lost), len(verdict.ghosts), len(verdict.backwards) + len(sightings)
        )
        if lines:
            raise Broken(self._failed([line, *lines]))
        return line

    def _last_write(self, host: str, numbers: Iterator[int]) -> Asked:
        number = next(numbers)
        return self.swarm.create_service(host, f"s-last-{host}-{number}", f"last.{host}.{number}", timeout=20)

    def _agreed(self) -> tuple[dict[str, Found], list[str]]:
        """What all managers show, and what is not as it should be; the latter once it is, or not in time."""
        deadline = time.monotonic() + _SECONDS
        while True:
            try:
                found = [found_at(self.swarm, host) for host in MANAGERS]
                lines = [
                    line for one, host in zip(found, MANAGERS, strict=True) for line in _differing(found[0], one, host)
                ]
                lines += [line for host in MANAGERS for line in self._unsettled(host)]
            except NotSent as error:
                found, lines = [{}], [f"a manager is not there: {error}"]
            if not lines or time.monotonic() > deadline:
                return found[0], lines
            time.sleep(0.2)

    def _unsettled(self, host: str) -> list[str]:
        """What is not yet as the specs want it, at one manager."""
        managers = [node.get("ManagerStatus", {}) for node in self.swarm.get(host, "/nodes") or []]
        reached = [status.get("Reachability") for status in managers]
        leaders = [status for status in managers if status.get("Leader")]
        lines = [] if reached == ["reachable"] * 3 and len(leaders) == 1 else [f"{host} shows managers: {managers}"]
        tasks = self.swarm.get(host, "/tasks") or []
        made = Counter(task["ServiceID"] for task in tasks if task["DesiredState"] == "running")
        for service in self.swarm.get(host, "/services") or []:
            if made[service["ID"]] != (wanted := service["Spec"]["Mode"]["Replicated"]["Replicas"]):
                lines.append(f"{host} shows {made[service['ID']]} tasks of {wanted} of {service['Spec']['Name']}")
        return lines + doubled(host, tasks)

    def _line(self, seconds: float, found: dict[str, Found], lost: int, ghosts: int, backwards: int) -> str:
        writes, disturbed = self.record.writes, self.disturbances
        kinds = ", ".join(f"{kind} {number}" for kind, number in sorted(disturbed.counts.items()))
        done = [write.ended for write in writes if write.answer is Answer.DONE]
        longest, held = longest_gap(done, disturbed.without)
        none = Found(frozenset())
        uncertain = [write for write in writes if write.answer is Answer.UNCERTAIN]
        after_all = sum(write.mark in found.get(write.thing, none).marks for write in uncertain)
        beaten = sum("out of sequence" in write.said for write in writes)
        return (
            f"{len(writes)} operations in {seconds:.0f} s, {len(done)} acknowledged, "
            f"{self.record.count(Answer.REFUSED)} refused ({beaten} out of sequence), "
            f"{len(uncertain)} uncertain ({after_all} of them done); {disturbed.counts.total()} disturbances ({kinds}; "
            f"seed {self.seed}); longest time without a write {held:.1f} s ({longest:.1f} s without a quorum); "
            f"lost {lost}, ghosts {ghosts}, versions backwards {backwards}"
        )

    def _failed(self, lines: Sequence[str]) -> str:
        """With all that is known written down beside the managers' logs, in a folder that stays."""
        folder = Path(tempfile.mkdtemp(prefix="shoal-managers-broken-"))
        (folder / "writes").write_text("".join(f"{write.ended:.3f} {write}\n" for write in self.record.writes))
        for host, socket in self.swarm.sockets.items():
            with suppress(OSError):
                shutil.copyfile(socket.with_name("shoald.log"), folder / f"{host}.log")
        more = [f"and {len(lines) - 40} more"] * (len(lines) > 40)
        return "\n".join([*lines[:40], *more, f"seed {self.seed}; all writes and the managers' logs are in {folder}"])


def _differing(first: dict[str, Found], other: dict[str, Found], host: str) -> list[str]:
    """Where managers do not agree. Nodes' versions change by themselves."""
    things = sorted(first.keys() | other.keys())
    return [
        f"{host} shows {thing} as {other.get(thing)}, {MANAGERS[0]} as {first.get(thing)}"
        for thing in things
        if first.get(thing) != other.get(thing)
        and not (thing in MANAGERS and thing in first and thing in other and first[thing].marks == other[thing].marks)
    ]


@contextmanager
def three_managers() -> Iterator[Cluster]:
    """A swarm of three managers in a box of its own. Raises Broken for what is left behind."""
    folder = Path(tempfile.mkdtemp(prefix="shoal-checker-"))
    place = Place(folder / "labs")
    try:
        place.box.start()
        before = place.snapshot()
        cluster = Cluster(place, len(MANAGERS), "--managers", str(len(MANAGERS)))
        yield cluster
        place.lab("down")
        # Files in /var are the whole machine's; a lab's are all in its folder.
        left = [line for line in place.left(before) if not line.startswith("file: /var/")]
        if left := [*left, *place.cgroups(f"{place.name}-")]:
            raise Broken("left behind:\n" + "\n".join(left))
    finally:
        place.box.stop()
        shutil.rmtree(folder)


def managers(*, operations: int, seed: int) -> str:
    """So many writes to three managers that are disturbed; what came of it in one line. Raises Broken."""
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {what}", flush=True)

    with three_managers() as cluster:
        line = Checker(cluster, seed, say=say).run(operations)
        say(line)
    return line
