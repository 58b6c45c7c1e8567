"""``system prune``."""

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.context import Context
from shoal.cli.kinds import FILTER, filters_of, switch
from shoal.cli.many import confirmed
from shoal.cli.quantities import human_size
from shoal.client.engine import Json
from shoal.errors import NotFound, Unimplemented


def run_prune(ctx: Context, args: Arguments) -> int:
    """Remove everything that is not in use."""
    given = args.items("filter")
    if args.on("volumes") and any(name == "until" for name, _ in given):
        ctx.err('ERROR: The "until" filter is not supported with "--volumes"')
        return 1
    if not args.on("force") and not confirmed(ctx, warning(args)):
        return 0
    parts = [("/containers/prune", "Containers", given), ("/networks/prune", "Networks", given)]
    if args.on("volumes"):
        parts.append(("/volumes/prune", "Volumes", given))
    parts.append(("/images/prune", "Images", [*given, ("dangling", "false" if args.on("all") else "true")]))
    parts.append(("/build/prune", "build cache objects", given))
    reclaimed = 0
    for path, what, filters in parts:
        query: Json = {"filters": filters_of(filters)}
        if path == "/build/prune":
            query["all"] = args.on("all") or None
        try:
            report = ctx.engine.post(path, query) or {}
        except (NotFound, Unimplemented):
            # A daemon that does not build has no cache.
            if path != "/build/prune":
                raise
            continue
        reclaimed += report.get("SpaceReclaimed", 0)
        gone = report.get(f"{what}Deleted") or report.get("CachesDeleted") or ()
        if gone:
            ctx.out(f"Deleted {what}:\n" + "\n".join(_line(item) for item in gone) + "\n")
    ctx.out(f"Total reclaimed space: {human_size(reclaimed)}")
    return 0


def _line(item: str | Json) -> str:
    if isinstance(item, str):
        return item
    return f"untagged: {item['Untagged']}" if item.get("Untagged") else f"deleted: {item['Deleted']}"


def warning(args: Arguments) -> str:
    """What is about to be removed."""
    lines = ["all stopped containers", "all networks not used by at least one container"]
    if args.on("volumes"):
        lines.append("all anonymous volumes not used by at least one container")
    lines.append(
        "all images without at least one container associated to them" if args.on("all") else "all dangling images"
    )
    lines.append("all build cache" if args.on("all") else "unused build cache")
    text = "WARNING! This will remove:\n" + "\n".join(f"  - {line}" for line in lines) + "\n"
    if args.items("filter"):
        text += "\n  Items to be pruned will be filtered with:\n"
        text += "".join(f"  - {name}={value}\n" for name, value in sorted(args.items("filter")))
    return text + "\nAre you sure you want to continue?"


COMMANDS = (
    Command(
        "prune",
        "Remove unused data",
        run_prune,
        most=0,
        flags=(
            switch("all", "Remove all unused images, not just dangling ones", "a"),
            Flag("filter", FILTER, 'Remove only what matches (e.g. "label=KEY=VALUE")'),
            switch("force", "Do not ask", "f"),
            switch("volumes", "Remove anonymous volumes too"),
        ),
        examples=("system prune -af --volumes",),
    ),
)
