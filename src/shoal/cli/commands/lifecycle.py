"""Verbs that change a container's state: stop, kill, restart, rm, pause, unpause, rename, wait, prune."""

from shoal.cli.command import Arguments, Command, Flag, Run
from shoal.cli.context import Context
from shoal.cli.kinds import FILTER, INT, filters_of, switch, text_flag
from shoal.cli.many import confirmed, for_each
from shoal.cli.quantities import human_size
from shoal.client.engine import quote
from shoal.errors import InvalidArgument, NotFound, ShoalError

CONTAINERS = "CONTAINER [CONTAINER...]"
SIGNAL = text_flag("signal", "Signal to send to the container", "s")
TIMEOUT = Flag("timeout", INT, "Seconds to wait before killing the container", "t")
TIME = Flag("time", INT, "Seconds to wait before killing the container", hidden=True)


def _timeout(args: Arguments) -> int | None:
    if args.given("time") and args.given("timeout"):
        raise InvalidArgument("conflicting options: cannot specify both --timeout and --time")
    chosen: int | None = args["time"] if args.given("time") else args["timeout"]
    return chosen


def _stopper(verb: str) -> Run:
    def run(ctx: Context, args: Arguments) -> int:
        query = {"signal": args.text("signal"), "t": _timeout(args)}
        return for_each(ctx, args.words, lambda name: ctx.engine.post(f"/containers/{quote(name)}/{verb}", query))

    return run


def _plain(verb: str) -> Run:
    def run(ctx: Context, args: Arguments) -> int:
        return for_each(ctx, args.words, lambda name: ctx.engine.post(f"/containers/{quote(name)}/{verb}"))

    return run


def run_kill(ctx: Context, args: Arguments) -> int:
    """Send a signal, SIGKILL by default."""
    query = {"signal": args.text("signal")}
    return for_each(ctx, args.words, lambda name: ctx.engine.post(f"/containers/{quote(name)}/kill", query))


def run_rm(ctx: Context, args: Arguments) -> int:
    """Remove containers."""
    query = {name: args.on(flag) or None for name, flag in (("v", "volumes"), ("link", "link"), ("force", "force"))}

    missing: list[str] = []

    def remove(name: str) -> str | None:
        name = name.strip("/")
        if not name:
            raise InvalidArgument("container name cannot be empty")
        try:
            ctx.engine.delete(f"/containers/{quote(name)}", query)
        except NotFound as error:
            if not args.on("force"):
                raise
            missing.append(str(error))
            return ""
        return None

    status = for_each(ctx, args.words, remove)
    # With --force, what is not there is told of, but is no failure.
    for text in missing:
        ctx.err(text)
    return status


def run_rename(ctx: Context, args: Arguments) -> int:
    """Rename a container."""
    old, new = (word.strip() for word in args.words)
    if not old or not new:
        raise InvalidArgument("Error: Neither old nor new names may be empty")
    try:
        ctx.engine.post(f"/containers/{quote(old)}/rename", {"name": new})
    except ShoalError as error:
        ctx.err(str(error))
        raise InvalidArgument(f"Error: failed to rename container named {old}") from error
    return 0


def run_wait(ctx: Context, args: Arguments) -> int:
    """Wait for containers to stop and print their exit codes."""

    def wait(name: str) -> str:
        answer = ctx.engine.post(f"/containers/{quote(name)}/wait")
        if answer.get("Error"):
            raise InvalidArgument(answer["Error"]["Message"])
        return str(answer["StatusCode"])

    return for_each(ctx, args.words, wait)


def run_prune(ctx: Context, args: Arguments) -> int:
    """Remove all stopped containers."""
    warning = "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?"
    if not args.on("force") and not confirmed(ctx, warning):
        return 0
    report = ctx.engine.post("/containers/prune", {"filters": filters_of(args.items("filter"))})
    if report.get("ContainersDeleted"):
        ctx.out("Deleted Containers:\n" + "\n".join(report["ContainersDeleted"]) + "\n")
    ctx.out(f"Total reclaimed space: {human_size(report.get('SpaceReclaimed', 0))}")
    return 0


ANY = ("containers",)
COMMANDS = (
    Command(
        "kill",
        "Kill one or more running containers",
        run_kill,
        CONTAINERS,
        1,
        flags=(SIGNAL,),
        examples=("kill web", "kill -s HUP web"),
        completes=ANY,
    ),
    Command(
        "pause",
        "Pause all processes within one or more containers",
        _plain("pause"),
        CONTAINERS,
        1,
        examples=("pause web",),
        completes=ANY,
    ),
    Command(
        "prune",
        "Remove all stopped containers",
        run_prune,
        most=0,
        flags=(
            Flag("filter", FILTER, 'Remove only what matches (e.g. "until=24h")'),
            switch("force", "Do not ask", "f"),
        ),
        examples=("container prune -f",),
    ),
    Command(
        "rename",
        "Rename a container",
        run_rename,
        "CONTAINER NEW_NAME",
        2,
        2,
        examples=("rename web old-web",),
        completes=ANY,
    ),
    Command(
        "restart",
        "Restart one or more containers",
        _stopper("restart"),
        CONTAINERS,
        1,
        flags=(SIGNAL, TIMEOUT, TIME),
        examples=("restart -t 5 web",),
        completes=ANY,
    ),
    Command(
        "rm",
        "Remove one or more containers",
        run_rm,
        CONTAINERS,
        1,
        flags=(
            switch("force", "Kill a running container and remove it", "f"),
            switch("link", "Remove the link of that name", "l"),
            switch("volumes", "Remove the container's anonymous volumes", "v"),
        ),
        examples=("rm web", "rm -f $(shoal ps -aq)"),
        completes=ANY,
    ),
    Command(
        "stop",
        "Stop one or more running containers",
        _stopper("stop"),
        CONTAINERS,
        1,
        flags=(SIGNAL, TIMEOUT, TIME),
        examples=("stop web", "stop -t 1 web"),
        completes=ANY,
    ),
    Command(
        "unpause",
        "Unpause all processes within one or more containers",
        _plain("unpause"),
        CONTAINERS,
        1,
        examples=("unpause web",),
        completes=ANY,
    ),
    Command(
        "wait",
        "Block until one or more containers stop, then print their exit codes",
        run_wait,
        CONTAINERS,
        1,
        examples=("wait job",),
        completes=ANY,
    ),
)
