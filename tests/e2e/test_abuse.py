"""A real shoald under clients that mean it ill: what it holds stays bounded, and nobody else waits."""

import contextlib
import http.client
import io
import json
import os
import socket
import tarfile
import time
from pathlib import Path

import pytest
from tests.e2e.harness import Machine, eventually

pytestmark = [pytest.mark.root, pytest.mark.e2e]

STREAMS = 1000
MEGABYTE = 1 << 20


class Client(http.client.HTTPConnection):
    """HTTP over the machine's socket."""

    def __init__(self, machine: Machine) -> None:
        super().__init__("docker", timeout=20)
        self._path = str(machine.shoald.socket)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, str]:
        self.request(method, path, body, {"Content-Type": kind} if body is not None else {})
        answer = self.getresponse()
        return answer.status, answer.read().decode()


def ask(
    machine: Machine, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
) -> tuple[int, str]:
    """One request on a connection of its own."""
    with contextlib.closing(Client(machine)) as client:
        return client.ask(method, path, body, kind)


def memory(machine: Machine) -> int:
    status = Path(f"/proc/{machine.shoald.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def descriptors(machine: Machine) -> int:
    return len(os.listdir(f"/proc/{machine.shoald.pid}/fd"))


def quick(machine: Machine) -> None:
    """Somebody else is served."""
    begun = time.monotonic()
    assert ask(machine, "GET", "/_ping") == (200, "OK")
    assert time.monotonic() - begun < 2


def no_traceback(machine: Machine) -> None:
    assert "Traceback" not in machine.shoald.log.read_text()


def test_idle_streams_and_stalled_readers_cost_little_and_are_let_go(machine: Machine) -> None:
    quick(machine)
    files, before = descriptors(machine), memory(machine)
    streams = []
    for number in range(STREAMS):
        client = Client(machine)
        client.connect()
        client.sock.sendall(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
        # One in two is never read from.
        if number % 2:
            assert client.sock.recv(4096).startswith(b"HTTP/1.1 200")
        streams.append(client)
    quick(machine)
    changes = Client(machine)
    for _ in range(100):
        body = json.dumps({"Name": "v1", "Labels": {"a": "x" * 200}}).encode()
        assert changes.ask("POST", "/volumes/create", body)[0] == 201
        assert changes.ask("DELETE", "/volumes/v1")[0] == 204
    quick(machine)
    assert memory(machine) - before < 150 * MEGABYTE
    for client in (changes, *streams):
        client.close()
    eventually(lambda: descriptors(machine) <= files + 5)
    no_traceback(machine)


def test_a_body_without_end_is_cut_off(machine: Machine) -> None:
    quick(machine)
    before = memory(machine)
    client = Client(machine)
    client.connect()
    client.sock.sendall(
        b"POST /volumes/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000000\r\n\r\n"
    )
    with pytest.raises(ConnectionError):
        for _ in range(1000):
            client.sock.sendall(b"[" * MEGABYTE)
    assert memory(machine) - before < 100 * MEGABYTE
    client.close()
    quick(machine)
    no_traceback(machine)


def test_no_archive_leads_out_of_a_running_container(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    before = os.stat(tmp_path / "secret")
    machine.docker("run", "-d", "--name", "target", "busybox", "sleep", "600")
    machine.docker("exec", "target", "ln", "-s", str(tmp_path), "/out")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("secret")
        info.size, info.mode = 7, 0o4777
        tar.addfile(info, io.BytesIO(b"changed"))
    for path in ("/out", "/out/", "/../../out", "/%2e%2e/out", "/proc/1/root/out", "/out%00"):
        status, _ = ask(
            machine, "PUT", f"/containers/target/archive?path={path}", buffer.getvalue(), "application/x-tar"
        )
        assert status in (200, 400, 404)
        status, said = ask(machine, "GET", f"/containers/target/archive?path={path}/secret")
        assert status in (200, 404) and "secret\n" not in said
    after = os.stat(tmp_path / "secret")
    assert (tmp_path / "secret").read_text() == "secret"
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    no_traceback(machine)


def test_hostile_images_leave_nothing(machine: Machine) -> None:
    spool = machine.shoald.folder / "data" / "tmp"
    images = machine.docker("images", "-aq").lines
    for body in (b"", b"x" * 5000, b"\x1f\x8b" + b"x" * 5000, b"BZh9" + b"x" * 99):
        status, said = ask(machine, "POST", "/images/load", body, "application/x-tar")
        assert status == 400 and json.loads(said)["message"]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a"))
        info = tarfile.TarInfo("b")
        info.size = 5000
        tar.addfile(info, io.BytesIO(bytes(5000)))
    status, said = ask(machine, "POST", "/images/create?fromSrc=-", buffer.getvalue()[:2000], "application/x-tar")
    assert status == 400 and "cannot be unpacked: unexpected EOF" in said
    assert machine.docker("images", "-aq").lines == images
    assert not list(spool.iterdir())
    no_traceback(machine)
