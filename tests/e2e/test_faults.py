"""The machine fails shoald: its disk, its files, its limits. What runs goes on, and nothing acknowledged is lost."""

import os
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.harness import IMAGES, Machine, eventually, pids
from tests.e2e.test_images import push, serve
from tools import images
from tools.engine import EngineError

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.xdist_group("faults")]
_DISK = "192m"


class Cramped(Machine):
    """A machine whose engine has a small disk of its own."""

    log_start = 0
    disk: tuple[str, ...] = ("-t", "tmpfs", "-o", f"size={_DISK},mode=711", "tmpfs")

    @property
    def data(self) -> Path:
        return self.shoald.folder / "data"

    def start(self, *, load: tuple[str, ...] = ("busybox", "nginx")) -> None:  # type: ignore[override]
        self.box.start()
        self.run("mkdir", "-p", str(self.data))
        assert self.run("mount", *self.disk, str(self.data)).status == 0
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

    def logged(self) -> str:
        """What shoald has logged since the test began."""
        return self.shoald.log.read_text()[self.log_start :]

    def spoil(self, *parts: str) -> None:
        """Damage a database, and take away the log that may have all of it once more."""
        path = self.file(*parts)
        content = bytearray(path.read_bytes())
        content[: len(content) // 2] = os.urandom(len(content) // 2)
        path.write_bytes(content)
        path.with_name(f"{path.name}-wal").unlink(missing_ok=True)

    def answers(self) -> bool:
        return self.http(f"http://{self.address}:80", netns=self.neighbour) == "200"


@pytest.fixture(scope="module")
def cramped_machine() -> Iterator[Cramped]:
    machine = Cramped(Path(tempfile.mkdtemp(prefix="shoal-faults-")))
    try:
        machine.start()
        yield machine
    except BaseException:
        machine.stop()
        raise
    left = machine.stop()
    assert not left, "left behind:\n" + "\n".join(left)


@pytest.fixture
def cramped(cramped_machine: Cramped) -> Cramped:
    """A swarm of one with a service of two tasks on port 80."""
    machine = cramped_machine
    if not machine.shoald.running:
        machine.shoald.start()
    machine.reset()
    machine.log_start = machine.shoald.log.stat().st_size
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
    assert "Traceback" not in (log := machine.logged()), log


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


def test_a_pull_on_a_full_disk(cramped: Cramped, tmp_path: Path) -> None:
    with contextmanager(serve)(cramped, tmp_path, password=False) as where:
        push(cramped, where, "some/busybox")
        # The registry is asked for blobs that are not here yet.
        cramped.docker("rmi", "-f", "busybox")
        with cramped.full():
            ran = cramped.docker("pull", f"{where}/some/busybox:v1", check=False)
            assert ran.status != 0 and "no space left on device" in ran.text, ran.text
        cramped.docker("pull", f"{where}/some/busybox:v1")
    cramped.docker("load", "-q", "-i", str(IMAGES / "busybox.tar"))
    is_whole(cramped)


def test_logs_on_a_full_disk(cramped: Cramped) -> None:
    cramped.docker(
        "run", "-d", "--name", "talker", "busybox", "sh", "-c", "n=0; while usleep 20000; do echo $((n+=1)); done"
    )
    eventually(lambda: len(cramped.docker("logs", "talker").lines) > 2)
    with cramped.full():
        time.sleep(2)
        cramped.docker("logs", "talker")
    last = int(cramped.docker("logs", "--tail", "1", "talker").out or 0)
    eventually(lambda: int(cramped.docker("logs", "--tail", "1", "talker").out or 0) > last + 10)
    numbers = [int(line) for line in cramped.docker("logs", "talker").lines]
    assert numbers == sorted(set(numbers)), "what was lost is lost whole, and nothing is torn"
    is_whole(cramped)


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


def test_a_start_on_a_full_disk_says_what_to_do(cramped: Cramped) -> None:
    cramped.shoald.kill()
    with cramped.full():
        try:
            cramped.shoald.start()
        except EngineError:
            said = cramped.shoald.log_end(1)
            assert (
                "failed to start daemon: " in said
                and f"no space left on device: free some below {cramped.data}" in said
            )
        assert cramped.answers()
    if not cramped.shoald.running:
        cramped.shoald.start()
    is_whole(cramped)


@contextmanager
def cgroup(machine: Cramped, controller: str, **limits: str) -> Iterator[None]:
    """The daemon alone under limits: cgroup v1's file names, with an underscore for the point."""
    base = Path("/sys/fs/cgroup")
    if not (base / controller).is_dir():
        pytest.skip(f"no cgroup v1 controller {controller}")
    folder = base / controller / f"{machine.folder.name}-fault"
    folder.mkdir()
    try:
        # First the limits: one that is below what is in use already cannot be set.
        for name, value in limits.items():
            (folder / name.replace("_", ".", 1)).write_text(value)
        (folder / "cgroup.procs").write_text(str(machine.shoald.pid))
        yield
    finally:
        for pid in (folder / "cgroup.procs").read_text().split():
            (folder.parent / "cgroup.procs").write_text(pid)
        eventually(lambda: not (folder / "cgroup.procs").read_text())
        folder.rmdir()


def test_no_more_processes(cramped: Cramped) -> None:
    threads = len(os.listdir(f"/proc/{cramped.shoald.pid}/task"))
    # The threads that see links go are started when there is something to see.
    with cgroup(cramped, "pids", pids_max=str(threads + 4)):
        for _ in range(3):
            ran = cramped.docker("run", "--rm", "busybox", "echo", "hello", check=False)
            assert ran.out == "hello" or "Error" in ran.text, ran.text
            assert "internal error" not in ran.text
        assert cramped.answers()
        assert cramped.docker("service", "ls", "-q").lines
    is_whole(cramped)


def test_no_more_files(cramped: Cramped) -> None:
    pid = cramped.shoald.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    for room in (0, 2, 4, 8):
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + room, usual[1]))
        try:
            ran = cramped.docker("load", "-i", str(IMAGES / "busybox.tar"), check=False, timeout=20)
            assert "internal error" not in ran.text, ran.text
        except subprocess.TimeoutExpired:
            assert room < 4, "there was room for an answer"
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
        assert cramped.answers()
    is_whole(cramped)


def test_no_more_memory(cramped: Cramped) -> None:
    """The kernel kills it, and whoever started it starts it again: no task has noticed."""
    before = pids(cramped)
    with cgroup(cramped, "memory", memory_limit_in_bytes="4096"):
        for _ in range(50):
            if not cramped.shoald.running:
                break
            cramped.docker("info", check=False)
        assert not cramped.shoald.running
        assert cramped.answers()
    cramped.shoald.start()
    assert pids(cramped) == before
    is_whole(cramped)


def test_a_damaged_database_of_the_node(cramped: Cramped) -> None:
    cramped.docker("run", "-d", "--name", "plain", "-p", "8080:80", "nginx")
    before = pids(cramped)
    cramped.shoald.kill()
    cramped.spoil("node.db")
    for _ in range(2):
        with pytest.raises(EngineError):
            cramped.shoald.start()
        said = cramped.shoald.log_end(1)
        assert re.search(
            r"failed to start daemon: the node's state in \S+/node.db cannot be trusted: .*--recover", said
        )
        assert cramped.answers()
    ran = cramped.run(*cramped.shoald.command(), "--recover", "--validate")
    assert ran.status == 0, "which only looks at the configuration"
    cramped.shoald.start("--recover")
    assert "recover:   restored from its own files: container " in cramped.logged()
    assert pids(cramped) == before, "nothing was restarted"
    assert cramped.http(f"http://{cramped.address}:8080", netns=cramped.neighbour) == "200"
    cramped.docker("exec", "plain", "true")
    is_whole(cramped)
    assert list(cramped.file().glob("node.db.damaged-*"))
    cramped.shoald.kill()
    cramped.shoald.start()
    assert before.items() <= pids(cramped).items()


def test_a_damaged_state_of_the_swarm_and_a_backup(cramped: Cramped) -> None:
    backup = cramped.folder / "swarm.tar"
    said = cramped.shoal("state", "export", str(backup))
    assert backup.stat().st_mode & 0o777 == 0o600 and "keys" in said.err
    before = pids(cramped)
    cramped.shoald.kill()
    cramped.spoil("swarm", "state.db")
    cramped.shoald.start()
    assert cramped.answers() and pids(cramped) == before
    info = cramped.docker("info", "--format", "{{json .Swarm}}").json()
    assert info["LocalNodeState"] == "error" and "state.db cannot be trusted" in info["Error"]
    ran = cramped.docker("service", "ls", check=False)
    assert ran.status == 1 and "the manager on this node does not run: the swarm's state in" in ran.err
    assert "shoal state import --force FILE" in ran.err and "--recover" in ran.err
    assert cramped.docker("swarm", "leave", check=False).status == 1
    assert cramped.shoal("state", "export", "-", check=False).status == 1
    refused = cramped.shoal("state", "import", str(backup), check=False)
    assert refused.status == 1 and "--force" in refused.err
    assert "is back as it was" in cramped.shoal("state", "import", "--force", str(backup)).out
    assert pids(cramped) == before, "tasks that run are taken over"
    is_whole(cramped)


def test_a_backup_founds_the_swarm_again(cramped: Cramped) -> None:
    backup = cramped.folder / "moved.tar"
    cramped.shoal("state", "export", str(backup))
    token = cramped.docker("swarm", "join-token", "-q", "worker").out
    cramped.docker("swarm", "leave", "--force")
    rubbish = cramped.shoal("state", "import", "-", input="rubbish", check=False)
    assert rubbish.status == 1 and "no backup of a swarm" in rubbish.err
    cramped.shoal("state", "import", str(backup))
    assert cramped.docker("swarm", "join-token", "-q", "worker").out == token
    cramped.running("web", "2/2")
    is_whole(cramped)


class OnExt4(Cramped):
    """With a file system that the kernel makes read-only when it fails."""

    @property
    def disk(self) -> tuple[str, ...]:  # type: ignore[override]
        image = self.folder / "disk"
        with open(image, "wb") as file:
            file.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        return ("-o", "loop", str(image))


def test_a_disk_that_becomes_read_only() -> None:
    machine = OnExt4(Path(tempfile.mkdtemp(prefix="shoal-faults-")))
    try:
        machine.start()
        machine.docker("swarm", "init")
        machine.docker("service", "create", "-q", "-d", "--name", "web", "--publish", "80:80", "nginx")
        machine.running("web", "1/1")
        assert machine.run("mount", "-o", "remount,abort", str(machine.data)).status == 0
        why = f"the file system of {machine.data} is read-only: mount it writable"
        for words in (("service", "scale", "-d", "web=5"), ("volume", "create", "vol")):
            ran = machine.docker(*words, check=False)
            assert ran.status != 0 and why in ran.text, (words, ran.text)
        assert machine.docker("service", "ls", "--format", "{{.Replicas}}").lines == ["1/1"]
        assert machine.answers()
        machine.shoald.kill()
        with pytest.raises(EngineError):
            machine.shoald.start()
        said = machine.shoald.log_end(1)
        assert "failed to start daemon: " in said and why in said, said
        assert machine.answers()
        assert "Traceback" not in (log := machine.shoald.log.read_text()), log
    finally:
        if machine.shoald.running:
            machine.shoald.kill()
        machine.stop()
