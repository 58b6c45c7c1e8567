"""shoald, what it leans on, or the machine dies, or is started again: what runs goes on, and nothing is lost."""

import re
import subprocess
from collections.abc import Callable

import pytest
from tests.e2e.harness import Machine, eventually
from tests.e2e.load import load
from tests.faults.restarts import (
    DEATHS,
    lives,
    make_busy,
    tasks,
    vips,
)

pytestmark = [pytest.mark.root, pytest.mark.e2e]


@pytest.fixture
def busy(swarm: Machine) -> Machine:
    """Two tasks behind the mesh and a VIP, one that asks them, and a plain container with a port."""
    make_busy(swarm)
    return swarm


@pytest.mark.parametrize("die", DEATHS)
def test_nothing_is_touched_and_no_request_lost(busy: Machine, die: Callable[[Machine], None]) -> None:
    before, web = lives(busy), tasks(busy, "web")
    assert len(before) == 4
    [asker] = [name for name in busy.namespaces() if name.startswith("asker.")]
    mesh, plain = f"http://{busy.address}:80", f"http://{busy.address}:8080"
    vip = f"http://{vips(busy, 'web')[-1]}"
    with (
        load(busy.spawn, mesh, plain, netns=busy.neighbour) as outside,
        load(busy.spawn, vip, "dns:web", "dns:tasks.web", netns=asker) as inside,
    ):
        die(busy)
        assert tasks(busy, "web") == web
        # What follows a start, or the way back of the other, belongs to it.
        busy.run("sleep", "1")
    outside.assert_nothing_lost(least=50)
    inside.assert_nothing_lost(least=20)
    assert lives(busy) == before
    assert tasks(busy, "web") == web
    assert busy.docker("exec", "plain", "echo", "hello").out == "hello"
    assert busy.docker("run", "--rm", "busybox", "echo", "hello").out == "hello"
    busy.docker("stop", "-t", "5", "plain")
    assert busy.inspect("plain")["State"]["ExitCode"] == 0
    busy.docker("service", "scale", "-d", "web=3")
    busy.running("web", "3/3")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_clients_that_come_back_miss_no_line_and_no_event(machine: Machine, end: str) -> None:
    numbers = "n=0; while usleep 20000; do echo $((n+=1)); done"
    machine.docker("run", "-d", "--name", "talker", "busybox", "sh", "-c", numbers)
    eventually(lambda: len(machine.docker("logs", "talker").lines) > 2)
    since = machine.inspect("talker")["Created"]
    logs = machine.spawn("docker", "logs", "-f", "-t", "talker", stdout=subprocess.PIPE)
    words = ("events", "--format", "{{.TimeNano}} {{.Action}} {{.Actor.Attributes.name}}", "--filter", "type=container")
    events = machine.spawn("docker", *words, "--since", since, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    machine.docker("run", "-d", "--name", "brief", "busybox", "sh", "-c", "sleep 1; exit 7")
    assert logs.stdout is not None and logs.stdout.readline().endswith(" 1\n")
    getattr(machine.shoald, end)()
    lines, told = logs.communicate()[0].splitlines(), events.communicate()[0].splitlines()
    machine.run("sleep", "1.2")
    machine.shoald.start()
    assert machine.inspect("brief")["State"]["ExitCode"] == 7
    # Each goes on after what it has seen last.
    again = machine.docker("logs", "-t", "--since", lines[-1].split()[0], "talker").lines
    seen = [int(line.split()[1]) for line in dict.fromkeys([*lines, *again])]
    assert seen == list(range(2, len(seen) + 2)) and len(again) > 10
    now = machine.run("date", "+%s.%N").out
    last = re.sub(r"(\d{9}) .*", r".\1", told[-1])
    more = machine.docker(*words, "--since", last, "--until", now).lines
    happened = [line.split(" ", 1)[1] for line in dict.fromkeys([*told, *more])]
    assert happened == ["create talker", "start talker", "create brief", "start brief", "die brief"]
    # Nor does a client that was not there at all.
    whole = machine.docker(*words, "--since", since, "--until", now).lines
    assert [line.split(" ", 1)[1] for line in whole] == happened


def test_what_is_written_meanwhile_is_in_the_logs(machine: Machine) -> None:
    machine.docker(
        "run", "-d", "--name", "talker", "busybox", "sh", "-c", "n=0; while sleep 0.1; do echo $((n+=1)); done"
    )
    eventually(lambda: len(machine.docker("logs", "talker").lines) > 2)
    machine.shoald.kill()
    machine.run("sleep", "1")
    machine.shoald.start()
    lines = machine.docker("logs", "talker").lines
    assert [int(line) for line in lines] == list(range(1, len(lines) + 1))
    eventually(lambda: len(machine.docker("logs", "talker").lines) > len(lines))


@pytest.mark.parametrize("with_containerd", [False, True])
def test_an_exit_without_shoald_is_known_afterwards(machine: Machine, with_containerd: bool) -> None:
    machine.docker("run", "-d", "--name", "brief", "busybox", "sh", "-c", "sleep 1; echo last; exit 7")
    machine.shoald.kill()
    if with_containerd:
        machine.run("kill", "-9", (machine.shoald.folder / "run/containerd/containerd.pid").read_text().strip())
    machine.run("sleep", "1.5")
    machine.shoald.start()
    state = eventually(lambda: (s := machine.inspect("brief")["State"])["Status"] == "exited" and s)
    assert state["ExitCode"] == 7
    assert machine.docker("logs", "brief").out == "last"


def test_a_task_that_ends_without_shoald_is_replaced_afterwards(swarm: Machine) -> None:
    swarm.docker("service", "create", "-q", "-d", "--name", "web", "--restart-delay", "0s", "--replicas", "2", "nginx")
    swarm.running("web", "2/2")
    [first, second] = swarm.containers("web")
    pid = swarm.inspect(first)["State"]["Pid"]
    swarm.shoald.kill()
    swarm.run("kill", "-9", str(pid))
    swarm.shoald.start()
    failed = eventually(lambda: [line for line in tasks(swarm, "web") if " Failed " in line])
    assert len(failed) == 1 and "task: non-zero exit (137)" in failed[0]
    swarm.running("web", "2/2")
    assert second in swarm.containers("web") and first not in swarm.containers("web")


def test_a_restart_policy_holds_across_a_restart(machine: Machine) -> None:
    machine.docker("run", "-d", "--name", "again", "--restart", "always", "busybox", "sh", "-c", "sleep 1")
    machine.shoald.kill()
    machine.run("sleep", "1.5")
    machine.shoald.start()
    eventually(lambda: machine.inspect("again")["State"]["Running"])


def test_a_second_shoald_on_the_same_data_is_refused(machine: Machine) -> None:
    ran = machine.run(*machine.shoald.command(), timeout=20)
    assert ran.status == 1
    assert "failed to start daemon" in ran.err
    assert machine.docker("ps").status == 0
