"""The whole walk, as ``make lab`` takes it."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.e2e.harness import BIN, ROOT
from tools.box import Box

pytestmark = [pytest.mark.root, pytest.mark.e2e]

LAB = ROOT / "tools" / "lab.py"


def last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def all_hold(out: str) -> bool:
    found = re.fullmatch(r"lab: (\d+) of (\d+) steps hold", last_line(out))
    return found is not None and found[1] == found[2] and int(found[1]) > 15


def test_the_lab_holds_in_namespaces_of_its_own() -> None:
    done = subprocess.run([sys.executable, LAB, "--isolated"], capture_output=True, text=True, check=False)
    assert all_hold(done.stdout), done.stdout + done.stderr
    assert done.returncode == 0
    assert "✗" not in done.stdout
    for command in ("docker swarm init", "shoal node ls", "ip netns exec ingress_sbox ip addr", "shoal topology"):
        assert f"$ {command}" in done.stdout


def test_the_lab_holds_on_a_machine_without_docker() -> None:
    """In the machine's own namespace, since nothing is in its way there; the machine is a box."""
    box = Box()
    box.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            # Every program there is, but for docker.
            for directory in reversed(os.environ["PATH"].split(":")):
                for program in Path(directory).iterdir() if Path(directory).is_dir() else ():
                    link = Path(folder, program.name)
                    if program.name != "docker" and not link.exists():
                        link.symlink_to(program)
            done = box.run([sys.executable, str(LAB)], env={"PATH": folder}, timeout=200)
        assert all_hold(done.stdout), done.stdout + done.stderr
        assert "in this machine's own network namespace" in done.stdout
        assert "$ docker" not in done.stdout
        assert box.processes() == []
        assert [line.split()[0] for line in box.run(["ip", "netns"]).stdout.splitlines()] == ["neighbour"]
    finally:
        box.stop()


def test_another_engines_bridge_sends_the_lab_elsewhere_and_keep_leaves_it_up() -> None:
    box = Box()
    box.start()
    try:
        box.run(["ip", "link", "add", "docker0", "type", "bridge"])
        done = box.run([sys.executable, str(LAB), "--keep"], timeout=200)
        assert all_hold(done.stdout), done.stdout + done.stderr
        assert "docker0 is there, another engine's" in done.stdout
        entered = re.search(r"    (nsenter --target \d+ --all)", done.stdout)
        host = re.search(r"export (DOCKER_HOST=\S+)", done.stdout)
        end = re.search(r"To end it and remove it: (\S+)", done.stdout)
        assert entered and host and end
        listed = box.run([*entered[1].split(), "env", host[1], str(BIN / "shoal"), "service", "ls"]).stdout
        assert len(listed.splitlines()) == 4
        ended = box.run([end[1]])
        assert ended.returncode == 0, ended.stderr
        assert box.processes() == []
        assert not Path(end[1]).parent.exists()
    finally:
        box.stop()


def test_without_root_it_says_so() -> None:
    command = ["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, str(LAB)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr and "lab:" not in done.stderr:
        pytest.skip("another user cannot read this checkout")
    assert done.returncode == 1
    assert done.stderr == ("lab: The lab makes network devices and namespaces, so it needs root: run it with sudo.\n")
