"""``system df``."""

from typing import NamedTuple

from shoal.cli.command import Arguments, Command
from shoal.cli.commands.image_list import image_listing, image_rows
from shoal.cli.commands.ps import container_listing
from shoal.cli.commands.volume import volume_listing
from shoal.cli.context import Context
from shoal.cli.kinds import format_flag, switch
from shoal.cli.listing import Column, Listing
from shoal.cli.quantities import human_duration, human_size, parse_time
from shoal.client.engine import Json


class Usage(NamedTuple):
    """One type of thing that takes disk space."""

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int
    # Build caches and, where nothing is stored, the others show no share.
    share: bool = True

    @property
    def shown_reclaimable(self) -> str:
        """What could be freed, and its share of all."""
        text = human_size(self.reclaimable)
        return f"{text} ({int(self.reclaimable / self.size * 100)}%)" if self.size > 0 and self.share else text


def usages(report: Json) -> list[Usage]:
    """The four lines of ``df``."""
    images, containers = report.get("Images") or [], report.get("Containers") or []
    volumes, caches = report.get("Volumes") or [], report.get("BuildCache") or []
    layers = report.get("LayersSize") or 0
    used = sum(
        i["Size"] - i["SharedSize"] for i in images if i.get("Containers", 0) > 0 and i["Size"] >= 0 <= i["SharedSize"]
    )
    running = [row for row in containers if row["State"] in ("running", "paused", "restarting")]
    written = sum(row.get("SizeRw", 0) for row in containers)
    kept = [row["UsageData"] for row in volumes if row.get("UsageData") and row["UsageData"]["Size"] >= 0]
    shared = [cache for cache in caches if not cache.get("Shared")]
    return [
        Usage("Images", len(images), sum(i.get("Containers", 0) > 0 for i in images), layers, layers - used),
        Usage(
            "Containers", len(containers), len(running), written, written - sum(row.get("SizeRw", 0) for row in running)
        ),
        Usage(
            "Local Volumes",
            len(volumes),
            sum(usage["RefCount"] > 0 for usage in kept),
            sum(usage["Size"] for usage in kept),
            sum(usage["Size"] for usage in kept if usage["RefCount"] == 0),
        ),
        Usage(
            "Build Cache",
            len(caches),
            sum(bool(cache.get("InUse")) for cache in caches),
            sum(cache["Size"] for cache in shared),
            sum(cache["Size"] for cache in shared if not cache.get("InUse")),
            share=False,
        ),
    ]


USAGE_LISTING = Listing(
    "*formatter.diskUsageContext",
    (
        Column("Active", "ACTIVE", lambda row: str(row.active)),
        Column("Reclaimable", "RECLAIMABLE", lambda row: row.shown_reclaimable),
        Column("Size", "SIZE", lambda row: human_size(row.size)),
        Column("TotalCount", "TOTAL", lambda row: str(row.total)),
        Column("Type", "TYPE", lambda row: row.kind),
    ),
    ("Type", "TotalCount", "Active", "Size", "Reclaimable"),
)


def cache_listing(ctx: Context) -> Listing:
    """The fields of a build cache's entry."""
    now = ctx.now()

    def ago(text: str) -> str:
        return human_duration(now - parse_time(text)) + " ago" if text else ""

    return Listing(
        "*formatter.buildCacheContext",
        (
            Column("ID", "CACHE ID", lambda row: row["ID"][:12]),
            Column("CacheType", "CACHE TYPE", lambda row: row["Type"]),
            Column("Size", "SIZE", lambda row: human_size(row["Size"], 3)),
            Column("CreatedSince", "CREATED", lambda row: ago(row["CreatedAt"])),
            Column("LastUsedSince", "LAST USED", lambda row: ago(row.get("LastUsedAt") or "")),
            Column("UsageCount", "USAGE", lambda row: str(row["UsageCount"])),
            Column("Shared", "SHARED", lambda row: "true" if row["Shared"] else "false"),
        ),
        ("ID", "CacheType", "Size", "CreatedSince", "LastUsedSince", "UsageCount", "Shared"),
    )


def show_verbose(ctx: Context, report: Json) -> None:
    """Everything that takes space, type by type."""
    images = image_listing(ctx, trunc=True)
    images = images._replace(table=(*images.table, "SharedSize", "UniqueSize", "Containers"), config_key="")
    containers = container_listing(ctx, trunc=True)
    table = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    containers = containers._replace(table=table, config_key="")
    volumes = volume_listing()._replace(table=("Name", "Links", "Size"), config_key="")
    ctx.out("Images space usage:\n")
    images.show(ctx, image_rows(report.get("Images") or [], digests=False))
    ctx.out("\nContainers space usage:\n")
    rows = [{key: value for key, value in row.items() if key != "SizeRootFs"} for row in report.get("Containers") or ()]
    containers.show(ctx, rows)
    ctx.out("\nLocal Volumes space usage:\n")
    volumes.show(ctx, report.get("Volumes") or [])
    size = sum(cache["Size"] for cache in report.get("BuildCache") or () if not cache.get("Shared"))
    ctx.out(f"\nBuild cache usage: {human_size(size)}\n")
    cache_listing(ctx).show(ctx, report.get("BuildCache") or [])


def run_df(ctx: Context, args: Arguments) -> int:
    """Show what takes disk space."""
    report = ctx.engine.get("/system/df")
    if args.on("verbose") and not args.text("format"):
        show_verbose(ctx, report)
    else:
        USAGE_LISTING.show(ctx, usages(report), args.text("format"))
    return 0


COMMANDS = (
    Command(
        "df",
        "Show docker disk usage",
        run_df,
        most=0,
        flags=(format_flag(), switch("verbose", "Show what takes the space", "v")),
        examples=("system df", "system df -v"),
    ),
)
