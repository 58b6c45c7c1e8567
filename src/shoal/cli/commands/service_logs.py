"""``service logs``."""

import sys
from collections.abc import Iterator

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.kinds import switch, text_flag
from shoal.cli.tasks import Names
from shoal.cli.times import timestamp
from shoal.client.engine import Json, quote
from shoal.client.hijack import STDERR, SYSTEM_ERROR, demultiplex
from shoal.errors import InvalidArgument, NotFound, Unavailable


class Prefixes:
    """Which task a line comes from, in front of it: ``web.1.abc…@node``, padded to one width."""

    def __init__(self, ctx: Context, names: Names, args: Arguments, width: int) -> None:
        self._ctx = ctx
        self._names = names
        self._args = args
        self._width = width
        self._known: dict[tuple[str, str], str] = {}

    def of(self, details: dict[str, str]) -> str:
        """The prefix for a line's details."""
        key = details.get("com.docker.swarm.task.id", ""), details.get("com.docker.swarm.node.id", "")
        if key not in self._known:
            self._known[key] = self._make(*key)
        return self._known[key]

    def _make(self, task_id: str, node_id: str) -> str:
        task = self._ctx.engine.get(f"/tasks/{task_id}")
        name = self._names.task(task)
        if not self._args.on("no-task-ids"):
            name += f".{task_id if self._args.on('no-trunc') else task_id[:12]}"
        return f"{name}@{self._names.node(node_id)}".ljust(self._width)


def parse_details(text: str) -> dict[str, str]:
    """``a=b,c=d`` as logs carry it."""
    return dict(pair.partition("=")[::2] for pair in text.split(","))


def run_logs(ctx: Context, args: Arguments) -> int:
    """Print the output of a service's tasks, or of one task."""
    target = args.words[0]
    service, task, path = _find(ctx, target)
    try:
        since = timestamp(args.text("since"), ctx.now())
    except ValueError as error:
        raise InvalidArgument(f'invalid value for "since": {error}') from error
    container = (service["Spec"]["TaskTemplate"] if service else task["Spec"])["ContainerSpec"]
    tty = bool(container.get("TTY"))
    raw = args.on("raw")
    if tty and not raw:
        raise InvalidArgument("tty service logs only supported with --raw")
    query = {
        "stdout": True,
        "stderr": True,
        "since": since,
        "timestamps": args.on("timestamps") or None,
        "follow": args.on("follow") or None,
        "tail": args.text("tail"),
        "details": True if not raw else args.on("details") or None,
    }
    response = ctx.engine.stream("GET", path, query)
    pieces = _lines_of(demultiplex(response.chunks(), tty=tty))
    if raw:
        for stream, piece in pieces:
            ctx.write(piece, stderr=stream >= STDERR)
        return 0
    names = Names(ctx, resolve=not args.on("no-resolve"))
    most = int((service["Spec"]["Mode"].get("Replicated") or {}).get("Replicas", 0)) if service else 0
    # Slots are as wide as the largest; then every prefix on a node has the same length.
    prefixes = Prefixes(ctx, names, args, 0)
    widest = len(str(most))
    partial: dict[int, bytes] = {}
    for stream, piece in pieces:
        *lines, rest = (partial.pop(stream, b"") + piece).split(b"\n")
        if rest:
            partial[stream] = rest
        for line in lines:
            _show_line(ctx, args, prefixes, line.decode(errors="replace"), widest, stderr=stream >= STDERR)
    return 0


def _lines_of(pieces: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """All but what the daemon says for itself, which is raised at the end."""
    said = b""
    for stream, piece in pieces:
        if stream == SYSTEM_ERROR:
            said += piece
        else:
            yield stream, piece
    if said:
        raise Unavailable(f"error from daemon in stream: {said.decode(errors='replace').rstrip()}")


def _find(ctx: Context, target: str) -> tuple[Json, Json, str]:
    try:
        service = ctx.engine.get(f"/services/{quote(target)}")
    except NotFound:
        try:
            task = ctx.engine.get(f"/tasks/{quote(target)}")
        except NotFound as error:
            raise NotFound(f"no such task or service: {target}") from error
        return {}, task, f"/tasks/{task['ID']}/logs"
    return service, {}, f"/services/{service['ID']}/logs"


def _show_line(ctx: Context, args: Arguments, prefixes: Prefixes, line: str, widest: int, *, stderr: bool) -> None:
    stamp = ""
    if args.on("timestamps"):
        stamp, _, line = line.partition(" ")
    details_text, _, message = line.partition(" ")
    details = parse_details(details_text)
    prefix = prefixes.of(details)
    out = sys.stderr if stderr else sys.stdout
    shown = f"{stamp} " if stamp else ""
    shown += f"{prefix}    | "
    if args.on("details"):
        kept = {key: value for key, value in details.items() if not key.startswith("com.docker.swarm.")}
        shown += ",".join(f"{key}={value}" for key, value in sorted(kept.items())) + " "
    out.write(f"{shown}{message}\n")
    out.flush()


COMMANDS = (
    Command(
        "logs",
        "Fetch the logs of a service or task",
        run_logs,
        "SERVICE|TASK",
        1,
        1,
        flags=(
            switch("details", "Show extra details provided to logs"),
            switch("follow", "Follow log output", "f"),
            switch("no-resolve", "Do not map IDs to Names in output"),
            switch("no-task-ids", "Do not include task IDs in output"),
            switch("no-trunc", "Do not truncate output"),
            switch("raw", "Do not neatly format logs"),
            text_flag("since", 'Show logs since a time ("2013-01-02T13:23:37Z") or for that long ("42m")'),
            text_flag("tail", "Number of lines to show from the end of the logs", "n", "all"),
            switch("timestamps", "Show timestamps", "t"),
        ),
        examples=("service logs -f web",),
        completes=("services",),
    ),
)
