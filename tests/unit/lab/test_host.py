from pathlib import Path

import pytest

from shoal.errors import Conflict
from shoal.lab.host import Condition, Host
from shoal.lab.state import Wish, plan
from shoal.lab.underlay import Underlay


@pytest.fixture(name="host")
def _host(tmp_path: Path) -> Host:
    lab = plan(Wish(count=2, name="unit-test", flags=("--label", "a=b c")), [])
    return Host(folder=tmp_path / "node2", state=lab.hosts[1], lab=lab, underlay=Underlay(lab))


def test_shoald_has_nothing_of_the_machine_s_own(host: Host) -> None:
    given = host.flags()
    flags = dict(zip(given[::2], given[1::2], strict=True))
    assert flags["--data-root"] == str(host.folder / "data")
    assert flags["--cgroup-parent"] == "/shoal-lab-unit-test-node2"
    assert flags["--config-file"] == str(host.folder / "daemon.json")
    assert flags["--label"] == "a=b c"
    assert host.docker_host == f"unix://{host.folder}/docker.sock" and host.docker_host in given


def test_a_host_that_is_off(host: Host) -> None:
    assert host.condition is Condition.OFF and host.pid == 0
    assert not host.answers() and not host.is_another_labs
    for act in (lambda: host.enter(["true"]), host.pause):
        with pytest.raises(Conflict, match="node2 is off"):
            act()
    host.resume()
