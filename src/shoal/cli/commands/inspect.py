"""``shoal inspect``: any object by its name or id."""

from collections.abc import Callable
from typing import Any

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.inspection import inspect
from shoal.cli.kinds import format_flag, switch, text_flag
from shoal.client.engine import quote
from shoal.errors import InvalidArgument, NotFound, ShoalError

PATHS = {
    "config": "/configs/{}",
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "node": "/nodes/{}",
    "plugin": "/plugins/{}/json",
    "secret": "/secrets/{}",
    "service": "/services/{}",
    "task": "/tasks/{}",
    "volume": "/volumes/{}",
}
# The order decides whose name wins.
ORDER = ("container", "image", "network", "volume", "service", "task", "node", "plugin", "secret", "config")
SWARM = ("service", "task", "node", "secret", "config")


def finder(ctx: Context, kind: str, *, size: bool) -> Callable[[str], Any]:
    """What looks up one reference, among objects of one type or of all."""

    def get(kind: str, name: str) -> Any:
        query = (
            {"size": True}
            if size and kind == "container"
            else {"insertDefaults": "true"}
            if kind == "service"
            else None
        )
        if kind == "node" and name == "self":
            name = ctx.engine.get("/info")["Swarm"]["NodeID"]
        return ctx.engine.get(PATHS[kind].format(quote(name)), query)

    def find(name: str) -> Any:
        if kind:
            return get(kind, name)
        for each in ORDER:
            try:
                return get(each, name)
            except NotFound:
                continue
            except ShoalError as error:
                # Outside a swarm, or on a worker, its objects cannot be asked for; names are no valid reference to
                # some types. Neither says that the name is wrong.
                if each not in SWARM and "invalid" not in str(error) and each != "plugin":
                    raise
        raise NotFound(f"Error: No such object: {name}")

    return find


def run_inspect(ctx: Context, args: Arguments) -> int:
    """Print objects of any type as JSON."""
    kind = args.text("type")
    if kind and kind not in PATHS:
        known = ", ".join(f'"{name}"' for name in sorted(PATHS))
        raise InvalidArgument(f'unknown type: "{kind}": must be one of {known}')
    if args.given("type") and not kind:
        raise InvalidArgument("type is empty: must be one of " + ", ".join(f'"{name}"' for name in sorted(PATHS)))
    return inspect(ctx, args.words, args.text("format"), finder(ctx, kind, size=args.on("size")))


COMMANDS = (
    Command(
        "inspect",
        "Return low-level information on Docker objects",
        run_inspect,
        "NAME|ID [NAME|ID...]",
        1,
        flags=(
            format_flag("f"),
            switch("size", "Display total file sizes if the type is container", "s"),
            text_flag("type", "Only inspect objects of the given type"),
        ),
        examples=("inspect web", "inspect --type network ingress", "inspect -f '{{.State.Pid}}' web"),
        completes=("containers", "images", "networks", "volumes"),
    ),
)
