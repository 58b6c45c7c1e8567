"""The machine fails shoald: its disk, its files, its limits. What runs goes on, and nothing acknowledged is lost."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.harness import IMAGES, Machine, eventually
from tests.e2e.test_restart import pids
from tools import images

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.xdist_group("faults")]
_DISK = "192m"


class Cramped(Machine):
    """A machine whose engine has a small disk of its own."""

    @property
    def data(self) -> Path:
        return self.shoald.folder / "data"

    def start(self, *, load: tuple[str, ...] = ("busybox", "nginx")) -> None:  # type: ignore[override]
        self.box.start()
        self.run("mkdir", "-p", str(self.data))
        self.run("mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=711", "tmpfs", str(self.data))
        self._bare = self.snapshot()
        self.shoald.start()
        for name in load:
            self.docker("load", "-q", "-i", str(images.build(name, IMAGES)))

    def file(self, *parts: str) -> Path:
        """A file below the data root, as it is seen from outside of the box."""
        return Path(f"/proc/{self.box.pid}/root", str(self.data)[1:], *parts)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Not a byte is left meanwhile."""
        ballast = self.file("ballast")
        with open(ballast, "wb", buffering=0) as file:
            try:
                while file.write(b"\0" * 65536):
                    pass
            except OSError:
                pass
        try:
            yield
        finally:
            ballast.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written meanwhile: what is open for writing keeps a file system from becoming so itself."""
        self.run("mount", "-o", "remount,ro", str(self.data))
        try:
            yield
        finally:
            self.run("mount", "-o", "remount,rw", str(self.data))

    def answers(self) -> bool:
        return self.http(f"http://{self.address}:80", netns=self.neighbour) == "200"


@pytest.fixture(scope="module")
def cramped_machine() -> Iterator[Cramped]:
    machine = Cramped(Path(tempfile.mkdtemp(prefix="shoal-faults-")))
    try:
        machine.start()
        yield machine
    finally:
        machine.stop()


@pytest.fixture
def cramped(cramped_machine: Cramped) -> Cramped:
    """A swarm of one with a service of two tasks on port 80."""
    machine = cramped_machine
    if not machine.shoald.running:
        machine.shoald.start()
    machine.reset()
    machine.docker("swarm", "init")
    machine.docker("service", "create", "-q", "-d", "--name", "web", "--replicas", "2", "--publish", "80:80", "nginx")
    machine.running("web", "2/2")
    return machine


def is_whole(machine: Cramped) -> None:
    """Assert that everything works, without anybody having restarted anything."""
    machine.docker("service", "scale", "-d", "web=3")
    machine.running("web", "3/3")
    assert machine.docker("node", "ls", "--format", "{{.Status}}").lines == ["Ready"]
    assert machine.docker("run", "--rm", "busybox", "echo", "hello").out == "hello"
    assert machine.answers()
    assert "Traceback" not in (log := machine.shoald.log.read_text()), log


def test_a_full_disk(cramped: Cramped) -> None:
    cramped.docker("run", "-d", "--name", "brief", "busybox", "sh", "-c", "sleep 2; exit 7")
    cramped.docker("run", "-d", "--name", "plain", "busybox", "sleep", "1000")
    before = pids(cramped)
    with cramped.full():
        why = f"no space left on device: free some below {cramped.data}"
        for words in (
            ("service", "create", "-d", "--name", "more", "nginx"),
            ("service", "scale", "-d", "web=5"),
            ("network", "create", "-d", "overlay", "over"),
            ("volume", "create", "vol"),
            ("rename", "plain", "other"),
        ):
            ran = cramped.docker(*words, check=False)
            assert ran.status != 0 and why in ran.text, (words, ran.text)
        for words in (("run", "-d", "busybox", "true"), ("load", "-i", str(IMAGES / "nginx.tar"))):
            ran = cramped.docker(*words, check=False)
            assert ran.status != 0 and "no space left on device" in ran.text, (words, ran.text)
        assert cramped.docker("service", "ls", "-q").lines == cramped.docker("service", "ls", "-qf", "name=web").lines
        assert not cramped.docker("network", "ls", "-qf", "name=over").lines
        assert not cramped.docker("volume", "ls", "-qf", "name=vol").lines
        eventually(lambda: cramped.inspect("brief")["State"]["Status"] == "exited")
        assert cramped.inspect("brief")["State"]["ExitCode"] == 7
        cramped.docker("stop", "-t", "0", "plain")
        assert cramped.answers()
        time.sleep(2)
    tasks = {key: pid for key, pid in before.items() if key in pids(cramped)}
    assert pids(cramped) == tasks and len(tasks) == 2
    is_whole(cramped)
    cramped.shoald.kill()
    cramped.shoald.start()
    state = cramped.inspect("brief")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 7), "it was written as soon as there was room"
    assert cramped.inspect("plain")["State"]["Status"] == "exited"


def test_a_task_that_dies_on_a_full_disk_is_replaced_later(cramped: Cramped) -> None:
    with cramped.full():
        [first, _] = cramped.containers("web")
        cramped.run("kill", "-9", str(cramped.inspect(first)["State"]["Pid"]))
        time.sleep(6)
        # The manager cannot take down that one of the two is gone: every second connection is refused.
        assert any(cramped.answers() for _ in range(2))
    cramped.running("web", "2/2")
    assert first not in cramped.containers("web")
    is_whole(cramped)
