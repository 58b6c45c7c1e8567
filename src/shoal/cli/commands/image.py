"""``shoal rmi``, ``tag`` and ``image prune``."""

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.context import Context
from shoal.cli.imagenames import split_reference
from shoal.cli.kinds import FILTER, filters_of, switch
from shoal.cli.many import confirmed
from shoal.cli.quantities import human_size
from shoal.client.engine import Json, quote
from shoal.errors import NotFound, ShoalError


def deletion_lines(report: list[Json]) -> list[str]:
    """What a removal took away, a line each."""
    return [
        f"Deleted: {item['Deleted']}" if item.get("Deleted") else f"Untagged: {item['Untagged']}" for item in report
    ]


def run_rm(ctx: Context, args: Arguments) -> int:
    """Remove images."""
    query = {"force": args.on("force") or None, "noprune": args.on("no-prune") or None}
    errors: list[str] = []
    fatal = False
    for name in args.words:
        try:
            for line in deletion_lines(ctx.engine.delete(f"/images/{quote(name)}", query)):
                ctx.out(line)
        except ShoalError as error:
            fatal = fatal or not isinstance(error, NotFound)
            errors.append(str(error))
    for text in errors:
        ctx.err(text)
    return 1 if errors and (fatal or not args.on("force")) else 0


def run_tag(ctx: Context, args: Arguments) -> int:
    """Give an image another name."""
    source, target = args.words
    repository, tag = split_reference(target)
    ctx.engine.post(f"/images/{quote(source)}/tag", {"repo": repository, "tag": tag or "latest"})
    return 0


def run_prune(ctx: Context, args: Arguments) -> int:
    """Remove unused images."""
    every = args.on("all")
    which = "all images without at least one container associated to them" if every else "all dangling images"
    if not args.on("force") and not confirmed(
        ctx, f"WARNING! This will remove {which}.\nAre you sure you want to continue?"
    ):
        return 0
    filters = [*args.items("filter"), ("dangling", "false" if every else "true")]
    report = ctx.engine.post("/images/prune", {"filters": filters_of(filters)})
    if report.get("ImagesDeleted"):
        ctx.out("Deleted Images:")
        for item in report["ImagesDeleted"]:
            ctx.out(f"untagged: {item['Untagged']}" if item.get("Untagged") else f"deleted: {item['Deleted']}")
        ctx.out("")
    ctx.out(f"Total reclaimed space: {human_size(report.get('SpaceReclaimed', 0))}")
    return 0


COMMANDS = (
    Command(
        "rm",
        "Remove one or more images",
        run_rm,
        "IMAGE [IMAGE...]",
        1,
        flags=(
            switch("force", "Force removal of the image", "f"),
            switch("no-prune", "Do not delete untagged parents"),
        ),
        examples=("rmi nginx:1.25",),
        completes=("images",),
    ),
    Command(
        "tag",
        "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        run_tag,
        "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        2,
        2,
        examples=("tag nginx:latest registry.example:5000/web:1.0",),
        completes=("images",),
    ),
    Command(
        "prune",
        "Remove unused images",
        run_prune,
        most=0,
        flags=(
            switch("all", "Remove all unused images, not just dangling ones", "a"),
            Flag("filter", FILTER, 'Remove only what matches (e.g. "until=24h")'),
            switch("force", "Do not ask", "f"),
        ),
        examples=("image prune -af",),
    ),
)
