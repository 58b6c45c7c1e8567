"""``shoal logs``."""

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.kinds import switch, text_flag
from shoal.cli.times import timestamp
from shoal.client.engine import quote
from shoal.client.hijack import STDERR, demultiplex
from shoal.errors import InvalidArgument


def run_logs(ctx: Context, args: Arguments) -> int:
    """Print a container's output."""
    container = ctx.engine.get(f"/containers/{quote(args.words[0])}/json")
    try:
        since, until = (timestamp(args.text(name), ctx.now()) for name in ("since", "until"))
    except ValueError as error:
        raise InvalidArgument(f'invalid value for "since" or "until": {error}') from error
    query = {
        "stdout": True,
        "stderr": True,
        "since": since,
        "until": until,
        "timestamps": args.on("timestamps") or None,
        "follow": args.on("follow") or None,
        "tail": args.text("tail"),
        "details": args.on("details") or None,
    }
    response = ctx.engine.stream("GET", f"/containers/{container['Id']}/logs", query)
    for stream, piece in demultiplex(response.chunks(), tty=container["Config"]["Tty"]):
        ctx.write(piece, stderr=stream >= STDERR)
    return 0


COMMANDS = (
    Command(
        "logs",
        "Fetch the logs of a container",
        run_logs,
        "CONTAINER",
        1,
        1,
        flags=(
            switch("details", "Show extra details provided to logs"),
            switch("follow", "Follow log output", "f"),
            text_flag("since", 'Show logs since a time ("2013-01-02T13:23:37Z") or for that long ("42m")'),
            text_flag("tail", "Number of lines to show from the end of the logs", "n", "all"),
            switch("timestamps", "Show timestamps", "t"),
            text_flag("until", 'Show logs before a time ("2013-01-02T13:23:37Z") or until that long ago ("42m")'),
        ),
        examples=("logs -f --tail 10 web", "logs --since 5m web"),
        completes=("containers",),
    ),
)
