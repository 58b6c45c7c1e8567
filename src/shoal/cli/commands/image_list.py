"""``shoal images``, ``image inspect`` and ``history``."""

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.imagenames import split_reference
from shoal.cli.inspection import inspect
from shoal.cli.kinds import filter_flag, filters_of, format_flag, switch
from shoal.cli.listing import Column, Listing, ellipsis, short_id
from shoal.cli.quantities import go_time, human_duration, human_size, zulu_time
from shoal.client.engine import Json, quote

NONE = "<none>"


def image_rows(images: list[Json], *, digests: bool) -> list[Json]:
    """A row a tag (and a digest, when digests are shown); an image without any has one row of ``<none>``."""
    rows: list[Json] = []
    for image in sorted(images, key=lambda image: image["Created"], reverse=True):
        tags: dict[str, list[str]] = {}
        hashes: dict[str, list[str]] = {}
        for name in image.get("RepoTags") or ():
            repository, tag = split_reference(name)
            if repository != NONE:
                tags.setdefault(repository, []).append(tag)
        for name in image.get("RepoDigests") or ():
            repository, _, digest = name.partition("@")
            if repository != NONE:
                hashes.setdefault(repository, []).append(digest)
        found: list[tuple[str, str, str]] = []
        for repository in dict.fromkeys((*tags, *hashes)):
            known, sums = tags.get(repository, [NONE]), hashes.get(repository, [NONE])
            if digests:
                found += [(repository, tag, digest) for tag in known for digest in sums]
            else:
                found += [(repository, tag, NONE) for tag in known]
        for repository, tag, digest in found or [(NONE, NONE, NONE)]:
            rows.append({**image, "repository": repository, "tag": tag, "digest": digest})
    return rows


def image_listing(ctx: Context, *, trunc: bool) -> Listing:
    """The fields of an image in lists."""
    now = ctx.now()

    def known_size(row: Json, key: str) -> str:
        return human_size(row[key]) if row.get(key, -1) >= 0 else "N/A"

    columns = (
        Column(
            "Containers", "CONTAINERS", lambda row: str(row["Containers"]) if row.get("Containers", -1) >= 0 else "N/A"
        ),
        Column("CreatedAt", "CREATED AT", lambda row: go_time(row["Created"])),
        Column(
            "CreatedSince",
            "CREATED",
            lambda row: human_duration(now - row["Created"]) + " ago" if row["Created"] > 0 else "N/A",
        ),
        Column("Digest", "DIGEST", lambda row: row["digest"]),
        Column("ID", "IMAGE ID", lambda row: short_id(row["Id"]) if trunc else row["Id"]),
        Column("Repository", "REPOSITORY", lambda row: row["repository"]),
        Column("SharedSize", "SHARED SIZE", lambda row: known_size(row, "SharedSize")),
        Column("Size", "SIZE", lambda row: human_size(row["Size"], 3)),
        Column("Tag", "TAG", lambda row: row["tag"]),
        Column(
            "UniqueSize",
            "UNIQUE SIZE",
            lambda row: human_size(row["Size"] - row["SharedSize"]) if row.get("SharedSize", -1) >= 0 else "N/A",
        ),
        Column("VirtualSize", "SIZE", lambda row: human_size(row["Size"])),
    )
    table = ("Repository", "Tag", "ID", "CreatedSince", "Size")
    return Listing("*formatter.imageContext", columns, table, config_key="imagesFormat")


def run_images(ctx: Context, args: Arguments) -> int:
    """List images."""
    filters = list(args.items("filter"))
    if args.words:
        filters.append(("reference", args.words[0]))
    images = ctx.engine.get("/images/json", {"all": args.on("all") or None, "filters": filters_of(filters)})
    listing = image_listing(ctx, trunc=not args.on("no-trunc"))
    digests = args.on("digests") or "{{.Digest}}" in args.text("format")
    if args.on("digests"):
        listing = listing._replace(table=("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"))
    listing.show(ctx, image_rows(images, digests=digests), args.text("format"), quiet=args.on("quiet"))
    return 0


def run_inspect(ctx: Context, args: Arguments) -> int:
    """Print images as JSON."""
    return inspect(ctx, args.words, args.text("format"), lambda name: ctx.engine.get(f"/images/{quote(name)}/json"))


def run_history(ctx: Context, args: Arguments) -> int:
    """Show an image's layers."""
    now, trunc, human = ctx.now(), not args.on("no-trunc"), args.on("human")

    def created_by(row: Json) -> str:
        text = str(row["CreatedBy"]).replace("\t", " ")
        return ellipsis(text, 45) if trunc else text

    def since(row: Json) -> str:
        if not human:
            return zulu_time(row["Created"])
        return human_duration(now - row["Created"]) + " ago" if row["Created"] > 0 else "N/A"

    columns = (
        Column("Comment", "COMMENT", lambda row: row["Comment"]),
        Column("CreatedAt", "CREATED AT", lambda row: zulu_time(row["Created"])),
        Column("CreatedBy", "CREATED BY", created_by),
        Column("CreatedSince", "CREATED" if human else "CREATED AT", since),
        Column("ID", "IMAGE", lambda row: short_id(row["Id"]) if trunc else row["Id"]),
        Column("Size", "SIZE", lambda row: human_size(row["Size"], 3) if human else str(row["Size"])),
    )
    listing = Listing("*image.historyContext", columns, ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"))
    rows = ctx.engine.get(f"/images/{quote(args.words[0])}/history")
    listing.show(ctx, rows, args.text("format"), quiet=args.on("quiet"))
    return 0


COMMANDS = (
    Command(
        "ls",
        "List images",
        run_images,
        "[REPOSITORY[:TAG]]",
        most=1,
        flags=(
            switch("all", "Show all images (default hides intermediate images)", "a"),
            switch("digests", "Show digests"),
            filter_flag(),
            format_flag(),
            switch("no-trunc", "Don't truncate output"),
            switch("quiet", "Only show image IDs", "q"),
        ),
        examples=("images", "images --filter dangling=true -q"),
    ),
    Command(
        "inspect",
        "Display detailed information on one or more images",
        run_inspect,
        "IMAGE [IMAGE...]",
        1,
        flags=(format_flag("f"),),
        examples=("image inspect nginx", "image inspect -f '{{.Config.Cmd}}' nginx"),
        completes=("images",),
    ),
    Command(
        "history",
        "Show the history of an image",
        run_history,
        "IMAGE",
        1,
        1,
        flags=(
            format_flag(),
            switch("human", "Print sizes and dates for people", "H", default=True, shown="true"),
            switch("no-trunc", "Don't truncate output"),
            switch("quiet", "Only show image IDs", "q"),
        ),
        examples=("history nginx",),
        completes=("images",),
    ),
)
