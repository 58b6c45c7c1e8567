"""``shoal swarm``."""

import ipaddress
import sys

from shoal.cli.command import PROGRAM, Arguments, Command, Flag, Kind
from shoal.cli.context import Context
from shoal.cli.help import command_help
from shoal.cli.kinds import DURATION, INT, UINT, UINT32, switch, text_flag
from shoal.cli.quantities import SECOND
from shoal.cli.rotation import wait_for_rotation
from shoal.cli.texts import split_csv
from shoal.client.engine import Json
from shoal.errors import InvalidArgument

LISTEN = "0.0.0.0:2377"
CERT_EXPIRY = 2160 * 3600 * SECOND


def parse_external_ca(text: str) -> Json:
    """``protocol=cfssl,url=…,cacert=FILE``. Raises InvalidArgument."""
    ca: Json = {"Protocol": "", "URL": "", "Options": {}}
    for field in split_csv(text):
        key, separator, value = field.partition("=")
        if not separator:
            raise InvalidArgument(f"invalid field '{field}' must be a key=value pair")
        match key.lower():
            case "protocol":
                if value.lower() != "cfssl":
                    raise InvalidArgument(f"unrecognized external CA protocol {value}")
                ca["Protocol"] = "cfssl"
            case "url":
                ca["URL"] = value
            case "cacert":
                ca["CACert"] = parse_pem_file(value)
            case _:
                ca["Options"][key] = value
    if not ca["Protocol"]:
        raise InvalidArgument("the external-ca option needs a protocol= parameter")
    if not ca["URL"]:
        raise InvalidArgument("the external-ca option needs a url= parameter")
    return ca


def parse_pem_file(path: str) -> str:
    """A PEM file's content. Raises InvalidArgument."""
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, UnicodeError) as error:
        raise InvalidArgument(str(error)) from error


def parse_pools(text: str) -> str:
    """Networks in CIDR form, with commas between them."""
    for part in text.split(","):
        try:
            ipaddress.ip_network(part, strict=False)
        except ValueError as error:
            raise InvalidArgument(f"invalid string being converted to CIDR: {part}") from error
    return text


EXTERNAL_CA = Kind("external-ca", parse_external_ca, many=True)
PEM_FILE = Kind("pem-file", parse_pem_file)
NODE_ADDRESS = Kind("node-addr", lambda text: text if ":" in text else f"{text}:2377")
POOLS = Kind("ipNetSlice", parse_pools, many=True)
SPEC_FLAGS = (
    Flag(
        "cert-expiry",
        DURATION,
        "How long nodes' certificates are valid (ns|us|ms|s|m|h)",
        default=CERT_EXPIRY,
        shown="2160h0m0s",
    ),
    Flag(
        "dispatcher-heartbeat",
        DURATION,
        "Time between two heartbeats of a node (ns|us|ms|s|m|h)",
        default=5 * SECOND,
        shown="5s",
    ),
    Flag("external-ca", EXTERNAL_CA, "Where certificates can be signed"),
    Flag("max-snapshots", UINT, "Number of Raft snapshots to keep beside the last"),
    Flag("snapshot-interval", UINT, "Number of log entries between two Raft snapshots", default=10000, shown="10000"),
    Flag("task-history-limit", INT, "Number of ended tasks to keep", default=5, shown="5"),
)
JOIN_FLAGS = (
    text_flag("advertise-addr", "Address that the others reach this node at (<ip|interface>[:port])"),
    text_flag("data-path-addr", "Address or interface for the containers' traffic (<ip|interface>)"),
    Flag("listen-addr", NODE_ADDRESS, "Address to listen on (<ip|interface>[:port])", default=LISTEN, shown=LISTEN),
)


def merge_spec(spec: Json, args: Arguments) -> None:
    """Put what was given on the command line into a swarm's spec."""
    if args.given("task-history-limit"):
        spec.setdefault("Orchestration", {})["TaskHistoryRetentionLimit"] = args["task-history-limit"]
    if args.given("dispatcher-heartbeat"):
        spec.setdefault("Dispatcher", {})["HeartbeatPeriod"] = args["dispatcher-heartbeat"]
    if args.given("cert-expiry"):
        spec.setdefault("CAConfig", {})["NodeCertExpiry"] = args["cert-expiry"]
    if args.given("external-ca"):
        spec.setdefault("CAConfig", {})["ExternalCAs"] = args.items("external-ca")
    if args.given("max-snapshots"):
        spec.setdefault("Raft", {})["KeepOldSnapshots"] = args["max-snapshots"]
    if args.given("snapshot-interval"):
        spec.setdefault("Raft", {})["SnapshotInterval"] = args["snapshot-interval"]
    if args.given("autolock"):
        spec.setdefault("EncryptionConfig", {})["AutoLockManagers"] = args.on("autolock")


def run_init(ctx: Context, args: Arguments) -> int:
    """Make this node the first manager of a new swarm."""
    availability = _availability(args)
    pools = [part for text in args.items("default-addr-pool") for part in text.split(",")]
    spec: Json = {"Labels": {}}
    merge_spec(spec, args)
    identifier = ctx.engine.post(
        "/swarm/init",
        body={
            "ListenAddr": args.text("listen-addr"),
            "AdvertiseAddr": args.text("advertise-addr"),
            "DataPathAddr": args.text("data-path-addr"),
            "DataPathPort": args.number("data-path-port"),
            "DefaultAddrPool": pools or None,
            "SubnetSize": args.number("default-addr-pool-mask-length"),
            "ForceNewCluster": args.on("force-new-cluster"),
            "AutoLockManagers": args.on("autolock"),
            "Availability": availability,
            "Spec": spec,
        },
    )
    ctx.out(f"Swarm initialized: current node ({identifier}) is now a manager.\n")
    join_command(ctx, "worker")
    ctx.out(f"To add a manager to this swarm, run '{PROGRAM} swarm join-token manager' and follow the instructions.")
    return 0


def join_command(ctx: Context, role: str) -> None:
    """Print the command that adds a node."""
    node = ctx.engine.get("/info")["Swarm"]["NodeID"]
    address = (ctx.engine.get(f"/nodes/{node}").get("ManagerStatus") or {}).get("Addr", "")
    token = ctx.engine.get("/swarm")["JoinTokens"][role.capitalize()]
    ctx.out(
        f"To add a {role} to this swarm, run the following command:\n\n"
        f"    {PROGRAM} swarm join --token {token} {address}\n"
    )


def _availability(args: Arguments) -> str:
    availability = args.text("availability").lower()
    if availability not in ("active", "pause", "drain"):
        raise InvalidArgument(f'invalid availability "{availability}", only active, pause and drain are supported')
    return availability


def run_join(ctx: Context, args: Arguments) -> int:
    """Join a swarm."""
    ctx.engine.post(
        "/swarm/join",
        body={
            "ListenAddr": args.text("listen-addr"),
            "AdvertiseAddr": args.text("advertise-addr"),
            "DataPathAddr": args.text("data-path-addr"),
            "RemoteAddrs": [args.words[0]],
            "JoinToken": args.text("token"),
            "Availability": _availability(args),
        },
    )
    manager = ctx.engine.get("/info")["Swarm"].get("ControlAvailable")
    ctx.out(f"This node joined a swarm as a {'manager' if manager else 'worker'}.")
    return 0


def run_leave(ctx: Context, args: Arguments) -> int:
    """Leave the swarm."""
    ctx.engine.post("/swarm/leave", {"force": args.on("force") or None})
    ctx.out("Node left the swarm.")
    return 0


def run_join_token(ctx: Context, args: Arguments) -> int:
    """Print or change the token of a role."""
    role, quiet = args.words[0], args.on("quiet")
    if role not in ("worker", "manager"):
        raise InvalidArgument(f"unknown role {role}")
    if args.on("rotate"):
        found = ctx.engine.get("/swarm")
        flag = "rotateWorkerToken" if role == "worker" else "rotateManagerToken"
        ctx.engine.post("/swarm/update", {"version": found["Version"]["Index"], flag: "true"}, found["Spec"])
        if not quiet:
            ctx.out(f"Successfully rotated {role} join token.\n")
    if quiet:
        ctx.out(ctx.engine.get("/swarm")["JoinTokens"][role.capitalize()])
        return 0
    join_command(ctx, role)
    return 0


def run_update(ctx: Context, args: Arguments) -> int:
    """Change the swarm's settings; without a flag, tell which there are."""
    if not args.any_given("autolock", *(flag.name for flag in SPEC_FLAGS)):
        command = next(row for row in COMMANDS if row.name == "update")
        ctx.out(command_help(ctx.path, command, [ctx.path]))
        return 0
    found = ctx.engine.get("/swarm")
    spec = found["Spec"]
    merge_spec(spec, args)
    ctx.engine.post("/swarm/update", {"version": found["Version"]["Index"]}, spec)
    ctx.out("Swarm updated.")
    return 0


def run_ca(ctx: Context, args: Arguments) -> int:
    """Print the root certificate; or replace it, and print the one that all nodes trust in the end."""
    found = ctx.engine.get("/swarm")
    if not args.on("rotate"):
        if name := next((name for name in ("ca-cert", "ca-key", "cert-expiry", "external-ca") if args.given(name)), ""):
            raise InvalidArgument(f"`--{name}` flag requires the `--rotate` flag to update the CA")
        _show_root(ctx)
        return 0
    if args.given("external-ca") and not args.given("ca-cert"):
        raise InvalidArgument(
            "rotating to an external CA requires the `--ca-cert` flag to specify the external CA's cert - to add an "
            "external CA with the current root CA certificate, use the `update` command instead"
        )
    if args.given("ca-cert") and not args.any_given("ca-key", "external-ca"):
        raise InvalidArgument(
            "the --ca-cert flag requires that a --ca-key flag and/or --external-ca flag be provided as well"
        )
    spec = found["Spec"]
    authority = spec.setdefault("CAConfig", {})
    merge_spec(spec, args)
    if args.any_given("ca-cert", "ca-key"):
        authority |= {"SigningCACert": args.text("ca-cert"), "SigningCAKey": args.text("ca-key")}
    else:
        authority["ForceRotate"] = authority.get("ForceRotate", 0) + 1
    ctx.engine.post("/swarm/update", {"version": found["Version"]["Index"]}, spec)
    if args.on("detach"):
        return 0
    wait_for_rotation(ctx, None if args.on("quiet") else sys.stdout)
    if not args.on("quiet"):
        _show_root(ctx)
    return 0


def _show_root(ctx: Context) -> None:
    if not (root := (ctx.engine.get("/swarm").get("TLSInfo") or {}).get("TrustRoot")):
        raise InvalidArgument("No CA information available")
    ctx.out(root.strip())


AVAILABILITY = text_flag("availability", 'Availability of the node ("active", "pause", "drain")', default="active")
AUTOLOCK = switch("autolock", "Lock managers, which then need a key to start")
COMMANDS = (
    Command(
        "init",
        "Initialize a swarm",
        run_init,
        most=0,
        flags=(
            *SPEC_FLAGS,
            *JOIN_FLAGS,
            AVAILABILITY,
            AUTOLOCK,
            Flag("data-path-port", UINT32, "Port of the containers' traffic (1024 to 49151; 0 for 4789)"),
            Flag("default-addr-pool", POOLS, "Pool of the networks' subnets, in CIDR form", shown="[]"),
            Flag("default-addr-pool-mask-length", UINT32, "Prefix length of those subnets", default=24, shown="24"),
            switch("force-new-cluster", "Make a new swarm of this manager's state"),
        ),
        examples=("swarm init", "swarm init --advertise-addr 192.168.1.10"),
    ),
    Command(
        "join",
        "Join a swarm as a node and/or manager",
        run_join,
        "HOST:PORT",
        1,
        1,
        flags=(*JOIN_FLAGS, AVAILABILITY, text_flag("token", "Token for entry into the swarm")),
        examples=("swarm join --token SWMTKN-1-… 192.168.1.10:2377",),
    ),
    Command(
        "leave",
        "Leave the swarm",
        run_leave,
        most=0,
        flags=(switch("force", "Leave even as a manager, ignoring warnings", "f"),),
        examples=("swarm leave --force",),
    ),
    Command(
        "join-token",
        "Manage join tokens",
        run_join_token,
        "(worker|manager)",
        1,
        1,
        flags=(switch("quiet", "Only display the token", "q"), switch("rotate", "Replace the token")),
        examples=("swarm join-token worker", "swarm join-token --rotate manager"),
    ),
    Command(
        "update",
        "Update the swarm",
        run_update,
        most=0,
        flags=(*SPEC_FLAGS, AUTOLOCK),
        examples=("swarm update --task-history-limit 2",),
    ),
    Command(
        "ca",
        "Display and rotate the root CA",
        run_ca,
        most=0,
        flags=(
            Flag("ca-cert", PEM_FILE, "Root certificate for the swarm from now on"),
            Flag("ca-key", PEM_FILE, "Key of that certificate"),
            *(flag for flag in SPEC_FLAGS if flag.name in ("cert-expiry", "external-ca")),
            switch("detach", "Do not wait until all nodes have changed", "d"),
            switch("quiet", "Suppress progress output", "q"),
            switch("rotate", "Replace the root, by a new one unless one is given"),
        ),
        examples=("swarm ca", "swarm ca --rotate"),
    ),
)
