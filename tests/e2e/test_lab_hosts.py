"""``shoal lab``: machines made of this one, in a box that stands for it."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import BIN, IMAGES, eventually
from tests.e2e.lab import Place, a_place
from tools import images

pytestmark = [pytest.mark.root, pytest.mark.e2e, pytest.mark.xdist_group("lab hosts")]


@pytest.fixture(scope="module", name="place")
def _place() -> Iterator[Place]:
    with a_place("hosts") as place:
        yield place


@pytest.fixture(scope="module", name="lab")
def _lab(place: Place) -> Iterator[Place]:
    """A lab of two hosts; at its end there must be nothing left, even of a host that is frozen."""
    before = place.snapshot()
    said = place.lab("up", "2", "--image", str(images.build("busybox", IMAGES)), "--", "--label", "of=lab")
    assert re.search(r"^2 hosts are up after [\d.]+ s: ", said.out, re.MULTILINE), said.text
    yield place
    place.lab("pause", "node1")
    place.lab("down")
    assert place.cgroups(f"{place.name}-") == []
    assert not place.folder.exists()
    assert place.left(before) == []
    assert place.lab("down").status == 0


@pytest.fixture(name="whole")
def _whole(lab: Place) -> Place:
    """The lab with both hosts on and nothing cut, whatever came before."""
    for host, (state, cut) in lab.states().items():
        if state == "paused":
            lab.lab("resume", host)
        if cut:
            lab.lab("heal", host)
        lab.lab("start", host)
    return lab


def test_hosts_are_machines_of_their_own(whole: Place) -> None:
    assert whole.states() == {"node1": ("running", ""), "node2": ("running", "")}
    assert whole.inside("node2", "hostname").out == "node2"
    # node1 has the swarm's namespaces, node2 what it is given, and the box only the underlay.
    assert "ingress_sbox" in whole.inside("node1", "ip", "netns").out
    whole.inside("node2", "ip", "netns", "add", "own")
    assert "own" in whole.inside("node2", "ip", "netns").out
    assert whole.inside("node1", "sh", "-c", "ip netns list | grep own", check=False).status == 1
    assert {line.split()[0] for line in whole.run("ip", "netns").lines} == {"neighbour", f"shoal-lab-{whole.name}"}
    assert "docker_gwbridge" in whole.inside("node2", "ls", "/sys/class/net").out.split()
    nodes = whole.inside("node1", "docker", "node", "ls", "--format", "{{.Hostname}} {{.Status}}").lines
    assert "node1 Ready" in nodes
    # Names outside are refused at once, not waited for.
    began = time.monotonic()
    assert whole.inside("node1", "getent", "hosts", "nowhere.example", check=False).status != 0
    assert time.monotonic() - began < 2


def test_a_command_in_a_host_is_like_any_other(whole: Place) -> None:
    assert whole.inside("node2", "docker", "info", "--format", "{{.Name}} {{.Labels}}").out == "node2 [of=lab]"
    assert whole.inside("node2", "sh", "-c", "exit 7", check=False).status == 7
    assert "no host node3" in whole.inside("node3", "true", check=False).err
    screen = b""
    controller, terminal = pty.openpty()
    shell = subprocess.Popen(
        whole.box.enter([str(BIN / "shoal"), *whole.words("exec", "node2", "--", "sh", "-i")[1:]]),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        os.write(controller, b"tty && stty size && hostname && exit\n")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and select.select([controller], [], [], 20)[0]:
            try:
                screen += os.read(controller, 4096)
            except OSError:  # it has ended
                break
        assert shell.wait(20) == 0
    finally:
        shell.kill()
        shell.wait()
        os.close(controller)
    assert b"/dev/pts/" in screen and b"node2\r\n" in screen, screen


def test_docker_out_here_works_on_a_host(whole: Place) -> None:
    said = whole.lab("env", "node2").out
    docker = (
        'eval "$0"; docker run -d --rm --name web -p 80:80 busybox httpd -f -h /etc && docker ps -q; echo $DOCKER_HOST'
    )
    assert whole.run("sh", "-c", docker, said).lines[-1] == f"unix://{whole.folder}/{whole.name}/node2/docker.sock"
    address = re.search(r"^default via (\S+)\.254 ", whole.inside("node2", "ip", "route").out)
    assert address is not None
    assert "root:" in whole.run("curl", "-sm5", f"http://{address[1]}.2/passwd").out
    assert "root:" in whole.inside("node1", "curl", "-sm5", "http://node2/passwd").out
    whole.inside("node2", "docker", "rm", "-f", "web")


def test_an_image_of_one_engine_comes_to_all_hosts(whole: Place) -> None:
    whole.inside("node1", "docker", "tag", "busybox", "mine:1")
    host = f"unix://{whole.folder}/{whole.name}/node1/docker.sock"
    said = whole.run(*whole.words("load", "mine:1"), env={"DOCKER_HOST": host})
    assert said.status == 0, said.text
    assert whole.inside("node2", "docker", "image", "ls", "-q", "mine:1").out
    refused = whole.lab("load", "/etc/passwd", check=False)
    assert refused.status == 1 and "Error response from daemon" in refused.err


def test_cut_hosts_keep_their_carrier(whole: Place) -> None:
    assert whole.pings("node1", "node2")
    whole.lab("cut", "node2", "from", "node1")
    assert not whole.pings("node1", "node2") and whole.pings("node2", "outside")
    assert whole.states()["node1"] == ("running", "node2")
    whole.lab("cut", "node2")
    assert not whole.pings("node2", "outside")
    assert whole.inside("node2", "cat", "/sys/class/net/eth0/carrier").out == "1"
    assert "cut off from everybody" in whole.lab("heal", "node1", "from", "node2", check=False).err
    whole.lab("heal", "node2")
    assert whole.pings("node1", "node2") and whole.pings("node2", "outside")


def test_power_goes_and_comes_back(whole: Place) -> None:
    docker = ("docker", "run", "-d", "--name")
    whole.inside("node2", *docker, "stays", "--restart", "always", "busybox", "sleep", "9999")
    whole.inside("node2", *docker, "goes", "busybox", "sleep", "9999")
    folder = whole.folder / whole.name / "node2"
    ports = ("ip", "-n", f"shoal-lab-{whole.name}", "-br", "link")
    own = f"{whole.name}-node2"
    assert whole.cgroups(own) and "node2" in whole.run(*ports).out
    whole.lab("kill", "node2")
    assert whole.states()["node2"] == ("off", "")
    assert not (folder / "docker.sock").exists()
    assert "node2" not in whole.run(*ports).out
    assert whole.cgroups(own) == []
    assert "node2 is off" in whole.inside("node2", "true", check=False).err
    assert whole.lab("kill", "node2").status == 0
    whole.lab("start", "node2")
    assert whole.lab("start", "node2").status == 0
    names = ("docker", "ps", "--format", "{{.Names}}")
    eventually(lambda: whole.inside("node2", *names).out == "stays")
    whole.lab("cut", "node2", "from", "node1")
    whole.lab("reboot", "node2")
    assert not whole.pings("node1", "node2")
    whole.lab("heal", "node2", "from", "node1")
    eventually(lambda: whole.inside("node2", *names).out == "stays")
    assert whole.pings("node1", "node2")
    whole.inside("node2", "docker", "rm", "-f", "stays", "goes")


def test_a_paused_host_does_nothing(whole: Place) -> None:
    shared = whole.folder / "ticks"
    shared.write_text("")
    whole.inside("node2", "docker", "run", "-d", "--name", "clock", "-v", f"{shared}:/ticks", "busybox", "sh", "-c",
                 "while :; do echo >>/ticks; sleep 0.02; done")  # fmt: skip
    eventually(lambda: shared.stat().st_size > 2)
    whole.lab("pause", "node2")
    assert whole.states()["node2"] == ("paused", "")
    before = shared.stat().st_size
    assert "node2 is paused" in whole.inside("node2", "true", check=False).err
    assert "node2 is paused" in whole.lab("start", "node2", check=False).err
    assert shared.stat().st_size == before
    whole.lab("resume", "node2")
    eventually(lambda: shared.stat().st_size > before)
    whole.inside("node2", "docker", "rm", "-f", "clock")
    shared.unlink()


def test_labs_stand_side_by_side_and_frames_take_their_time(whole: Place) -> None:
    name = f"{whole.name}b"
    taken = whole.lab("up", "2", check=False)
    assert taken.status == 1 and "there is a lab called" in taken.err
    elsewhere = [*whole.words("up", "2"), "--root", str(whole.folder.parent / "other")]
    assert "another lab called" in whole.run(*elsewhere).err
    up = ("up", "1", "--managers", "0", "--latency", "40ms", "--mtu", "1400")
    try:
        assert "no swarm" in whole.lab(*up, name=name).out
        echo = whole.lab("exec", "node1", "--", "ping", "-c3", "-i0.2", "outside", name=name).out
        # To a host it takes that long; to the outside there is no wire of a host's.
        assert min(float(time) for time in re.findall(r"time=([\d.]+) ms", echo)) >= 40
        assert "mtu 1400" in whole.lab("exec", "node1", "--", "ip", "link", "show", "eth0", name=name).out
        assert "Swarm: inactive" in whole.lab("exec", "node1", "--", "docker", "info", name=name).out
    finally:
        whole.lab("down", name=name)
    assert whole.cgroups(name) == []
    assert whole.states() == {"node1": ("running", ""), "node2": ("running", "")}


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_what_half_an_up_made_goes_with_down(place: Place, how: signal.Signals) -> None:
    name = f"{place.name}c"
    before = place.snapshot()
    command = place.box.enter([str(BIN / "shoal"), *place.words("up", "2", name=name)[1:]])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        try:
            eventually(lambda: place.cgroups(name))
            with contextlib.suppress(ProcessLookupError):
                # The client in the box: nsenter's child.
                children = Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split()
                os.kill(int(children[0]), how)
            _, said = up.communicate(timeout=60)
        finally:
            up.kill()
    assert up.returncode != 0
    assert how is signal.SIGKILL or "lab down" in said
    place.lab("down", name=name)
    assert place.cgroups(name) == []
    assert not (place.folder / name).exists()
    assert place.left(before) == []


def test_a_stranger_s_link_is_left_alone(place: Place) -> None:
    name = f"{place.name}e"
    place.run("ip", "link", "add", f"lab-{name}", "type", "bridge")
    try:
        refused = place.lab("up", "1", name=name, check=False)
        assert refused.status == 1 and "is not this lab's" in refused.err
        place.lab("down", name=name)
        assert place.run("ip", "link", "show", f"lab-{name}").status == 0
        assert not (place.folder / name).exists()
    finally:
        place.run("ip", "link", "del", f"lab-{name}")


def test_a_shoald_that_does_not_start_says_why(place: Place) -> None:
    name = f"{place.name}d"
    try:
        refused = place.lab("up", "1", "--", "--nonsense", name=name, check=False)
        assert refused.status == 1 and "unknown flag or argument: --nonsense" in refused.err
    finally:
        place.lab("down", name=name)
