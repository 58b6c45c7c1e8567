"""``service ls``, ``ps`` and ``rm``."""

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.kinds import filter_flag, filters_of, format_flag, switch
from shoal.cli.listing import Column, Listing, natural
from shoal.cli.many import for_each
from shoal.cli.ports import show_service_ports
from shoal.cli.tasks import Names, show_tasks
from shoal.client.engine import Json, quote, version_key

MODES = {"Replicated": "replicated", "Global": "global", "ReplicatedJob": "replicated job", "GlobalJob": "global job"}


def mode_of(row: Json) -> str:
    """A service's mode in words."""
    return next((text for key, text in MODES.items() if key in row["Spec"]["Mode"]), "")


def replicas(row: Json) -> str:
    """``running/wanted``, and what the mode adds to it."""
    status = row.get("ServiceStatus") or {}
    running, wanted = status.get("RunningTasks", 0), status.get("DesiredTasks", 0)
    mode = row["Spec"]["Mode"]
    if "ReplicatedJob" in mode or "GlobalJob" in mode:
        total = (mode.get("ReplicatedJob") or {}).get("TotalCompletions", wanted)
        return f"{running}/{wanted} ({status.get('CompletedTasks', 0)}/{total} completed)"
    most = (row["Spec"]["TaskTemplate"].get("Placement") or {}).get("MaxReplicas", 0)
    return f"{running}/{wanted}" + (f" (max {most} per node)" if most and "Replicated" in mode else "")


def count_tasks(ctx: Context, services: list[Json]) -> None:
    """Fill in what daemons before API 1.41 do not tell: how many tasks run, and how many should."""
    tasks = ctx.engine.get("/tasks")
    active = {node["ID"] for node in ctx.engine.get("/nodes") if node["Status"]["State"] != "down"}
    for service in services:
        own = [task for task in tasks if task["ServiceID"] == service["ID"]]
        running = [task for task in own if task["Status"]["State"] == "running" and task.get("NodeID") in active]
        meant = [task for task in own if task["DesiredState"] != "shutdown"]
        wanted = (service["Spec"]["Mode"].get("Replicated") or {}).get("Replicas", len(meant))
        service["ServiceStatus"] = {"RunningTasks": len(running), "DesiredTasks": wanted}


def run_ls(ctx: Context, args: Arguments) -> int:
    """List services."""
    services = ctx.engine.get("/services", {"filters": filters_of(args.items("filter")), "status": "true"})
    if services and version_key(ctx.engine.version) < (1, 41) and not args.on("quiet"):
        count_tasks(ctx, services)

    def image(row: Json) -> str:
        return str(row["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]).partition("@")[0]

    columns = (
        Column("ID", "ID", lambda row: row["ID"] if args.on("quiet") else row["ID"][:12]),
        Column("Image", "IMAGE", image),
        Column("Mode", "MODE", mode_of),
        Column("Name", "NAME", lambda row: row["Spec"]["Name"]),
        Column("Ports", "PORTS", lambda row: show_service_ports((row.get("Endpoint") or {}).get("Ports") or [])),
        Column("Replicas", "REPLICAS", replicas),
    )
    table = ("ID", "Name", "Mode", "Replicas", "Image", "Ports")
    services.sort(key=lambda row: natural(row["Spec"]["Name"]))
    listing = Listing("*service.serviceContext", columns, table, config_key="servicesFormat")
    listing.show(ctx, services, args.text("format"), quiet=args.on("quiet"))
    return 0


def matching(services: list[Json], words: list[str]) -> tuple[list[str], list[str]]:
    """The ids of the services that words name (by id, name, beginning of an id), and the words that match none."""
    found: list[str] = []
    missing: list[str] = []
    for word in words:
        ids = [row["ID"] for row in services if row["ID"] == word] or [
            row["ID"] for row in services if row["Spec"]["Name"] == word
        ]
        prefixed = [row["ID"] for row in services if row["ID"].startswith(word)]
        if ids or len(prefixed) == 1:
            found.append((ids or prefixed)[0])
        else:
            missing.append(word)
    return found, missing


def run_ps(ctx: Context, args: Arguments) -> int:
    """List the tasks of services."""
    names: dict[str, dict[str, bool]] = {"id": dict.fromkeys(args.words, True), "name": dict.fromkeys(args.words, True)}
    services = [row for key in names for row in ctx.engine.get("/services", {"filters": {key: names[key]}})]
    found, missing = matching(services, args.words)
    if found:
        filters = filters_of([*args.items("filter"), *(("service", identifier) for identifier in found)])
        for name, value in args.items("filter"):
            if name == "node" and value == "self" and filters:
                filters["node"] = {ctx.engine.get("/info")["Swarm"]["NodeID"]: True}
        tasks = ctx.engine.get("/tasks", {"filters": filters})
        show_tasks(ctx, args, tasks, Names(ctx, resolve=not args.on("no-resolve")))
    for word in missing:
        ctx.err(f"no such service: {word}")
    return 1 if missing else 0


def run_rm(ctx: Context, args: Arguments) -> int:
    """Remove services."""
    return for_each(ctx, args.words, lambda name: ctx.engine.delete(f"/services/{quote(name)}"))


COMMANDS = (
    Command(
        "ls",
        "List services",
        run_ls,
        most=0,
        flags=(filter_flag(), format_flag(), switch("quiet", "Only display IDs", "q")),
        examples=("service ls", "service ls --filter mode=global"),
    ),
    Command(
        "ps",
        "List the tasks of one or more services",
        run_ps,
        "SERVICE [SERVICE...]",
        1,
        flags=(
            filter_flag(),
            format_flag(),
            switch("no-resolve", "Do not map IDs to Names"),
            switch("no-trunc", "Do not truncate output"),
            switch("quiet", "Only display task IDs", "q"),
        ),
        examples=("service ps web", "service ps --filter desired-state=running web"),
        completes=("services",),
    ),
    Command(
        "rm",
        "Remove one or more services",
        run_rm,
        "SERVICE [SERVICE...]",
        1,
        examples=("service rm web",),
        completes=("services",),
    ),
)
