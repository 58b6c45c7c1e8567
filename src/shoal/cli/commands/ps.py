"""``shoal ps``."""

import json

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.context import Context
from shoal.cli.gofunctions import TemplateError
from shoal.cli.kinds import INT, filter_flag, filters_of, format_flag, switch
from shoal.cli.listing import Column, Listing, ellipsis, unescape
from shoal.cli.ports import show_ports
from shoal.cli.quantities import go_time, human_duration, human_size
from shoal.client.engine import Json
from shoal.errors import InvalidArgument


def container_name(row: Json) -> str:
    """The names without their slash; those of links are left out."""
    names = [name.removeprefix("/") for name in row.get("Names") or ()]
    return ",".join(name for name in names if "/" not in name)


def container_size(row: Json) -> str:
    """The writable layer, and all of it in brackets."""
    size = human_size(row.get("SizeRw", 0), 3)
    return f"{size} (virtual {human_size(row['SizeRootFs'], 3)})" if row.get("SizeRootFs") else size


def container_listing(ctx: Context, *, trunc: bool) -> Listing:
    """The fields of a container in lists."""
    now = ctx.now()

    def short(text: str, length: int) -> str:
        return ellipsis(text, length) if trunc else text

    def image(row: Json) -> str:
        name = str(row["Image"]) or "<no image>"
        if trunc and name.startswith("sha256:"):
            return name[7:19]
        if trunc and (bare := name.partition("@sha256:"))[1]:
            return bare[0]
        return name

    def mounts(row: Json) -> str:
        return ",".join(short(m.get("Name") or m.get("Source", ""), 15) for m in row.get("Mounts") or ())

    columns = (
        Column("Command", "COMMAND", lambda row: json.dumps(short(row["Command"], 20), ensure_ascii=False)),
        Column("CreatedAt", "CREATED AT", lambda row: go_time(row["Created"])),
        Column("ID", "CONTAINER ID", lambda row: row["Id"][:12] if trunc else row["Id"]),
        Column("Image", "IMAGE", image),
        Column("Labels", "LABELS", lambda row: ",".join(f"{k}={v}" for k, v in (row.get("Labels") or {}).items())),
        Column(
            "LocalVolumes",
            "LOCAL VOLUMES",
            lambda row: str(sum(m.get("Driver") == "local" for m in row.get("Mounts") or ())),
        ),
        Column("Mounts", "MOUNTS", mounts),
        Column("Names", "NAMES", container_name),
        Column("Networks", "NETWORKS", lambda row: ",".join((row.get("NetworkSettings") or {}).get("Networks") or {})),
        Column("Platform", "PLATFORM", lambda row: (row.get("ImageManifestDescriptor") or {}).get("platform")),
        Column("Ports", "PORTS", lambda row: show_ports(row.get("Ports") or [])),
        Column("RunningFor", "CREATED", lambda row: human_duration(now - row["Created"]) + " ago"),
        Column("Size", "SIZE", container_size),
        Column("State", "STATE", lambda row: row.get("State", "")),
        Column("Status", "STATUS", lambda row: row.get("Status", "")),
        Column("Label", "", lambda row: lambda name: (row.get("Labels") or {}).get(name, "")),
    )
    table = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
    return Listing("*formatter.ContainerContext", columns, table, config_key="psFormat")


def fields_used(ctx: Context, listing: Listing, form: str) -> list[str]:
    """The fields that a template asks for, tried on an empty container before the daemon is asked to add up sizes.

    Raises InvalidArgument in the words that ``ps`` alone has.
    """
    if form in ("", "table", "json"):
        return []
    try:
        fields: list[str] = ctx.load("shoal.cli.gotemplate").Template(unescape(form.removeprefix("table "))).fields
    except TemplateError as error:
        raise InvalidArgument(f"failed to parse template: {error}") from error
    known = {column.name for column in listing.columns}
    for name in fields:
        if name not in known:
            at = form.removeprefix("table ").find(f".{name}")
            where = f'template: :1:{at}: executing "" at <.{name}>'
            raise InvalidArgument(
                f"failed to execute template: {where}: can't evaluate field {name} in type {listing.type_name}"
            )
    return fields


def run_ls(ctx: Context, args: Arguments) -> int:
    """List containers."""
    form = args.text("format")
    last = 1 if args.on("latest") else args["last"]
    listing = container_listing(ctx, trunc=not args.on("no-trunc"))
    wants_size = args.on("size") or "Size" in fields_used(ctx, listing, form)
    query = {
        "all": args.on("all") or None,
        "limit": last if last > 0 else None,
        "size": wants_size or None,
        "filters": filters_of(args.items("filter")),
    }
    rows = ctx.engine.get("/containers/json", query)
    if args.on("size"):
        listing = listing._replace(table=(*listing.table, "Size"))
    listing.show(ctx, rows, form, quiet=args.on("quiet"))
    return 0


COMMANDS = (
    Command(
        "ls",
        "List containers",
        run_ls,
        most=0,
        flags=(
            switch("all", "Show all containers (default shows just running)", "a"),
            filter_flag(),
            format_flag(),
            Flag("last", INT, "Show the n containers created last, in any state", "n", -1, "-1"),
            switch("latest", "Show the container created last, in any state", "l"),
            switch("no-trunc", "Don't truncate output"),
            switch("quiet", "Only display container IDs", "q"),
            switch("size", "Display total file sizes", "s"),
        ),
        examples=("ps -a", "ps --filter status=exited -q", "ps --format '{{.Names}}: {{.Status}}'"),
    ),
)
