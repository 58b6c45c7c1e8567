"""shoald dies, or is started again: what runs goes on."""

import pytest
from tests.e2e.harness import Machine, eventually, pids

pytestmark = [pytest.mark.root, pytest.mark.e2e]


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_containers_keep_running_and_the_mesh_keeps_answering(swarm: Machine, end: str) -> None:
    swarm.docker("service", "create", "-q", "-d", "--name", "web", "--replicas", "2", "--publish", "80:80", "nginx")
    swarm.running("web", "2/2")
    swarm.docker("run", "-d", "--name", "plain", "-p", "8080:80", "nginx")
    before = pids(swarm)
    assert len(before) == 3
    getattr(swarm.shoald, end)()
    for port in (80, 8080):
        assert swarm.http(f"http://{swarm.address}:{port}", netns=swarm.neighbour) == "200", "without shoald"
    swarm.shoald.start()
    swarm.running("web", "2/2")
    assert pids(swarm) == before
    for port in (80, 8080):
        assert swarm.http(f"http://{swarm.address}:{port}", netns=swarm.neighbour) == "200", "with the next one"
    assert swarm.docker("exec", "plain", "echo", "hello").out == "hello"
    swarm.docker("service", "scale", "-d", "web=3")
    swarm.running("web", "3/3")
    names = {row.split()[0] for row in swarm.docker("service", "ls").lines[1:]}
    assert len(names) == 1


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


def test_an_exit_without_shoald_is_known_afterwards(machine: Machine) -> None:
    machine.docker("run", "-d", "--name", "brief", "busybox", "sh", "-c", "sleep 1; exit 7")
    machine.shoald.kill()
    machine.run("sleep", "1.5")
    machine.shoald.start()
    state = eventually(lambda: (s := machine.inspect("brief")["State"])["Status"] == "exited" and s)
    assert state["ExitCode"] == 7


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
