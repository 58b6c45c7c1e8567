import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "tools" / "leftovers.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("leftovers", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


leftovers = _load()


def test_what_came_and_what_went_is_listed() -> None:
    before = {"link": ["eth0", "lo"], "process": ["1 a", "2 b"]}
    after = {"link": ["lo", "veth1"], "process": ["2 b", "3 c"], "mount": ["/x (tmpfs)"]}
    assert leftovers.differences(before, after) == [
        "+ link: veth1",
        "- link: eth0",
        "+ mount: /x (tmpfs)",
        "+ process: 3 c",
    ]
    assert leftovers.differences(after, after) == []


def test_a_process_of_ours_is_seen_and_others_are_not(tmp_path: Path) -> None:
    name = tmp_path / "containerd-shim-runc-v2"
    name.symlink_to("/bin/sleep")
    with subprocess.Popen([name, "60"]) as ours, subprocess.Popen(["sleep", "60"]) as other:
        try:
            pids = {line.split()[0] for line in leftovers.take()["process"]}
            assert str(ours.pid) in pids
            assert str(other.pid) not in pids
        finally:
            ours.kill()
            other.kill()


@pytest.fixture(name="namespace")
def _namespace() -> Iterator[str]:
    name = "leftovers-test"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.root
def test_a_namespace_is_seen(namespace: str) -> None:
    lines = leftovers.differences({}, leftovers.take())
    assert f"+ network namespace: /run/netns/{namespace}" in lines
    assert f"+ mount: /run/netns/{namespace} (nsfs)" in lines


def test_the_command_says_what_is_left(tmp_path: Path) -> None:
    file = tmp_path / "before"
    subprocess.run([sys.executable, SCRIPT, "snapshot", file], check=True)
    assert '"link"' in file.read_text()
    file.write_text(file.read_text().replace('"lo"', '"lo0"'))
    result = subprocess.run([sys.executable, SCRIPT, "compare", file], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "  + link: lo\n" in result.stderr
    assert "  - link: lo0\n" in result.stderr
