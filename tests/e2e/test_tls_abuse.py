"""A real shoald's TLS ports under clients that mean it ill: the API's (``--tlsverify``) and the swarm's own."""

import contextlib
import os
import shutil
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.e2e.certificates import Authority
from tests.e2e.harness import Machine, eventually
from tools.engine import Shoald

from shoal.daemon.backup import unpack
from shoal.kernel import netns
from shoal.objects.ids import ClusterId, NodeId
from shoal.objects.node import NodeDescription
from shoal.pki.authority import RootCA, new_key, request
from shoal.pki.files import CERTIFICATE_FILE, KEY_FILE, ROOT_FILE
from shoal.pki.identity import WORKER, NodeIdentity
from shoal.wire.cluster import Hello, pack

pytestmark = [pytest.mark.root, pytest.mark.e2e]

API, SWARM = 2376, 2377
MEGABYTE = 1 << 20
CONNECTIONS = 1200


@dataclass
class Port:
    """A port of a daemon's on the machine's loopback, and what its clients show there."""

    machine: Machine
    daemon: Shoald
    number: int
    client: ssl.SSLContext

    def connect(self) -> socket.socket:
        def make() -> socket.socket:
            return socket.create_connection(("127.0.0.1", self.number), timeout=10)

        return netns.run_in(Path(f"/proc/{self.daemon.pid}/ns/net"), make)

    def secure(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        return (context or self.client).wrap_socket(self.connect(), server_hostname="127.0.0.1")

    def quick(self) -> None:
        """Somebody else is served."""
        begun = time.monotonic()
        with self.secure() as client:
            client.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 ")
        assert time.monotonic() - begun < 2

    @property
    def memory(self) -> int:
        status = Path(f"/proc/{self.daemon.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    @property
    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.daemon.pid}/fd"))

    @property
    def logged(self) -> list[str]:
        return self.daemon.log.read_text().splitlines()


def trusting(certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """A client that takes any server, and shows this."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


@pytest.fixture(name="api")
def _api(machine: Machine, tmp_path: Path) -> Iterator[Port]:
    ours = Authority("ours")
    server, client = ours.write(tmp_path / "server", "server"), ours.write(tmp_path / "client", "client")
    tls = ["--tlscacert", f"{server}/ca.pem", "--tlscert", f"{server}/cert.pem", "--tlskey", f"{server}/key.pem"]
    daemon = Shoald(
        machine.folder / "beside",
        machine.box.enter,
        flags=["--bridge", "none", "-H", f"tcp://127.0.0.1:{API}", "--tlsverify", *tls],
        cgroup_parent=f"{machine.shoald.cgroup_parent}-beside",
    )
    daemon.start()
    try:
        yield Port(machine, daemon, API, trusting(client / "cert.pem", client / "key.pem"))
    finally:
        daemon.stop()


@pytest.fixture(name="port")
def _port(swarm: Machine, tmp_path: Path) -> Port:
    """The swarm's, with the node's own certificate."""
    folder = swarm.shoald.folder / "data" / "swarm" / "certificates"
    return Port(swarm, swarm.shoald, SWARM, trusting(folder / CERTIFICATE_FILE, folder / KEY_FILE))


def client_hello() -> bytes:
    """As a client sends it first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trusting().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


def records(kind: int, body: bytes) -> bytes:
    """TLS records of 16 KB with this in them."""
    parts = [body[at : at + 16384] for at in range(0, len(body), 16384)]
    return b"".join(struct.pack(">BHH", kind, 0x0301, len(part)) + part for part in parts)


HELLO = client_hello()
OPENINGS: dict[str, bytes] = {
    "nothing": b"",
    "half a hello": HELLO[: len(HELLO) // 2],
    "a hello": HELLO,
    "plain text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "garbage": b"\x00\xff" * 500,
    "a record that does not end": struct.pack(">BHH", 22, 0x0301, 0x4000) + b"x" * 100,
    "a hello of 16 MB": records(22, b"\x01\xff\xff\xff" + bytes(MEGABYTE)),
    "a hello of a megabyte": records(22, b"\x01\x10\x00\x00" + bytes(MEGABYTE)),
    "alerts": records(21, b"\x01\x00" * 2000),
    "empty records": struct.pack(">BHH", 22, 0x0301, 0) * 5000,
}


def leave_open(port: Port, opening: bytes) -> socket.socket:
    client = port.connect()
    with contextlib.suppress(OSError):  # it has had enough
        client.sendall(opening)
    return client


@pytest.mark.parametrize("which", ["api", "port"])
def test_handshakes_that_do_not_end_cost_little_and_hold_up_nobody(which: str, request: pytest.FixtureRequest) -> None:
    port: Port = request.getfixturevalue(which)
    port.quick()
    files, memory, logged = port.files, port.memory, len(port.logged)
    with contextlib.ExitStack() as clients:
        for number in range(CONNECTIONS):
            clients.enter_context(leave_open(port, list(OPENINGS.values())[number % len(OPENINGS)]))
            if number % 300 == 0:
                port.quick()
        port.quick()
        print(
            which, "memory", (port.memory - memory) / MEGABYTE, "files", port.files - files, port.logged[logged:][-8:]
        )
        assert port.memory - memory < 150 * MEGABYTE
    eventually(lambda: port.files <= files + 5)
    port.quick()
    assert port.logged[logged:] == []


def test_who_does_not_belong_to_the_swarm_gets_no_session(port: Port, tmp_path: Path) -> None:
    theirs = Authority("theirs").write(tmp_path / "theirs", "stranger")
    logged = len(port.logged)
    stranger = trusting(theirs / "cert.pem", theirs / "key.pem")
    with pytest.raises((ssl.SSLError, ConnectionError)), port.secure(stranger) as client:
        # In TLS 1.3 a client is told only after its own side of the handshake.
        client.sendall(SESSION)
        assert client.recv(100) == b"", "it was answered"
        raise ConnectionError
    # Who has no certificate yet may ask for one, and for nothing else.
    with port.secure(trusting()) as client:
        client.sendall(SESSION)
        assert client.recv(100).startswith(b"HTTP/1.1 403 ")
    port.quick()
    assert port.logged[logged:] == []


SESSION = (
    b"GET /v1/session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
CONTINUATION, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9


def frame(kind: int, body: bytes, *, last: bool = True, length: int | None = None) -> bytes:
    """A WebSocket frame as clients send it, masked with zeroes; ``length`` is what its head says."""
    size = len(body) if length is None else length
    head = bytes([kind | (0x80 if last else 0), 0x80 | 127]) + struct.pack(">Q", size)
    return head + bytes(4) + body


def hello() -> bytes:
    return pack(Hello(description=NodeDescription(), addr="127.0.0.1"))


SAID: dict[str, bytes] = {
    "a text": frame(TEXT, b"hello"),
    "a close": frame(CLOSE, b"\x03\xe8"),
    "nothing": frame(BINARY, b""),
    "garbage": frame(BINARY, b"\xc1\xff" * 100),
    "another type": frame(BINARY, b"\x81\xa1t\xa4Nope"),
    "a nest": frame(BINARY, b"\x91" * 100_000),
    "a map of nests": frame(BINARY, b"\x82\xa4type\xa5Hello\xa1x" + b"\x91" * 100_000),
    "a long list that is not there": frame(BINARY, b"\xdd\xff\xff\xff\xff"),
    "a frame that is not there": frame(BINARY, b"x", length=1 << 62),
    "a continuation of nothing": frame(CONTINUATION, b"x"),
    "no text": frame(TEXT, b"\xff\xfe"),
    "pings": frame(PING, b"x" * 100) * 2000,
}


@pytest.fixture(name="worker")
def _worker(port: Port, tmp_path: Path) -> ssl.SSLContext:
    """A certificate that the swarm's own authority has signed, for a worker that nobody knows."""
    exported = tmp_path / "swarm.tar"
    port.machine.shoal("state", "export", str(exported))
    with exported.open("rb") as file:
        cluster = unpack(file).cluster
    certificates = port.daemon.folder / "data" / "swarm" / "certificates"
    authority = RootCA.load((certificates / ROOT_FILE).read_bytes(), cluster.root_ca_key.encode())
    node = NodeIdentity(NodeId("x" * 25), WORKER, ClusterId(cluster.id))
    key = new_key()
    (tmp_path / "worker.key").write_bytes(key)
    (tmp_path / "worker.crt").write_bytes(authority.sign(request(key), node, datetime.now(UTC)))
    return trusting(tmp_path / "worker.crt", tmp_path / "worker.key")


@pytest.mark.parametrize("after_hello", [False, True])
def test_a_node_that_talks_nonsense_is_let_go(port: Port, worker: ssl.SSLContext, after_hello: bool) -> None:
    """A stranger to the manager before it has said who it is; this node's own agent, as it were, after that."""
    logged, memory = len(port.logged), port.memory
    for what, said in SAID.items():
        with port.secure(port.client if after_hello else worker) as client:
            client.sendall(SESSION + (frame(BINARY, hello()) if after_hello else b"") + said)
            client.settimeout(3)
            with contextlib.suppress(OSError):
                while client.recv(65536):
                    pass
        port.quick()
        lines = port.logged[logged:]
        logged += len(lines)
        assert len(lines) <= 1 + after_hello and "Traceback" not in "".join(lines), (what, lines)
    assert port.memory - memory < 100 * MEGABYTE
    eventually(lambda: "Ready" in port.machine.docker("node", "ls").out)


def test_a_message_without_end_is_cut_off(port: Port, worker: ssl.SSLContext) -> None:
    logged, memory = len(port.logged), port.memory
    with port.secure(worker) as client:
        client.sendall(SESSION + frame(BINARY, bytes(MEGABYTE), last=False))
        with contextlib.suppress(OSError):
            for _ in range(300):
                client.sendall(frame(CONTINUATION, bytes(MEGABYTE), last=False))
        assert port.memory - memory < 60 * MEGABYTE
    port.quick()
    assert len(port.logged) <= logged + 1


def test_renegotiation_is_refused(api: Port, tmp_path: Path) -> None:
    """What costs the server much and the client little, in TLS 1.2: 3 has none. ``R`` is s_client's word for it."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to ask with")
    where, client = f"127.0.0.1:{API}", tmp_path / "client"
    command = ["openssl", "s_client", "-connect", where, "-tls1_2", "-cert", f"{client}/cert.pem"]
    ran = api.machine.run(*command, "-key", f"{client}/key.pem", input="R\n" * 20, timeout=20)
    assert "no renegotiation" in ran.text
    api.quick()
    assert "Traceback" not in "".join(api.logged)
