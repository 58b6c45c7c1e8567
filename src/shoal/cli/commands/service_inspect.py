"""``service inspect``."""

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.inspection import inspect
from shoal.cli.kinds import format_flag, switch
from shoal.cli.pretty import service_text
from shoal.client.engine import Json, quote
from shoal.errors import InvalidArgument, NotFound


def run_inspect(ctx: Context, args: Arguments) -> int:
    """Print services."""
    if args.on("pretty") and args.text("format"):
        raise InvalidArgument("--format is incompatible with human friendly format")

    def find(name: str) -> Json:
        try:
            service: Json = ctx.engine.get(f"/services/{quote(name)}", {"insertDefaults": "true"})
        except NotFound as error:
            raise NotFound(f"Error: no such service: {name}") from error
        return service

    if not args.on("pretty"):
        return inspect(ctx, args.words, args.text("format"), find)
    for name in args.words:
        service = find(name)
        wanted = service["Spec"]["TaskTemplate"].get("Networks") or service["Spec"].get("Networks")
        names = {network["Id"]: network["Name"] for network in ctx.engine.get("/networks")} if wanted else {}
        ctx.out(service_text(service, names, ctx.now()))
    return 0


COMMANDS = (
    Command(
        "inspect",
        "Display detailed information on one or more services",
        run_inspect,
        "SERVICE [SERVICE...]",
        1,
        flags=(format_flag("f"), switch("pretty", "Print the information for people")),
        examples=("service inspect --pretty web", "service inspect -f '{{json .Endpoint}}' web"),
        completes=("services",),
    ),
)
