"""``container inspect``, ``port`` and ``top``."""

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.inspection import inspect
from shoal.cli.kinds import format_flag, parse_uint, switch
from shoal.cli.listing import table
from shoal.cli.ports import join_host_port
from shoal.client.engine import Json, quote
from shoal.errors import InvalidArgument


def run_inspect(ctx: Context, args: Arguments) -> int:
    """Print containers as JSON."""
    query = {"size": args.on("size") or None}
    return inspect(
        ctx, args.words, args.text("format"), lambda name: ctx.engine.get(f"/containers/{quote(name)}/json", query)
    )


def run_port(ctx: Context, args: Arguments) -> int:
    """Print where a container's ports are published."""
    container = ctx.engine.get(f"/containers/{quote(args.words[0])}/json")
    ports: dict[str, list[Json] | None] = container["NetworkSettings"]["Ports"] or {}
    if len(args.words) > 1:
        wanted, _, protocol = args.words[1].partition("/")
        try:
            parse_uint(wanted)
        except InvalidArgument as error:
            raise InvalidArgument(f"Error: invalid port ({wanted}): {error}") from error
        bindings = ports.get(f"{wanted}/{protocol or 'tcp'}")
        if not bindings:
            raise InvalidArgument(f"Error: No public port '{args.words[1]}' published for {args.words[0]}")
        for line in sorted(join_host_port(item["HostIp"], item["HostPort"]) for item in bindings):
            ctx.out(line)
        return 0
    lines = [
        (int(port.partition("/")[0]), f"{port} -> {join_host_port(item['HostIp'], item['HostPort'])}")
        for port, items in ports.items()
        for item in items or ()
    ]
    for _, line in sorted(lines):
        ctx.out(line)
    return 0


def run_top(ctx: Context, args: Arguments) -> int:
    """Print a container's processes."""
    answer = ctx.engine.get(f"/containers/{quote(args.words[0])}/top", {"ps_args": " ".join(args.words[1:])})
    # Twenty columns each, three apart, is what docker has had here since its beginning.
    rows = [answer["Titles"], *(answer["Processes"] or ())]
    ctx.out(table(rows, minimum=20))
    return 0


COMMANDS = (
    Command(
        "inspect",
        "Display detailed information on one or more containers",
        run_inspect,
        "CONTAINER [CONTAINER...]",
        1,
        flags=(format_flag("f"), switch("size", "Display total file sizes", "s")),
        examples=("container inspect web",),
        completes=("containers",),
    ),
    Command(
        "port",
        "List port mappings or a specific mapping for the container",
        run_port,
        "CONTAINER [PRIVATE_PORT[/PROTO]]",
        1,
        2,
        examples=("port web", "port web 80/tcp"),
        completes=("containers",),
    ),
    Command(
        "top",
        "Display the running processes of a container",
        run_top,
        "CONTAINER [ps OPTIONS]",
        1,
        interspersed=False,
        examples=("top web", "top web -o pid,args"),
        completes=("containers",),
    ),
)
