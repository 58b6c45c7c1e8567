"""``shoal update``: a running container's limits."""

from shoal.cli.command import Arguments, Command, Flag
from shoal.cli.containerbody import resources, restart_policy
from shoal.cli.containerflags import CONTAINER_FLAGS
from shoal.cli.context import Context
from shoal.cli.kinds import text_flag
from shoal.cli.many import for_each
from shoal.client.engine import quote
from shoal.errors import InvalidArgument

LIMITS = (
    "blkio-weight", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime", "cpu-shares", "cpus", "cpuset-cpus",
    "cpuset-mems", "memory", "memory-reservation", "memory-swap", "pids-limit",
)  # fmt: skip


def run_update(ctx: Context, args: Arguments) -> int:
    """Change limits and the restart policy."""
    body = resources(args)
    if args.given("restart"):
        body["RestartPolicy"] = restart_policy(args.text("restart"))
    if not body:
        raise InvalidArgument("you must provide one or more flags when using this command")
    warnings: list[str] = []

    def update(name: str) -> None:
        warnings.extend(ctx.engine.post(f"/containers/{quote(name)}/update", body=body).get("Warnings") or ())

    status = for_each(ctx, args.words, update)
    for text in warnings:
        ctx.err(text)
    return status


FLAGS: tuple[Flag, ...] = tuple(flag for flag in CONTAINER_FLAGS if flag.name in LIMITS)
COMMANDS = (
    Command(
        "update",
        "Update configuration of one or more containers",
        run_update,
        "CONTAINER [CONTAINER...]",
        1,
        flags=(*FLAGS, text_flag("restart", "When to restart the container")),
        examples=("update --memory 256m --cpus 1.5 web",),
        completes=("containers",),
    ),
)
