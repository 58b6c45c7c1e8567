"""Where shoald listens beside its own socket: TCP, with certificates and without."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.e2e.certificates import Authority
from tests.e2e.harness import BIN, Machine, Ran
from tools.engine import Shoald

pytestmark = [pytest.mark.root, pytest.mark.e2e]

HOST = "tcp://127.0.0.1:2376"
VERSION = ("version", "--format", "{{.Server.Version}}")
PROGRAMS = pytest.mark.parametrize("program", ["docker", str(BIN / "shoal")], ids=["docker", "shoal"])
Start = Callable[..., Shoald]


@pytest.fixture(scope="module", name="certificates")
def _certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders as DOCKER_CERT_PATH has them: the server's, a client's, one without a certificate, and two strangers',
    of whom the one at least trusts our authority."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority("ours")
    authority.write(folder / "server", "server")
    authority.write(folder / "client", "client")
    Authority("theirs").write(folder / "apart", "stranger")
    shutil.copytree(folder / "apart", folder / "stranger")
    (folder / "bare").mkdir()
    for name in ("stranger", "bare"):
        shutil.copy(folder / "client" / "ca.pem", folder / name)
    return folder


@pytest.fixture(name="start")
def _start(machine: Machine) -> Iterator[Start]:
    """Starts a daemon of its own in the machine, which is ended with the test."""
    with ExitStack() as ends:

        def start(*flags: str) -> Shoald:
            daemon = beside(machine, *flags)
            daemon.start()
            ends.callback(daemon.stop)
            return daemon

        yield start


def beside(machine: Machine, *flags: str) -> Shoald:
    """A daemon that needs nothing of the machine's that the first one has."""
    return Shoald(
        machine.folder / "beside",
        machine.box.enter,
        flags=["--bridge", "none", *flags],
        cgroup_parent=f"{machine.shoald.cgroup_parent}-beside",
    )


def tls(folder: Path) -> list[str]:
    return ["--tlscacert", f"{folder}/ca.pem", "--tlscert", f"{folder}/cert.pem", "--tlskey", f"{folder}/key.pem"]


def ask(machine: Machine, program: str, *words: str, host: str = HOST, certificates: Path | None = None) -> Ran:
    """A command to the daemon at ``host``, with certificates as the environment names them."""
    env = {"DOCKER_HOST": host, "DOCKER_CONFIG": str(machine.folder / "docker-config")}
    if certificates is not None:
        env |= {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(certificates)}
    return machine.run(program, *words, env=env)


def test_with_tlsverify_only_who_has_a_certificate_gets_in(machine: Machine, start: Start, certificates: Path) -> None:
    daemon = start("-H", HOST, "--tlsverify", *tls(certificates / "server"))
    newest = ask(machine, "docker", *VERSION, host=daemon.host).out
    assert newest
    for program in ("docker", str(BIN / "shoal")):
        by_flags = ask(machine, program, "--tlsverify", *tls(certificates / "client"), *VERSION)
        by_environment = ask(machine, program, *VERSION, certificates=certificates / "client")
        assert (by_flags.text, by_environment.text) == (newest, newest)
        for folder, why in (
            ("bare", "certificate required"),
            ("stranger", "unknown c"),
            ("apart", "certificate"),
            ("nowhere", f"unable to resolve docker endpoint: open {certificates}/nowhere/ca.pem: no such file"),
        ):
            refused = ask(machine, program, "ps", certificates=certificates / folder)
            assert refused.status == 1
            assert why in refused.err and len(refused.err.splitlines()) == 1, refused.err
        plain = ask(machine, program, "ps")
        assert plain.err == "Error response from daemon: Client sent an HTTP request to an HTTPS server."
        assert plain.status == 1
    shown = machine.run("curl", "-s", "-m", "5", "-w", "%{http_code}", "http://127.0.0.1:2376/_ping").out
    assert shown == "Client sent an HTTP request to an HTTPS server.\n400"
    assert "Traceback" not in daemon.log.read_text()


@PROGRAMS
def test_with_tls_alone_nobody_is_asked_for_a_certificate(
    machine: Machine, start: Start, certificates: Path, program: str
) -> None:
    server = certificates / "server"
    start("-H", HOST, "--tls", "--tlscert", f"{server}/cert.pem", "--tlskey", f"{server}/key.pem")
    assert ask(machine, program, "--tls", "--tlscacert", f"{certificates}/bare/ca.pem", *VERSION).status == 0
    for folder, status in (("bare", 0), ("stranger", 0), ("apart", 1)):
        assert ask(machine, program, *VERSION, certificates=certificates / folder).status == status
    assert "Client sent an HTTP request to an HTTPS server." in ask(machine, program, "ps").err


@PROGRAMS
def test_several_places_at_once(machine: Machine, start: Start, tmp_path: Path, program: str) -> None:
    places = ["tcp://127.0.0.1:2375", "tcp://127.0.0.1:2374", f"unix://{tmp_path}/second.sock"]
    daemon = start(*(word for place in places for word in ("-H", place)))
    for host in (daemon.host, *places):
        assert ask(machine, program, "volume", "create", "one", host=host).text == "one"
    assert "whoever can reach 127.0.0.1:2375 " in daemon.log.read_text()
    assert ask(machine, program, "volume", "rm", "one", host=places[0]).text == "one"


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--tls"], "could not load X509 key pair (cert: /etc/docker/cert.pem, key: /etc/docker/key.pem): open /etc/"),
        (
            ["--tlsverify", "{server}", "--tlscacert", "/nope/ca.pem"],
            "could not read CA certificate /nope/ca.pem: no su",
        ),
        (["--tlsverify", "{server}", "--tlscacert", "{key}"], "could not read CA certificate"),
        (["--tls", "{server}", "--tlskey", "{other}"], "key values mismatch"),
        (["--tls", "{server}", "--tlscert", "/"], "open /: is a directory"),
        (["-H", "tcp://127.0.0.1:port"], "Invalid bind address format: tcp://127.0.0.1:port"),
        (["-H", "tcp://192.0.2.1:2375"], "listen tcp 192.0.2.1:2375: bind: cannot assign requested address"),
    ],
)
def test_what_cannot_be_ends_it_at_the_start(machine: Machine, certificates: Path, flags: list[str], why: str) -> None:
    before = machine.snapshot()
    words = {"{key}": [f"{certificates}/server/key.pem"], "{other}": [f"{certificates}/client/key.pem"]}
    words["{server}"] = tls(certificates / "server")
    daemon = beside(machine, "-H", HOST, *(w for flag in flags for w in words.get(flag, [flag])))
    ran = machine.run(*daemon.command())
    assert ran.status == 1
    assert [line for line in ran.err.splitlines() if " WARNING " not in line] == [ran.err.splitlines()[-1]]
    assert ran.err.splitlines()[-1].startswith("failed to start daemon: ") and why in ran.err
    assert machine.left(before, kinds=("process", "mount", "link", "nft table")) == []
