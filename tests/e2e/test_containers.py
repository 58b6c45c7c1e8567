"""Plain containers: ``docker run`` and what one does with what runs."""

import re
import signal
import time
from pathlib import Path

import pytest
from tests.e2e.harness import Machine, eventually

pytestmark = [pytest.mark.root, pytest.mark.e2e]


def test_run_attached_gives_output_and_status(machine: Machine) -> None:
    ran = machine.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3", check=False)
    assert (ran.out, ran.err, ran.status) == ("out", "err", 3)
    assert machine.docker("ps", "-aq").out == ""


def test_run_reads_standard_input(machine: Machine) -> None:
    text = "line\n" * 20_000
    ran = machine.docker("run", "--rm", "-i", "busybox", "wc", "-c", input=text)
    assert ran.out.strip() == str(len(text))


def test_run_at_a_terminal(machine: Machine) -> None:
    shown = machine.typed("run", "--rm", "-it", "busybox", send="tty && stty size\nexit\n", until="/ # exit")
    assert "/dev/pts/0" in shown


def test_run_detached_with_name_environment_and_command(machine: Machine) -> None:
    key = machine.docker("run", "-d", "--name", "first", "-e", "A=b c", "busybox", "sleep", "1000").out
    assert re.fullmatch(r"[0-9a-f]{64}", key)
    row = machine.docker("ps", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.Status}}").out
    assert re.fullmatch(rf"{key[:12]} first busybox Up .*", row)
    found = machine.inspect("first")
    assert found["Id"] == key
    assert "A=b c" in found["Config"]["Env"]
    assert (found["Path"], found["Args"]) == ("sleep", ["1000"])
    assert found["State"]["Running"] and found["State"]["Pid"] > 0
    assert machine.docker("exec", "first", "hostname").out == key[:12]
    taken = machine.docker("run", "--name", "first", "busybox", check=False)
    assert taken.status == 125
    assert (
        f'Conflict. The container name "/first" is already in use by container "{key}". You have to remove (or rename) '
        "that container to be able to reuse that name." in taken.err
    )


@pytest.mark.parametrize(
    ("command", "status", "text"),
    [
        (["nope"], 127, 'exec: "nope": executable file not found in $PATH'),
        (["/etc"], 126, "permission denied"),
    ],
)
def test_exit_statuses(machine: Machine, command: list[str], status: int, text: str) -> None:
    ran = machine.docker("run", "--rm", "busybox", *command, check=False)
    assert ran.status == status
    assert text in ran.err


def test_published_ports_lead_in_from_everywhere(machine: Machine) -> None:
    machine.docker("run", "-d", "--name", "web", "-p", "8080:80", "nginx")
    for url, netns in (
        (f"http://{machine.address}:8080", machine.neighbour),
        (f"http://{machine.address}:8080", None),
        ("http://127.0.0.1:8080", None),
    ):
        assert machine.http(url, netns=netns) == "200"
    assert any(line.startswith(machine.neighbour_address) for line in machine.docker("logs", "web").lines)
    assert "0.0.0.0:8080" in machine.docker("port", "web").out
    taken = machine.docker("run", "-d", "--name", "other", "-p", "8080:80", "nginx", check=False)
    assert taken.status == 125
    assert "port is already allocated" in taken.err
    chosen = machine.docker("run", "-d", "-p", "80", "nginx").out
    port = machine.docker("port", chosen, "80/tcp").lines[0].rpartition(":")[2]
    assert machine.http(f"http://{machine.address}:{port}", netns=machine.neighbour) == "200"


def test_a_range_of_ports_gives_each_its_own(machine: Machine) -> None:
    for number in range(3):
        machine.docker("run", "-d", "--name", f"c{number}", "-p", "8080-8082:80", "nginx")
        assert f"80/tcp -> 0.0.0.0:{8080 + number}" in machine.docker("port", f"c{number}").lines
        assert machine.http(f"http://{machine.address}:{8080 + number}", netns=machine.neighbour) == "200"
    full = machine.docker("run", "--rm", "-p", "8080-8082:80", "nginx", check=False)
    assert full.status == 125
    assert "all ports are allocated" in full.err
    wrong = machine.docker("create", "-p", "8082-8080:80", "nginx", check=False)
    assert wrong.status != 0 and "8082-8080" in wrong.err


def test_volumes_binds_and_tmpfs(machine: Machine, tmp_path: Path) -> None:
    machine.docker("run", "--rm", "-v", "data:/data", "busybox", "sh", "-c", "echo kept >/data/file")
    assert machine.docker("run", "--rm", "-v", "data:/data:ro", "busybox", "cat", "/data/file").out == "kept"
    assert machine.docker("volume", "ls", "-q").out == "data"
    used = machine.docker("run", "--rm", "-v", "data:/data:ro", "busybox", "touch", "/data/x", check=False)
    assert "Read-only file system" in used.err
    (tmp_path / "file").write_text("host")
    ran = machine.docker(
        "run", "--rm", "-v", f"{tmp_path}:/mnt", "busybox", "sh", "-c", "cat /mnt/file; echo x >/mnt/new"
    )
    assert ran.out == "host"
    assert (tmp_path / "new").read_text() == "x\n"
    assert "tmpfs" in machine.docker("run", "--rm", "--tmpfs", "/scratch", "busybox", "mount").out.replace(
        " on /dev", ""
    )


def test_networks_of_ones_own_have_names(machine: Machine) -> None:
    machine.docker("network", "create", "inner")
    machine.docker("run", "-d", "--name", "server", "--network", "inner", "--network-alias", "www", "nginx")
    for name in ("server", "www"):
        assert "Welcome" in machine.docker("run", "--rm", "--network", "inner", "busybox", "wget", "-qO-", name).out
    apart = machine.docker("run", "--rm", "busybox", "wget", "-qO-", "server", check=False)
    assert apart.status != 0
    machine.docker("network", "create", "outer")
    machine.docker("run", "-d", "--name", "joins", "--network", "outer", "busybox", "sleep", "1000")
    machine.docker("network", "connect", "inner", "joins")
    assert "Welcome" in machine.docker("exec", "joins", "wget", "-qO-", "server").out
    machine.docker("network", "disconnect", "inner", "joins")
    assert machine.docker("exec", "joins", "wget", "-qO-", "server", check=False).status != 0
    used = machine.docker("network", "rm", "inner", check=False)
    assert "has active endpoints" in used.err
    machine.docker("rm", "-f", "server", "joins")
    machine.docker("network", "rm", "inner")


def test_a_container_of_the_default_bridge_learns_names_when_it_is_connected(machine: Machine) -> None:
    machine.docker("network", "create", "inner")
    machine.docker("run", "-d", "--name", "server", "--network", "inner", "nginx")
    machine.docker("run", "-d", "--name", "joins", "busybox", "sleep", "1000")
    machine.docker("network", "connect", "inner", "joins")
    assert "Welcome" in machine.docker("exec", "joins", "wget", "-qO-", "server").out


def test_none_host_and_anothers_network(machine: Machine) -> None:
    assert "eth0" not in machine.docker("run", "--rm", "--network", "none", "busybox", "ip", "address").out
    assert machine.address in machine.docker("run", "--rm", "--network", "host", "busybox", "ip", "address").out
    machine.docker("run", "-d", "--name", "server", "nginx")
    ran = machine.docker("run", "--rm", "--network", "container:server", "busybox", "wget", "-qO-", "http://127.0.0.1")
    assert "Welcome" in ran.out


def test_logs_follow_since_tail_and_timestamps(machine: Machine) -> None:
    script = "for n in 1 2 3 4; do echo $n; sleep 0.3; done; echo last >&2"
    machine.docker("run", "-d", "--name", "talker", "busybox", "sh", "-c", script)
    followed = machine.docker("logs", "-f", "talker", timeout=20)
    assert (followed.lines, followed.err) == (["1", "2", "3", "4"], "last")
    assert machine.docker("logs", "--tail", "2", "talker").text == "4\nlast"
    stamped = machine.docker("logs", "-t", "talker").lines
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z \d", line) for line in stamped)
    second = stamped[1].split()[0]
    assert machine.docker("logs", "--since", second, "talker").lines == ["2", "3", "4"]
    assert machine.docker("logs", "--until", second, "talker").lines[:1] == ["1"]
    assert machine.shoal("logs", "talker").lines == ["1", "2", "3", "4"]


def test_exec_with_input_user_environment_and_status(machine: Machine) -> None:
    machine.docker("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    assert machine.docker("exec", "-i", "box", "cat", input="given\n").out == "given"
    assert machine.docker("exec", "-e", "X=y", "-w", "/tmp", "box", "sh", "-c", "echo $X $PWD").out == "y /tmp"
    assert machine.docker("exec", "-u", "nobody", "box", "id", "-un").out == "nobody"
    assert machine.docker("exec", "box", "sh", "-c", "exit 9", check=False).status == 9
    missing = machine.docker("exec", "box", "nope", check=False)
    assert missing.status == 127
    assert "/dev/pts" in machine.typed("exec", "-it", "box", "sh", send="tty\nexit\n", until="/ # exit")


def test_stop_kill_restart_pause_and_wait(machine: Machine) -> None:
    script = "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done"
    machine.docker("run", "-d", "--name", "c0", "busybox", "sh", "-c", script)
    eventually(lambda: machine.docker("logs", "c0").out == "up")
    machine.docker("stop", "c0")
    assert machine.docker("wait", "c0").out == "4"
    assert machine.docker("logs", "c0").lines == ["up", "bye"]
    machine.docker("restart", "c0")
    eventually(lambda: machine.docker("logs", "c0").lines.count("up") == 2)
    machine.docker("pause", "c0")
    assert machine.inspect("c0")["State"]["Status"] == "paused"
    machine.docker("unpause", "c0")
    machine.docker("kill", "--signal", "KILL", "c0")
    assert machine.docker("wait", "c0").out == str(128 + signal.SIGKILL)
    gone = machine.docker("kill", "c0", check=False)
    assert gone.status == 1
    assert "is not running" in gone.err
    started = time.monotonic()
    machine.docker("run", "-d", "--name", "deaf", "busybox", "sleep", "1000")
    machine.docker("stop", "-t", "1", "deaf")
    assert time.monotonic() - started < 8
    assert machine.inspect("deaf")["State"]["ExitCode"] == 137


def test_rm_refuses_what_runs(machine: Machine) -> None:
    key = machine.docker("run", "-d", "--name", "c0", "busybox", "sleep", "1000").out
    refused = machine.docker("rm", "c0", check=False)
    assert refused.status == 1
    assert "container is running" in refused.err
    assert machine.docker("rm", "-f", "c0").out == "c0"
    assert machine.docker("inspect", key, check=False).status == 1


def test_top_stats_and_diff(machine: Machine) -> None:
    machine.docker("run", "-d", "--name", "c0", "--memory", "64m", "busybox", "sh", "-c", "echo x >/new; sleep 1000")
    rows = machine.docker("top", "c0").lines
    assert rows[0].split()[:2] == ["UID", "PID"]
    assert any("sleep 1000" in row for row in rows[1:])
    stats = machine.docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}").out
    assert re.fullmatch(r"c0 [\d.]+[KM]iB / 64MiB \d+", stats)
    assert "A /new" in machine.docker("diff", "c0").lines


def test_cp_in_and_out(machine: Machine, tmp_path: Path) -> None:
    machine.docker("run", "-d", "--name", "c0", "busybox", "sleep", "1000")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("text")
    machine.docker("cp", str(tmp_path / "in"), "c0:/tmp/folder")
    assert machine.docker("exec", "c0", "cat", "/tmp/folder/file").out == "text"
    machine.docker("cp", "c0:/tmp/folder", str(tmp_path / "out"))
    assert (tmp_path / "out" / "file").read_text() == "text"
    missing = machine.docker("cp", "c0:/nope", str(tmp_path), check=False)
    assert missing.status == 1
    assert "Could not find the file /nope in container c0" in missing.err


def test_auto_removal_and_restart_policy(machine: Machine) -> None:
    machine.docker("run", "-d", "--rm", "--name", "brief", "busybox", "true")
    eventually(lambda: machine.docker("ps", "-aq").out == "")
    machine.docker("run", "-d", "--name", "again", "--restart", "on-failure:2", "busybox", "false")
    eventually(lambda: machine.inspect("again")["RestartCount"] == 2)
    eventually(lambda: machine.inspect("again")["State"]["Status"] == "exited")


def test_one_that_waits_to_be_restarted_is_listed(machine: Machine) -> None:
    machine.docker("run", "-d", "--name", "again", "--restart", "always", "busybox", "false")
    row = ("ps", "--format", "{{.Names}} {{.Status}}")
    status = eventually(lambda: "Restarting" in (said := machine.docker(*row).out) and said)
    assert re.fullmatch(r"again Restarting \(1\) (\d+ seconds?|Less than a second) ago", status)
    assert {machine.shoal("ps", "--format", "{{.Names}}").out for _ in range(20)} == {"again"}, "at every moment"


def test_a_health_check_is_kept(machine: Machine) -> None:
    machine.docker(
        *("run", "-d", "--name", "c0", "--health-cmd", "test -e /well", "--health-interval", "200ms"),
        *("--health-retries", "2", "busybox", "sleep", "1000"),
    )
    eventually(lambda: machine.inspect("c0")["State"]["Health"]["Status"] == "unhealthy")
    machine.docker("exec", "c0", "touch", "/well")
    eventually(lambda: machine.inspect("c0")["State"]["Health"]["Status"] == "healthy")


def test_events_are_streamed(machine: Machine) -> None:
    since = str(int(time.time()) - 1)  # noqa: TID251
    machine.docker("run", "--rm", "--name", "watched", "busybox", "true")
    until = str(int(time.time()) + 1)  # noqa: TID251
    words = ("events", "--since", since, "--until", until, "--filter", "container=watched", "--format", "{{.Action}}")
    seen = machine.docker(*words, timeout=20).lines
    assert [action for action in seen if action in ("create", "start", "die", "destroy")] == [
        "create",
        "start",
        "die",
        "destroy",
    ]


def test_an_unknown_network_is_named_not_an_image(machine: Machine) -> None:
    ran = machine.docker("run", "--rm", "--network", "nope", "busybox", "true", check=False)
    assert ran.status == 125
    assert "network nope not found" in ran.err
    assert "Unable to find image" not in ran.err


def test_info_and_version(machine: Machine) -> None:
    info = machine.docker("info", "--format", "{{json .}}").json()
    assert info["ServerVersion"]
    assert info["Swarm"]["LocalNodeState"] == "inactive"
    version = machine.docker("version", "--format", "{{.Server.APIVersion}} {{.Server.MinAPIVersion}}").out
    assert version == "1.50 1.24"
