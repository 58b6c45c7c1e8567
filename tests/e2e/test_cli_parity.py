"""``shoal X`` and ``docker X`` against one daemon print the same and exit alike.

The daemon is a shoald, or the one whose socket ``SHOAL_TEST_HOST`` names (``unix:///…``): a dockerd, say, with an image
``busybox`` that has a shell. Where that is a swarm's manager, the swarm's commands are compared too.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.e2e.harness import Machine

DOCKER = shutil.which("docker") or ""
SHOAL = [sys.executable, "-c", "from shoal.cli.main import main; main()"]
pytestmark = [
    pytest.mark.e2e,
    # One daemon, one container and one service for all of these.
    pytest.mark.xdist_group("cli parity"),
    pytest.mark.skipif(not DOCKER, reason="there is no docker client to compare with"),
]
NAME = f"parity-{os.getpid()}"

# {c} is a running container; every line leaves the daemon as it was.
COMMANDS = r"""
foo
ps --foo
run
service
service foo
network create
ps -z
ps --last
ps -n
ps --last x
ps x
rename x
inspect nope
network inspect nope
image inspect nope
volume inspect nope
container inspect nope
rm nope nope2
rm -f nope
-H unix:///nope ps
-H unix:///nope run busybox
-H tcp://127.0.0.1:1 ps
ps -a --no-trunc
ps -aq
ps -n 1
ps --filter name={c}
ps --filter x=y
ps --format '{{.Foo}}'
ps --format '{{.ID'
ps --filter name={c} --format 'table {{.Names}}\t{{.Label "x"}}\t{{.Ports}}\t{{.Mounts}}\t{{.Networks}}'
ps --filter name={c} --format json
inspect {c}
inspect -f '{{.Foo}}' {c}
inspect -f '{{.Foo' {c}
inspect -f '{{json .Config.Labels}} {{.State.Pid}}' {c}
inspect -f '{{range $k,$v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}}{{end}}' {c}
inspect -f '{{len .Config.Env}} {{index .Config.Cmd 0 | upper}} {{join .Config.Cmd ","}}' {c}
inspect -f '{{printf "%-10s|%5d" .Name .State.Pid}}' {c}
inspect -f '{{if .State.Running}}up{{else}}down{{end}} {{eq .State.Status "running"}}' {c}
inspect --type image {c}
inspect --type foo {c}
inspect {c} bridge nope
inspect nope {c} -f '{{.Id}}'
port {c}
port {c} 80
port {c} 81
port {c} x
top {c}
top {c} -o pid,args
logs {c}
logs nope
exec {c} sh -c 'echo o; echo e >&2; exit 4'
exec {c} nope
exec nope ls
exec {c}
exec -e X=1 -w /tmp {c} sh -c 'echo $X; pwd'
exec -it {c} true
run --rm busybox sh -c 'echo out; echo err >&2; exit 7'
run --rm -e A=b busybox sh -c 'echo $A'
run --rm -h foo busybox hostname
run --rm --entrypoint echo busybox hi there
run --rm busybox nope
run --rm --network nope busybox true
run --rm -it busybox true
run --pull never --rm nope
run --pull foo --rm nope
run -d -a stdout busybox
run -p 99999:80 busybox
run -p a:b busybox
create -m x busybox
run --cpus x busybox
run --mount type=bind busybox
run --mount target=/x,foo=bar busybox
run --ulimit nofile=5:1 busybox
run --restart always --rm busybox
wait nope
kill nope
start nope
rename nope x
unpause {c}
network ls
network ls -q --no-trunc
network ls -f x
network ls -f driver=bridge
network ls --format 'table {{.Name}}\t{{.Driver}}'
network inspect bridge
network inspect -f '{{.Name}}' bridge nope host
network rm nope
network create --subnet 10.1.0.0/24 --subnet 10.1.0.0/16 x
network create --gateway 10.1.0.1 x
network connect {c}
network connect nope {c}
volume ls
volume rm nope
images
images --no-trunc --digests
images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}'
images --format json
images nope
image inspect busybox
history busybox
history --no-trunc -H=false busybox
rmi nope
tag nope x
load -i /nope
system df
version -f '{{json .Server}}'
info -f '{{.Name}} {{.Driver}}'
swarm join-token x
"""
SWARM = r"""
swarm join-token worker
swarm join-token -q manager
swarm init
swarm leave
swarm ca
node ls
node ls -q
node ls --format '{{.Hostname}} {{.Self}} {{.TLSStatus}}'
node ps
node inspect self --pretty
node inspect self
node inspect nope
node rm nope
service ls
service ls --format json
service ps {s}
service ps --no-trunc {s}
service ps nope {s}
service inspect {s}
service inspect --pretty {s}
service inspect nope
inspect {s}
network inspect ingress
service scale x
service scale {s}=y
service scale nope=2
service update nope
service rollback nope
service rm nope
service logs nope
service create --publish 80:80:80 busybox
service create --publish target=99999 busybox
service create --mode foo busybox
service create --mode global --replicas 2 busybox
service create -d --name {s} --no-resolve-image busybox
service create -d --network nope --no-resolve-image busybox
service create --replicas -1 busybox
"""


def run(host: str, client: list[str], line: str, **names: str) -> tuple[int, str, str]:
    """A command line's exit code, stdout and stderr, with the program's name and what changes by itself evened out."""
    for key, value in names.items():
        line = line.replace("{%s}" % key, value)  # noqa: UP031 (braces are the templates' own)
    environment = {**os.environ, "DOCKER_HOST": host, "DOCKER_CONFIG": "/nonexistent"}
    quoted = " ".join(f"'{word}'" for word in client[:-1]) + f' "{client[-1]}"'
    done = subprocess.run(
        ["sh", "-c", f"{quoted} {line}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
    )
    return done.returncode, even_out(done.stdout), even_out(done.stderr)


def even_out(text: str) -> str:
    """Ages, ports of sockets and the program's own name are no differences."""
    text = text.replace("shoal", "docker")
    # docker reads times and writes them anew, without the zeros at their end.
    text = re.sub(r"(\.\d*?)0+Z", lambda match: match[1].rstrip(".") + "Z", text)
    text = re.sub(
        r"\b(About an? \w+|about an? \w+|[Ll]ess than a second|\d+ (second|minute|hour)s?)( ago)?", "AGE", text
    )
    text = re.sub(r"AGE +", "AGE ", text)
    text = re.sub(r"CREATED +|STATUS +|CURRENT STATE +", lambda match: match[0].split()[0] + " ", text)
    # Go gives the entries of a map in any order.
    return re.sub(r'"Labels":"([^"]*)"', lambda match: '"Labels":"' + ",".join(sorted(match[1].split(","))) + '"', text)


def compare(host: str, line: str, **names: str) -> None:
    """Hold both clients' outputs together; again, when the daemon may have moved on between the two."""
    for _ in range(2):
        if run(host, SHOAL, line, **names) == run(host, [DOCKER], line, **names):
            return
    assert run(host, SHOAL, line, **names) == run(host, [DOCKER], line, **names)


@pytest.fixture(scope="module")
def host(shared_machine: Machine) -> Iterator[str]:
    if given := os.environ.get("SHOAL_TEST_HOST"):
        yield given
        return
    shared_machine.reset()
    shared_machine.docker("swarm", "init")
    yield shared_machine.shoald.host
    shared_machine.reset()


@pytest.fixture(scope="module")
def container(host: str) -> Iterator[str]:
    create = [DOCKER, "-H", host, "run", "-d", "--name", NAME, "--label", "x=y", "-p", "127.0.0.1::80", "busybox"]
    subprocess.run([*create, "sh", "-c", "echo hello; sleep 1000"], check=True, capture_output=True)
    yield NAME
    subprocess.run([DOCKER, "-H", host, "rm", "-f", NAME], check=True, capture_output=True)


@pytest.fixture(scope="module")
def service(host: str) -> Iterator[str]:
    state = subprocess.run(
        [DOCKER, "-H", host, "info", "-f", "{{.Swarm.ControlAvailable}}"], capture_output=True, text=True
    )
    if state.stdout.strip() != "true":
        pytest.skip("the daemon is no swarm manager")
    create = [DOCKER, "-H", host, "service", "create", "--name", NAME, "--no-resolve-image", "-l", "a=b", "-e", "X=1"]
    subprocess.run([*create, "--replicas", "2", "busybox", "sleep", "1000"], check=True, capture_output=True)
    yield NAME
    subprocess.run([DOCKER, "-H", host, "service", "rm", NAME], check=True, capture_output=True)


@pytest.mark.parametrize("line", COMMANDS.strip().split("\n"))
def test_same_as_docker(host: str, container: str, line: str) -> None:
    compare(host, line, c=container)


@pytest.mark.parametrize("line", SWARM.strip().split("\n"))
def test_same_as_docker_in_a_swarm(host: str, service: str, line: str) -> None:
    compare(host, line, s=service)


def test_stdin_reaches_the_container_and_its_end_too(host: str) -> None:
    data = os.urandom(1 << 20)
    done = subprocess.run(
        [*SHOAL, "-H", host, "run", "-i", "--rm", "busybox", "cat"], input=data, capture_output=True, timeout=60
    )
    assert done.stdout == data and done.returncode == 0
