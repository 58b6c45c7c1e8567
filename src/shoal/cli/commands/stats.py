"""``shoal stats``."""

import json
import sys

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.kinds import format_flag, switch
from shoal.cli.listing import Column, Listing
from shoal.cli.quantities import binary_size, human_size
from shoal.client.engine import Json, quote
from shoal.errors import NotFound

CLEAR = "\x1b[2J\x1b[H"


def cpu_percent(sample: Json) -> float:
    """The share of one processor that was used between the two readings of a sample, times a hundred."""
    now, before = sample.get("cpu_stats") or {}, sample.get("precpu_stats") or {}
    used = now.get("cpu_usage", {}).get("total_usage", 0) - before.get("cpu_usage", {}).get("total_usage", 0)
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    processors = now.get("online_cpus") or len(now.get("cpu_usage", {}).get("percpu_usage") or ())
    return used / passed * processors * 100 if used > 0 and passed > 0 else 0.0


def memory_used(memory: Json) -> int:
    """Memory without the page cache that can be given back (cgroup v1 and v2 name it differently)."""
    usage, detail = memory.get("usage", 0), memory.get("stats") or {}
    for key in ("total_inactive_file", "inactive_file"):
        if key in detail and detail[key] < usage:
            return int(usage - detail[key])
    return int(usage)


def _block_io(sample: Json) -> tuple[int, int]:
    read = write = 0
    for entry in (sample.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ():
        if entry["op"][:1] in "rR":
            read += entry["value"]
        elif entry["op"][:1] in "wW":
            write += entry["value"]
    return read, write


def _net_io(sample: Json) -> str:
    networks = (sample.get("networks") or {}).values()
    received, sent = sum(item["rx_bytes"] for item in networks), sum(item["tx_bytes"] for item in networks)
    return f"{human_size(received, 3)} / {human_size(sent, 3)}"


def stats_listing(*, trunc: bool) -> Listing:
    """The fields of a sample."""

    def identifier(row: Json) -> str:
        return str(row["id"][:12] if trunc else row["id"])

    def memory(row: Json) -> str:
        stats = row.get("memory_stats") or {}
        return f"{binary_size(memory_used(stats))} / {binary_size(stats.get('limit', 0))}"

    def share(row: Json) -> str:
        stats = row.get("memory_stats") or {}
        return f"{memory_used(stats) / stats['limit'] * 100 if stats.get('limit') else 0.0:.2f}%"

    columns = (
        Column("BlockIO", "BLOCK I/O", lambda row: " / ".join(human_size(number, 3) for number in _block_io(row))),
        Column("CPUPerc", "CPU %", lambda row: f"{cpu_percent(row):.2f}%"),
        Column("Container", "CONTAINER", lambda row: row["asked"]),
        Column("ID", "CONTAINER ID", identifier),
        Column("MemPerc", "MEM %", share),
        Column("MemUsage", "MEM USAGE / LIMIT", memory),
        Column("Name", "NAME", lambda row: row["name"].removeprefix("/") or "--"),
        Column("NetIO", "NET I/O", _net_io),
        Column("PIDs", "PIDS", lambda row: str((row.get("pids_stats") or {}).get("current", 0))),
    )
    table = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
    return Listing("*container.statsContext", columns, table, config_key="statsFormat")


def run_stats(ctx: Context, args: Arguments) -> int:
    """Show what containers use, once or for as long as the user looks."""
    listing = stats_listing(trunc=not args.on("no-trunc"))
    while True:
        # A reading spans a second, in which the daemon measures; all containers in turn would take a second each.
        names = args.words or [
            row["Id"][:12] for row in ctx.engine.get("/containers/json", {"all": args.on("all") or None})
        ]
        rows = [row for row in _samples(ctx, names, explicit=bool(args.words)) if row]
        if not args.on("no-stream") and sys.stdout.isatty():
            sys.stdout.write(CLEAR)
        listing.show(ctx, rows, args.text("format"))
        sys.stdout.flush()
        if args.on("no-stream"):
            return 0


def _samples(ctx: Context, names: list[str], *, explicit: bool) -> list[Json]:
    """One reading of each container; all are asked for at once, so that together they take the time of one."""
    pending = []
    for name in names:
        try:
            pending.append((name, ctx.engine.stream("GET", f"/containers/{quote(name)}/stats", {"stream": False})))
        except NotFound:
            if explicit:
                raise
    return [{**json.loads(response.read()), "asked": name} for name, response in pending]


COMMANDS = (
    Command(
        "stats",
        "Display a live stream of container(s) resource usage statistics",
        run_stats,
        "[CONTAINER...]",
        flags=(
            switch("all", "Show all containers (default shows just running)", "a"),
            format_flag(),
            switch("no-stream", "Print one reading and stop"),
            switch("no-trunc", "Do not truncate output"),
        ),
        examples=("stats", "stats --no-stream web"),
        completes=("containers",),
    ),
)
