"""``shoal topology``: the node's network as the kernel has it."""

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.inspection import pretty_json, show_one
from shoal.cli.kinds import text_flag


def run_topology(ctx: Context, args: Arguments) -> int:
    """Print the tree, or the data behind it."""
    answer = ctx.engine.get_plain("/shoal/v1/topology")
    form = args.text("format")
    if form == "json":
        ctx.out(pretty_json({key: value for key, value in answer.items() if key != "Text"}))
    elif form:
        show_one(ctx, answer, form)
    else:
        ctx.out(answer["Text"].rstrip("\n"))
    return 0


COMMANDS = (
    Command(
        "topology",
        "Show the node's network: namespaces, bridges, links, and who owns them",
        run_topology,
        most=0,
        flags=(text_flag("format", "Output format: 'json' or a Go template"),),
        examples=("topology", "topology --format json"),
    ),
)
