"""``shoal network``."""

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.context import Context
from shoal.cli.inspection import inspect
from shoal.cli.kinds import (
    FILTER,
    INT,
    LIST,
    MAP,
    PAIRS,
    STRINGS,
    filter_flag,
    filters_of,
    format_flag,
    switch,
    text_flag,
)
from shoal.cli.listing import Column, Listing, natural
from shoal.cli.many import confirmed, for_each
from shoal.cli.networks import endpoint_settings
from shoal.cli.quantities import go_time_exact
from shoal.client.engine import Json, quote
from shoal.errors import InvalidArgument, NotFound

INGRESS_WARNING = (
    "WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm run the same docker"
    " engine version. Otherwise, removal may not be effective and functionality of newly create ingress networks"
    " will be impaired.\nAre you sure you want to continue?"
)


def run_ls(ctx: Context, args: Arguments) -> int:
    """List networks."""
    trunc = not args.on("no-trunc")

    def yes(value: object) -> str:
        return "true" if value else "false"

    columns = (
        Column("CreatedAt", "CREATED AT", lambda row: go_time_exact(row["Created"])),
        Column("Driver", "DRIVER", lambda row: row["Driver"]),
        Column("ID", "NETWORK ID", lambda row: row["Id"][:12] if trunc else row["Id"]),
        Column("IPv4", "IPV4", lambda row: yes(row.get("EnableIPv4"))),
        Column("IPv6", "IPV6", lambda row: yes(row.get("EnableIPv6"))),
        Column("Internal", "INTERNAL", lambda row: yes(row.get("Internal"))),
        Column("Labels", "LABELS", lambda row: ",".join(f"{k}={v}" for k, v in (row.get("Labels") or {}).items())),
        Column("Name", "NAME", lambda row: row["Name"]),
        Column("Scope", "SCOPE", lambda row: row["Scope"]),
        Column("Label", "", lambda row: lambda name: (row.get("Labels") or {}).get(name, "")),
    )
    table = ("ID", "Name", "Driver", "Scope")
    listing = Listing("*network.networkContext", columns, table, config_key="networksFormat")
    rows = ctx.engine.get("/networks", {"filters": filters_of(args.items("filter"))})
    listing.show(ctx, sorted(rows, key=lambda row: natural(row["Name"])), args.text("format"), quiet=args.on("quiet"))
    return 0


def run_inspect(ctx: Context, args: Arguments) -> int:
    """Print networks as JSON."""
    query = {"verbose": args.on("verbose") or None}
    return inspect(ctx, args.words, args.text("format"), lambda name: ctx.engine.get(f"/networks/{quote(name)}", query))


def ipam_config(subnets: list[str], ranges: list[str], gateways: list[str], auxiliary: dict[str, str]) -> list[Json]:
    """The API's IPAM pools: each range, gateway and address belongs to the subnet that holds it.

    Raises InvalidArgument in Docker's words.
    """
    if len(subnets) < len(ranges) or len(subnets) < len(gateways):
        raise InvalidArgument("every ip-range or gateway must have a corresponding subnet")
    pools: list[tuple[_Net, Json]] = []
    for subnet in subnets:
        net = _Net(subnet)
        for other, _ in pools:
            if net.contains(other.first) or other.contains(net.first):
                raise InvalidArgument("multiple overlapping subnet configuration is not supported")
        pools.append((net, {"Subnet": subnet}))
    for text in ranges:
        _place(pools, text, "IPRange", "no matching subnet for range")
    for text in gateways:
        _place(pools, text, "Gateway", "no matching subnet for gateway")
    for name, address in auxiliary.items():
        pool = next((pool for net, pool in pools if net.contains(_Net(address).first)), None)
        if pool is None:
            raise InvalidArgument(f"no matching subnet for aux-address {address}")
        pool.setdefault("AuxiliaryAddresses", {})[name] = address
    return [pool for _, pool in pools]


def _place(pools: list[tuple["_Net", Json]], text: str, key: str, problem: str) -> None:
    for net, pool in pools:
        if net.contains(_Net(text).first):
            if key in pool:
                raise InvalidArgument(
                    f"cannot configure multiple {'ranges' if key == 'IPRange' else 'gateways'} on the same subnet"
                )
            pool[key] = text
            return
    raise InvalidArgument(f"{problem} {text}")


class _Net:
    """A subnet or address as given; what cannot be parsed is left for the daemon to refuse."""

    def __init__(self, text: str) -> None:
        address, _, length = text.partition("/")
        parts = address.split(".")
        self.first = self.bits = -1
        if len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts):
            self.first, self.bits = int.from_bytes(bytes(int(part) for part in parts), "big"), 32
        elif ":" in address:
            self.first, self.bits = _ipv6(address), 128
        self._length = int(length) if length.isdigit() else self.bits
        self._text = text

    def contains(self, number: int) -> bool:
        """Whether an address is in this subnet."""
        shift = self.bits - self._length
        return self.first >= 0 and number >= 0 and number >> shift == self.first >> shift


def _ipv6(text: str) -> int:
    head, gap, tail = text.partition("::")
    left, right = [part for part in head.split(":") if part], [part for part in tail.split(":") if part]
    groups = left + ["0"] * (8 - len(left) - len(right) if gap else 0) + right
    try:
        return int("".join(f"{int(group, 16):04x}" for group in groups), 16) if len(groups) == 8 else -1
    except ValueError:
        return -1


def run_create(ctx: Context, args: Arguments) -> int:
    """Create a network and print its id."""
    pools = ipam_config(
        args.items("subnet"), args.items("ip-range"), args.items("gateway"), dict(args.items("aux-address"))
    )
    body: Json = {
        "Name": args.words[0],
        "Driver": args.text("driver"),
        "Options": dict(args.items("opt")),
        "IPAM": {"Driver": args.text("ipam-driver"), "Config": pools, "Options": dict(args.items("ipam-opt"))},
        "Internal": args.on("internal"),
        "Ingress": args.on("ingress"),
        "Attachable": args.on("attachable"),
        "ConfigOnly": args.on("config-only"),
        "Scope": args.text("scope"),
        "Labels": dict(args.items("label")),
        "CheckDuplicate": True,
    }
    for flag, key in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")):
        if args.given(flag):
            body[key] = args.on(flag)
    if args.text("config-from"):
        body["ConfigFrom"] = {"Network": args.text("config-from")}
    ctx.out(ctx.engine.post("/networks/create", body=body)["Id"])
    return 0


def run_connect(ctx: Context, args: Arguments) -> int:
    """Connect a container to a network."""
    network, container = args.words
    attachment: Json = {
        "Aliases": args.items("alias"),
        "IPv4Address": args.text("ip"),
        "IPv6Address": args.text("ip6"),
        "LinkLocalIPs": args.items("link-local-ip"),
        "Links": args.items("link"),
        "DriverOpts": dict(option.partition("=")[::2] for option in args.items("driver-opt")),
        "GwPriority": args.number("gw-priority"),
    }
    body = {"Container": container, "EndpointConfig": endpoint_settings(attachment)}
    ctx.engine.post(f"/networks/{quote(network)}/connect", body=body)
    return 0


def run_disconnect(ctx: Context, args: Arguments) -> int:
    """Disconnect a container from a network."""
    network, container = args.words
    body = {"Container": container, "Force": args.on("force")}
    ctx.engine.post(f"/networks/{quote(network)}/disconnect", body=body)
    return 0


def run_rm(ctx: Context, args: Arguments) -> int:
    """Remove networks."""

    def remove(name: str) -> str | None:
        try:
            found = ctx.engine.get(f"/networks/{quote(name)}")
            if found.get("Ingress") and not confirmed(ctx, INGRESS_WARNING):
                return ""
        except NotFound:
            pass
        try:
            ctx.engine.delete(f"/networks/{quote(name)}")
        except NotFound:
            if not args.on("force"):
                raise
        return None

    status = for_each(ctx, args.words, remove)
    if status:
        ctx.err(f"exit status {status}")
    return status


def run_prune(ctx: Context, args: Arguments) -> int:
    """Remove networks that nothing uses."""
    warning = "WARNING! This will remove all custom networks not used by at least one container."
    if not args.on("force") and not confirmed(ctx, f"{warning}\nAre you sure you want to continue?"):
        return 0
    report = ctx.engine.post("/networks/prune", {"filters": filters_of(args.items("filter"))})
    if report.get("NetworksDeleted"):
        ctx.out("Deleted Networks:\n" + "\n".join(report["NetworksDeleted"]) + "\n")
    return 0


ANY = ("networks",)
COMMANDS = (
    Command(
        "ls",
        "List networks",
        run_ls,
        most=0,
        flags=(
            filter_flag(help_='Show only what matches (e.g. "driver=bridge")'),
            format_flag(),
            switch("no-trunc", "Do not truncate the output"),
            switch("quiet", "Only display network IDs", "q"),
        ),
        examples=("network ls", "network ls --filter driver=overlay"),
    ),
    Command(
        "inspect",
        "Display detailed information on one or more networks",
        run_inspect,
        "NETWORK [NETWORK...]",
        1,
        flags=(format_flag("f"), switch("verbose", "Show what all nodes know of it", "v")),
        examples=("network inspect ingress",),
        completes=ANY,
    ),
    Command(
        "create",
        "Create a network",
        run_create,
        "NETWORK",
        1,
        1,
        flags=(
            switch("attachable", "Let containers connect, not only services"),
            Flag("aux-address", MAP, "Addresses that are in use already", shown="map[]"),
            text_flag("config-from", "Network whose configuration to take"),
            switch("config-only", "Create a configuration only"),
            text_flag("driver", "Driver of the network", "d", "bridge"),
            Flag("gateway", STRINGS, "Gateway of a subnet"),
            switch("ingress", "Create the swarm's routing mesh"),
            switch("internal", "Restrict external access to the network"),
            Flag("ip-range", STRINGS, "Allocate addresses of this range only"),
            text_flag("ipam-driver", "Driver that allocates addresses", default="default"),
            Flag("ipam-opt", MAP, "Options of the driver that allocates addresses", shown="map[]"),
            switch("ipv4", "Assign IPv4 addresses", default=True, shown="true"),
            switch("ipv6", "Assign IPv6 addresses"),
            Flag("label", PAIRS, "Set metadata on the network"),
            Flag("opt", MAP, "Options of the driver", "o", shown="map[]"),
            text_flag("scope", "Scope of the network: local or swarm"),
            Flag("subnet", STRINGS, "Subnet in CIDR form"),
        ),
        examples=("network create -d overlay nginx-net", "network create --subnet 10.1.0.0/24 --gateway 10.1.0.1 lan"),
    ),
    Command(
        "connect",
        "Connect a container to a network",
        run_connect,
        "NETWORK CONTAINER",
        2,
        2,
        flags=(
            Flag("alias", STRINGS, "Add an alias on the network"),
            Flag("driver-opt", STRINGS, "Options of the network's driver"),
            Flag("gw-priority", INT, "The highest one has the default gateway"),
            text_flag("ip", "IPv4 address (e.g., 172.30.100.104)"),
            text_flag("ip6", "IPv6 address (e.g., 2001:db8::33)"),
            Flag("link", LIST, "Link to another container"),
            Flag("link-local-ip", STRINGS, "Link-local address"),
        ),
        examples=("network connect --alias db lan postgres",),
        completes=("networks", "containers"),
    ),
    Command(
        "disconnect",
        "Disconnect a container from a network",
        run_disconnect,
        "NETWORK CONTAINER",
        2,
        2,
        flags=(switch("force", "Force the container to disconnect", "f"),),
        examples=("network disconnect lan postgres",),
        completes=("networks", "containers"),
    ),
    Command(
        "rm",
        "Remove one or more networks",
        run_rm,
        "NETWORK [NETWORK...]",
        1,
        flags=(switch("force", "Do not fail when the network does not exist", "f"),),
        examples=("network rm nginx-net",),
        completes=ANY,
    ),
    Command(
        "prune",
        "Remove all unused networks",
        run_prune,
        most=0,
        flags=(
            Flag("filter", FILTER, 'Remove only what matches (e.g. "until=24h")'),
            switch("force", "Do not ask", "f"),
        ),
        examples=("network prune -f",),
    ),
)
