"""What a person mistypes, in every command of the lab: dockerd's words, the client's exit code, and nothing changed.

The texts are what the reference engine answers, word for word; ``{node}``, ``{web}`` and the like stand for ids.
"""

from collections.abc import Iterator

import pytest
from tests.e2e.harness import NOT_A_MANAGER, Machine, eventually

pytestmark = [pytest.mark.root, pytest.mark.e2e]

DAEMON = "Error response from daemon: "
INVALID = f"{DAEMON}rpc error: code = InvalidArgument desc = "
ALREADY = f"{DAEMON}This node is already part of a swarm. "
ADVERTISE = "advertise address must be a non-zero IP address or network interface (with optional port number)"
UNAVAILABLE_PORT = "port '80' is already in use by service 'web' ({web}) as an ingress port"
POOL = "--default-addr-pool 10.0.0.0/24 --default-addr-pool-mask-length 16"

# Said by the daemon, so the same with either client.
OUTSIDE_A_SWARM = [
    ("swarm leave", f"{DAEMON}This node is not part of a swarm"),
    ("swarm leave --force", f"{DAEMON}This node is not part of a swarm"),
    ("node ls", NOT_A_MANAGER),
    ("node ps self", NOT_A_MANAGER),
    ("service ls", NOT_A_MANAGER),
    ("service create nginx", NOT_A_MANAGER),
    ("service ps web", NOT_A_MANAGER),
    ("service rm web", NOT_A_MANAGER),
    ("network create -d overlay inner", NOT_A_MANAGER),
    ("swarm init --advertise-addr nope0", f"{DAEMON}{ADVERTISE}"),
    ("swarm init --advertise-addr 0.0.0.0", f"{DAEMON}{ADVERTISE}"),
    (
        "swarm init --listen-addr 1.2.3.4.5",
        f"{DAEMON}listen address must be an IP address or network interface (with optional port number)",
    ),
    (f"swarm init {POOL}", f'{DAEMON}invalid CIDR: "10.0.0.0/24". Subnet size is too small for pool: 16'),
    (
        "swarm init --data-path-port 80",
        f"{DAEMON}Datapath port number is not in valid range (1024-49151) : 80",
    ),
]
IN_A_SWARM = [
    ("swarm init", f'{ALREADY}Use "docker swarm leave" to leave this swarm and join another one.'),
    (
        "swarm join --token x 192.168.77.1:2377",
        f'{ALREADY}Use "docker swarm leave" to leave this swarm and join another one.',
    ),
    (
        "swarm leave",
        f"{DAEMON}You are attempting to leave the swarm on a node that is participating as a manager. Removing the "
        "last manager erases all current state of the swarm. Use `--force` to ignore this message.",
    ),
    ("swarm update --cert-expiry 1m", f"{INVALID}minimum certificate expiry time is: 1h0m0s"),
    ("node ls --filter role=boss", f"{DAEMON}Invalid role filter: 'boss'"),
    ("node ls --filter nope=x", f"{DAEMON}invalid filter 'nope'"),
    ("node inspect nope", f"{DAEMON}node nope not found"),
    ("node ps nope", f"{DAEMON}node nope not found"),
    ("node rm nope", f"{DAEMON}node nope not found"),
    (
        "network create -d overlay --subnet 10.9.0.0/33 bad",
        f"{DAEMON}Invalid subnet 10.9.0.0/33 : invalid CIDR address: 10.9.0.0/33",
    ),
    (
        "network create -d overlay --subnet nonsense bad",
        f"{DAEMON}Invalid subnet nonsense : invalid CIDR address: nonsense",
    ),
    ("network create -d overlay ingress", f"{DAEMON}network with name ingress already exists"),
    ("network create -d overlay inner", f"{DAEMON}network with name inner already exists"),
    (
        "network create -d overlay --ingress second",
        f"{DAEMON}rpc error: code = AlreadyExists desc = ingress network ({{ingress}}) is already present",
    ),
    ("network rm nope", f"{DAEMON}network nope not found"),
    ("network rm bridge", f"{DAEMON}bridge is a pre-defined network and cannot be removed"),
    (
        "network rm inner",
        f"{DAEMON}rpc error: code = FailedPrecondition desc = network {{inner}} is in use by service {{web}}",
    ),
    ("network inspect nope", f"{DAEMON}network nope not found"),
    ("network connect inner nope", f"{DAEMON}No such container: nope"),
    ("network ls --filter nope=1", f"{DAEMON}invalid filter 'nope'"),
    ("service create --name other --network nope nginx", f"{DAEMON}network nope not found"),
    ("service create --name bad_ nginx", f"{INVALID}name must be valid as a DNS name component"),
    (
        "service create --name web nginx",
        f"{DAEMON}rpc error: code = AlreadyExists desc = name conflicts with an existing "
        "object: service web already exists",
    ),
    ("service create --name other --publish 80:80 nginx", f"{INVALID}{UNAVAILABLE_PORT}"),
    (
        "service create --name other --limit-memory 1m nginx",
        f"{INVALID}invalid memory value 1048576: Must be at least 4MiB",
    ),
    ("service create --name other --endpoint-mode nope nginx", f'{DAEMON}invalid resolution mode: "nope"'),
    (
        "service create --name other --endpoint-mode dnsrr --publish 82:80 nginx",
        f"{INVALID}EndpointSpec: port published with ingress mode can't be used with dnsrr mode",
    ),
    (
        "service create --name other --constraint node.bad nginx",
        f"{DAEMON}rpc error: code = Unknown desc = constraint expected one operator from ==, !=",
    ),
    ("service create --name other --restart-condition nope nginx", f'{DAEMON}invalid RestartCondition: "nope"'),
    (
        "service create --name other BAD/Image",
        f'{INVALID}ContainerSpec: "BAD/Image" is not a valid repository/tag',
    ),
    (
        "service create --name other --network ingress nginx",
        f'{INVALID}Service cannot be explicitly attached to the ingress network "ingress"',
    ),
    ("service update --image BAD/Image web", f'{INVALID}ContainerSpec: "BAD/Image" is not a valid repository/tag'),
    ("service update --replicas 2 nope", f"{DAEMON}service nope not found"),
    ("service rm nope", f"{DAEMON}service nope not found"),
    ("service scale nope=2", f"nope: {DAEMON}service nope not found"),
    ("service ls --filter nope=1", f"{DAEMON}invalid filter 'nope'"),
    ("service ps web --filter nope=1", f"{DAEMON}invalid filter 'nope'"),
    ("service ps nope", "no such service: nope"),
    ("service logs nope", "no such task or service: nope"),
    ("service scale web=x", 'web: invalid replicas value x: strconv.ParseUint: parsing "x": invalid syntax'),
    ("service scale all=2", "all: scale can only be used with replicated or replicated-job mode"),
    ("service update --replicas 2 all", "replicas can only be used with replicated mode"),
    ("service create --name other --mode nope nginx", "Unknown mode: nope, only replicated and global supported"),
    (
        "service create --name other --mode global --replicas 2 nginx",
        "replicas can only be used with replicated or replicated-job mode",
    ),
    ("swarm join-token nope", "unknown role nope"),
]
# Refused by the client before it asks; then it ends with 125, and says how it is used.
FLAGS = [
    (
        "service create --publish published=70000,target=80 nginx",
        'invalid argument "published=70000,target=80" for "-p, --publish" flag: invalid published port (70000): value '
        "must be an integer: value out of range",
    ),
    (
        "service create --publish published=80,target=80,mode=nope nginx",
        'invalid argument "published=80,target=80,mode=nope" for "-p, --publish" flag: invalid publish mode value '
        "(nope): must be either 'ingress' or 'host'",
    ),
    (
        "service create --replicas=-1 nginx",
        'invalid argument "-1" for "--replicas" flag: strconv.ParseUint: parsing "-1": invalid syntax',
    ),
    (
        "swarm init --default-addr-pool 10.0.0.0/33",
        'invalid argument "10.0.0.0/33" for "--default-addr-pool" flag: invalid string being converted to CIDR: '
        "10.0.0.0/33",
    ),
]
CONTAINERS = [
    ("run --ip 10.9.0.9 busybox", "user specified IP address is supported on user defined networks only"),
    ("run --memory 1m busybox", "Minimum memory limit allowed is 6MB"),
    ("run --name -bad busybox", "Invalid container name (-bad), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
    (
        "run -v rel/path:/x busybox",
        'create rel/path: "rel/path" includes invalid characters for a local volume name, only '
        '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
    ),
]
UNKNOWN = ["start nope", "stop nope", "exec nope true", "logs nope", "rm nope", "kill nope", "top nope", "wait nope"]


@pytest.fixture(scope="module")
def bare(shared_machine: Machine) -> Machine:
    """A machine without a swarm."""
    shared_machine.reset()
    return shared_machine


@pytest.fixture(scope="module")
def busy(shared_machine: Machine) -> Iterator[tuple[Machine, dict[str, str]]]:
    """A swarm with a network, a service on port 80 and a global one; and the ids of all."""
    machine = shared_machine
    machine.reset()
    machine.docker("swarm", "init")
    machine.docker("network", "create", "-d", "overlay", "inner")
    create = ("service", "create", "-q", "-d", "--stop-grace-period", "0s")
    machine.docker(*create, "--name", "web", "--publish", "80:80", "--network", "inner", "nginx")
    machine.docker(*create, "--name", "all", "--mode", "global", "busybox", "sleep", "1000")
    for name in ("web", "all"):
        machine.running(name, "1/1")
    ids = {name: machine.inspect(name).get("ID") or machine.inspect(name)["Id"] for name in ("web", "inner", "ingress")}
    yield machine, ids
    machine.reset()


def state(machine: Machine) -> list[str]:
    """All that a refused command could have changed."""
    lists = [("network", "ls"), ("ps", "-aq"), ("volume", "ls"), ("info", "--format", "{{json .Swarm}}")]
    found = [machine.docker(*words).out for words in lists]
    services = machine.docker("service", "ls", "-q", check=False).lines
    for service in services:
        found.append(str(machine.inspect(service)))
    return found


def first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


@pytest.mark.parametrize("client", ["docker", "shoal"])
@pytest.mark.parametrize(("command", "message"), OUTSIDE_A_SWARM, ids=[c for c, _ in OUTSIDE_A_SWARM])
def test_without_a_swarm(bare: Machine, client: str, command: str, message: str) -> None:
    before = state(bare)
    ran = getattr(bare, client)(*command.split(), check=False)
    assert (first_line(ran.err), ran.status) == (message, 1)
    assert state(bare) == before


@pytest.mark.parametrize("client", ["docker", "shoal"])
@pytest.mark.parametrize(("command", "message"), IN_A_SWARM, ids=[c for c, _ in IN_A_SWARM])
def test_in_a_swarm(busy: tuple[Machine, dict[str, str]], client: str, command: str, message: str) -> None:
    machine, ids = busy
    before = state(machine)
    ran = getattr(machine, client)(*command.split(), check=False)
    said = first_line(ran.err) or first_line(ran.out)
    assert (said, ran.status) == (message.format(**ids) if "{" in message else message, 1)
    assert state(machine) == before


@pytest.mark.parametrize("client", ["docker", "shoal"])
@pytest.mark.parametrize(("command", "message"), FLAGS, ids=[c for c, _ in FLAGS])
def test_flags_that_cannot_be(bare: Machine, client: str, command: str, message: str) -> None:
    ran = getattr(bare, client)(*command.split(), check=False)
    assert (first_line(ran.err), ran.status) == (message, 125)


@pytest.mark.parametrize(("command", "message"), CONTAINERS, ids=[c for c, _ in CONTAINERS])
def test_containers_that_cannot_be(bare: Machine, command: str, message: str) -> None:
    before = state(bare)
    ran = bare.docker(*command.split(), check=False)
    assert (first_line(ran.err), ran.status) == (f"docker: {DAEMON}{message}", 125)
    assert state(bare) == before


@pytest.mark.parametrize("command", UNKNOWN)
def test_containers_that_are_not_there(bare: Machine, command: str) -> None:
    for client in (bare.docker, bare.shoal):
        ran = client(*command.split(), check=False)
        assert (first_line(ran.err), ran.status) == (f"{DAEMON}No such container: nope", 1)


def test_a_network_without_addresses_left(machine: Machine) -> None:
    machine.docker("network", "create", "--subnet", "10.9.0.0/30", "tiny")
    machine.docker("run", "-d", "--network", "tiny", "busybox", "sleep", "1000")
    full = machine.docker("run", "-d", "--network", "tiny", "busybox", "sleep", "1000", check=False)
    assert full.status == 125
    assert "no available IPv4 addresses on this network's address pools" in full.err
    overlaps = machine.docker("network", "create", "--subnet", "10.9.0.0/24", "overlaps", check=False)
    assert (overlaps.err, overlaps.status) == (f"{DAEMON}Pool overlaps with other one on this address space", 1)


def test_a_swarm_without_subnets_left(machine: Machine) -> None:
    pools = ("--default-addr-pool", "10.20.0.0/24", "--default-addr-pool-mask-length", "25")
    machine.docker("swarm", "init", *pools)
    for name in ("n1", "n2", "n3"):
        machine.docker("network", "create", "-d", "overlay", name)
    machine.docker("service", "create", "-q", "-d", "--name", "stuck", "--network", "n3", "busybox", "true")
    expected = (
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    )
    row = machine.docker("service", "ps", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}", "stuck").out
    assert row.startswith("New ")
    assert expected in row


def test_a_port_of_every_node_is_taken(swarm: Machine) -> None:
    swarm.docker(
        *("service", "create", "-q", "-d", "--name", "two", "--replicas", "2"),
        *("--publish", "mode=host,published=8095,target=80", "nginx"),
    )
    swarm.running("two", "1/2")
    rows = swarm.docker("service", "ps", "--no-trunc", "--format", "{{.CurrentState}} {{.Error}}", "two").lines
    assert any('"no suitable node (host-mode port already in use on 1 node)"' in row for row in rows)


def test_a_placement_that_no_node_has(swarm: Machine) -> None:
    swarm.docker("service", "create", "-q", "-d", "--name", "picky", "--constraint", "node.labels.x==y", "nginx")
    words = ("service", "ps", "--no-trunc", "--format", "{{.Error}}", "picky")
    row = eventually(lambda: swarm.docker(*words).out)
    assert row == '"no suitable node (scheduling constraints not satisfied on 1 node)"'
