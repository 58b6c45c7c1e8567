"""``shoal exec``."""

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.commands.attach import DETACH_KEYS
from shoal.cli.context import Context
from shoal.cli.kinds import ENVIRONMENT, LIST, switch, text_flag
from shoal.cli.streams import Session, check_tty, resizer
from shoal.cli.term import size
from shoal.cli.texts import from_environment_or_bare
from shoal.client.engine import quote
from shoal.errors import InvalidArgument, ShoalError


def run_exec(ctx: Context, args: Arguments) -> int:
    """Run a command in a running container; its exit code."""
    container, *command = args.words
    detach, tty, stdin = args.on("detach"), args.on("tty"), args.on("interactive")
    if not detach and (problem := check_tty(attach_stdin=stdin, tty=tty)):
        raise InvalidArgument(problem)
    body = {
        "User": args.text("user"),
        "Privileged": args.on("privileged"),
        "Tty": tty,
        "Detach": detach,
        "AttachStdin": stdin and not detach,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "DetachKeys": args.text("detach-keys"),
        "Env": from_environment_or_bare(args.items("env-file"), args.items("env")),
        "WorkingDir": args.text("workdir"),
        "Cmd": command,
    }
    if tty and not detach and all(size()):
        body["ConsoleSize"] = list(size())
    ctx.engine.get(f"/containers/{quote(container)}/json")
    identifier = ctx.engine.post(f"/containers/{quote(container)}/exec", body=body)["Id"]
    path = f"/exec/{identifier}"
    start = {"Detach": detach, "Tty": tty}
    if detach:
        ctx.engine.post(f"{path}/start", body=start)
        return 0
    hijacked = ctx.engine.hijack(f"{path}/start", body=start)
    side = ctx.second_engine()
    resize = resizer(side, f"{path}/resize") if tty else None
    session = Session(ctx, hijacked, tty=tty, stdin=stdin, detach_keys=args.text("detach-keys"), resize=resize)
    if resize:
        try:
            resize(*size())
        except ShoalError as error:
            ctx.err(f"failed to resize tty, using default size: {error}")
    session.run()
    side.close()
    if session.detached:
        return 0
    return int(ctx.engine.get(f"{path}/json")["ExitCode"] or 0)


COMMANDS = (
    Command(
        "exec",
        "Execute a command in a running container",
        run_exec,
        "CONTAINER COMMAND [ARG...]",
        2,
        flags=(
            switch("detach", "Run the command in the background", "d"),
            DETACH_KEYS,
            Flag("env", ENVIRONMENT, "Set environment variables", "e"),
            Flag("env-file", LIST, "Read environment variables from a file"),
            switch("interactive", "Keep STDIN open even if not attached", "i"),
            switch("privileged", "Give all privileges of the host to the command"),
            switch("tty", "Allocate a pseudo-TTY", "t"),
            text_flag("user", "User name or id (<name|uid>[:<group|gid>])", "u"),
            text_flag("workdir", "Working directory in the container", "w"),
        ),
        examples=("exec -it web sh", "exec web ls /"),
        interspersed=False,
        completes=("containers",),
    ),
)
