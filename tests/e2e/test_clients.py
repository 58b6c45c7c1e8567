"""The lab's main thread and plain containers, by each docker client that has to work: the one on PATH and Debian's.

tools/setup.sh brings Debian's (20.10, which speaks version 1.41 of the API) without installing it. Where the one on
PATH is the very same, there is one client to try.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import NOT_A_MANAGER, ROOT, Machine, eventually

pytestmark = [pytest.mark.root, pytest.mark.e2e]

ON_PATH = shutil.which("docker") or "docker"
DEBIANS = str(ROOT / "build" / "debian" / "docker")
CLIENTS = {os.path.realpath(program): program for program in (DEBIANS, ON_PATH)}.values()


@pytest.fixture(params=CLIENTS, ids=lambda program: "debian" if program == DEBIANS else "path")
def client(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Machine]:
    """The machine, its ``docker`` being one of the clients."""
    assert os.access(request.param, os.X_OK), f"there is no {request.param}: tools/setup.sh dev brings it"
    machine.client = request.param
    yield machine
    machine.client = "docker"


def test_both_speak_the_clients_version(client: Machine) -> None:
    own, negotiated, newest = client.docker(
        "version", "--format", "{{.Client.DefaultAPIVersion}} {{.Client.APIVersion}} {{.Server.APIVersion}}"
    ).out.split()
    assert (negotiated, newest) == (min(own, "1.50", key=lambda text: int(text[2:])), "1.50")
    info = client.docker("info", "--format", "{{.Swarm.LocalNodeState}} {{.ServerErrors}}").out
    assert info == "inactive []"
    assert "Storage Driver: " in client.docker("info").out
    assert "WARNING" not in client.docker("info").text


def test_the_lab(client: Machine) -> None:
    said = client.docker("swarm", "init").out
    assert re.search(r"docker swarm join --token SWMTKN-1-\S+ 192\.168\.77\.10:2377", said)
    assert len(client.docker("node", "ls", "--filter", "role=manager").lines) == 2
    client.docker("network", "create", "-d", "overlay", "nginx-net")
    said = client.docker(
        *("service", "create", "--name", "web", "--publish", "target=80,published=80", "--network", "nginx-net"),
        *("--replicas=2", "--stop-grace-period", "500ms", "nginx"),
    ).out
    assert "overall progress: 2 out of 2 tasks" in said
    assert re.search(r"verify: Service (\S+ )?converged", said)
    assert re.fullmatch(
        r"[a-z0-9]{12}   web       replicated   2/2        nginx:latest   \*:80->80/tcp",
        client.docker("service", "ls").lines[1],
    )
    rows = client.docker("service", "ps", "web").lines
    assert rows[0].split() == "ID NAME IMAGE NODE DESIRED STATE CURRENT STATE ERROR PORTS".split()
    assert [re.search(r"web\.\d", row)[0] for row in rows[1:]] == ["web.1", "web.2"]  # type: ignore[index]
    assert "Ports:\n PublishedPort = 80" in client.docker("service", "inspect", "--pretty", "web").out
    (service,) = client.docker("service", "inspect", "web").json()
    (network,) = client.docker("network", "inspect", "nginx-net").json()
    assert {vip["NetworkID"] for vip in service["Endpoint"]["VirtualIPs"]} > {network["Id"]}

    for _ in range(2):
        assert client.http(f"http://{client.address}", netns=client.neighbour, agent="neighbour") == "200"
    logs = eventually(lambda: (r := client.docker("service", "logs", "web").out).count("neighbour") == 2 and r)
    assert all(re.match(r"web\.[12]\.\S+@\S+ +\| 192\.168\.77\.1 ", line) for line in logs.splitlines())

    taken = client.docker("service", "create", "--name", "other", "--publish", "80:80", "nginx", check=False)
    assert f"port '80' is already in use by service 'web' ({service['ID']}) as an ingress port" in taken.err
    assert "converged" in client.docker("service", "scale", "web=3").out
    said = client.docker(
        *("service", "update", "--env-add", "A=b", "--publish-add", "81:80", "--replicas", "1"),
        *("--update-monitor", "500ms", "web"),
    ).out
    assert "converged" in said
    assert client.http(f"http://{client.address}:81", netns=client.neighbour) == "200"

    refused = client.docker("network", "rm", "nginx-net", check=False)
    assert f"network {network['Id']} is in use by service {service['ID']}" in refused.err
    assert client.docker("service", "rm", "web").out == "web"
    assert client.docker("network", "rm", "nginx-net").out == "nginx-net"
    assert "as a manager" in client.docker("swarm", "leave", check=False).err
    assert client.docker("swarm", "leave", "--force").out == "Node left the swarm."
    gone = client.docker("service", "ls", check=False)
    assert (gone.err, gone.status) == (NOT_A_MANAGER, 1)


def test_plain_containers(client: Machine, tmp_path: Path) -> None:
    ran = client.docker(
        "run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo err >&2; exit 3", input="in", check=False
    )
    assert (ran.out, ran.err, ran.status) == ("in", "err", 3)
    assert "/dev/pts/0" in client.typed("run", "--rm", "-it", "busybox", send="tty\nexit\n", until="/ # exit")
    client.docker("run", "-d", "--name", "c0", "-p", "8080:80", "-v", "data:/data", "nginx")
    assert client.http(f"http://{client.address}:8080", netns=client.neighbour) == "200"
    assert eventually(lambda: "192.168.77.1 " in client.docker("logs", "c0").out)
    assert client.docker("exec", "c0", "sh", "-c", "echo x >/data/file; hostname").out == (
        client.docker("ps", "--format", "{{.ID}}").out
    )
    assert "/dev/pts" in client.typed("exec", "-it", "c0", "sh", send="tty\nexit\n", until="/ # exit")
    client.docker("cp", "c0:/data/file", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "x\n"
    client.docker("cp", str(tmp_path / "file"), "c0:/tmp/copy")
    assert client.docker("exec", "c0", "cat", "/tmp/copy").out == "x"
    assert client.docker("stats", "--no-stream", "--format", "{{.Name}}").out == "c0"
    assert "80/tcp -> 0.0.0.0:8080" in client.docker("port", "c0").lines
    client.docker("restart", "-t", "0", "c0")
    client.docker("stop", "-t", "0", "c0")
    assert client.docker("ps", "-a", "--format", "{{.Names}} {{.Status}}").out.startswith("c0 Exited (")
    client.docker("rm", "c0")
    client.docker("volume", "rm", "data")


def test_images(client: Machine, tmp_path: Path) -> None:
    client.docker("tag", "busybox", "mine:1")
    (row,) = client.docker("images", "mine").lines[1:]
    assert row.split()[:2] == ["mine", "1"]
    client.docker("save", "-o", str(tmp_path / "mine.tar"), "mine:1")
    assert client.docker("rmi", "mine:1").out == "Untagged: mine:1"
    assert client.docker("load", "-i", str(tmp_path / "mine.tar")).out == "Loaded image: mine:1"
    client.docker("rmi", "mine:1")
    assert "busybox" in client.docker("system", "df", "-v").out
