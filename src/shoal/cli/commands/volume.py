"""``shoal volume``."""

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.context import Context
from shoal.cli.inspection import inspect
from shoal.cli.kinds import FILTER, MAP, PAIRS, filter_flag, filters_of, format_flag, switch, text_flag
from shoal.cli.listing import Column, Listing
from shoal.cli.many import confirmed, for_each
from shoal.cli.quantities import human_size
from shoal.client.engine import Json, quote
from shoal.errors import InvalidArgument, NotFound


def volume_listing() -> Listing:
    """The fields of a volume in lists; sizes are known to ``system df`` alone."""

    def usage(row: Json, key: str) -> int:
        return int((row.get("UsageData") or {}).get(key, -1))

    columns = (
        Column("Availability", "AVAILABILITY", lambda row: "N/A"),
        Column("Driver", "DRIVER", lambda row: row["Driver"]),
        Column("Group", "GROUP", lambda row: "N/A"),
        Column("Labels", "LABELS", lambda row: ",".join(f"{k}={v}" for k, v in (row.get("Labels") or {}).items())),
        Column("Links", "LINKS", lambda row: str(usage(row, "RefCount")) if row.get("UsageData") else "N/A"),
        Column("Mountpoint", "MOUNTPOINT", lambda row: row["Mountpoint"]),
        Column("Name", "VOLUME NAME", lambda row: row["Name"]),
        Column("Scope", "SCOPE", lambda row: row["Scope"]),
        Column("Size", "SIZE", lambda row: human_size(usage(row, "Size")) if row.get("UsageData") else "N/A"),
        Column("Status", "STATUS", lambda row: "N/A"),
        Column("Label", "", lambda row: lambda name: (row.get("Labels") or {}).get(name, "")),
    )
    return Listing("*formatter.volumeContext", columns, ("Driver", "Name"), "Name", "volumesFormat")


def run_ls(ctx: Context, args: Arguments) -> int:
    """List volumes."""
    rows = ctx.engine.get("/volumes", {"filters": filters_of(args.items("filter"))})["Volumes"] or []
    rows.sort(key=lambda row: row["Name"])
    volume_listing().show(ctx, rows, args.text("format"), quiet=args.on("quiet"))
    return 0


def run_create(ctx: Context, args: Arguments) -> int:
    """Create a volume and print its name."""
    body = {
        "Name": args.words[0] if args.words else "",
        "Driver": args.text("driver"),
        "DriverOpts": dict(args.items("opt")),
        "Labels": dict(args.items("label")),
    }
    if args.words and args.text("name"):
        raise InvalidArgument(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
        )
    body["Name"] = body["Name"] or args.text("name")
    ctx.out(ctx.engine.post("/volumes/create", body=body)["Name"])
    return 0


def run_inspect(ctx: Context, args: Arguments) -> int:
    """Print volumes as JSON."""
    return inspect(ctx, args.words, args.text("format"), lambda name: ctx.engine.get(f"/volumes/{quote(name)}"))


def run_rm(ctx: Context, args: Arguments) -> int:
    """Remove volumes."""

    def remove(name: str) -> None:
        try:
            ctx.engine.delete(f"/volumes/{quote(name)}", {"force": args.on("force") or None})
        except NotFound:
            if not args.on("force"):
                raise

    return for_each(ctx, args.words, remove)


def run_prune(ctx: Context, args: Arguments) -> int:
    """Remove volumes that no container uses."""
    every = args.on("all")
    which = "all local volumes" if every else "anonymous local volumes"
    warning = (
        f"WARNING! This will remove {which} not used by at least one container.\nAre you sure you want to continue?"
    )
    if not args.on("force") and not confirmed(ctx, warning):
        return 0
    filters = [*args.items("filter"), *([("all", "true")] if every else [])]
    report = ctx.engine.post("/volumes/prune", {"filters": filters_of(filters)})
    if report.get("VolumesDeleted"):
        ctx.out("Deleted Volumes:\n" + "\n".join(report["VolumesDeleted"]) + "\n")
    ctx.out(f"Total reclaimed space: {human_size(report.get('SpaceReclaimed', 0))}")
    return 0


ANY = ("volumes",)
COMMANDS = (
    Command(
        "ls",
        "List volumes",
        run_ls,
        most=0,
        flags=(
            filter_flag(help_='Show only what matches (e.g. "dangling=true")'),
            format_flag(),
            switch("quiet", "Only display volume names", "q"),
        ),
        examples=("volume ls",),
    ),
    Command(
        "create",
        "Create a volume",
        run_create,
        "[VOLUME]",
        most=1,
        flags=(
            text_flag("driver", "Driver of the volume", "d", "local"),
            Flag("label", PAIRS, "Set metadata on the volume"),
            text_flag("name", "Name of the volume")._replace(hidden=True),
            Flag("opt", MAP, "Options of the driver", "o", shown="map[]"),
        ),
        examples=("volume create data",),
    ),
    Command(
        "inspect",
        "Display detailed information on one or more volumes",
        run_inspect,
        "VOLUME [VOLUME...]",
        1,
        flags=(format_flag("f"),),
        examples=("volume inspect data",),
        completes=ANY,
    ),
    Command(
        "rm",
        "Remove one or more volumes",
        run_rm,
        "VOLUME [VOLUME...]",
        1,
        flags=(switch("force", "Do not fail when the volume does not exist", "f"),),
        examples=("volume rm data",),
        completes=ANY,
        detail="A volume that a container uses cannot be removed.",
    ),
    Command(
        "prune",
        "Remove unused local volumes",
        run_prune,
        most=0,
        flags=(
            switch("all", "Remove named volumes too", "a"),
            Flag("filter", FILTER, 'Remove only what matches (e.g. "label=keep")'),
            switch("force", "Do not ask", "f"),
        ),
        examples=("volume prune -f",),
    ),
)
