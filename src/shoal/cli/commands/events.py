"""``shoal events``."""

import json
import sys

from shoal.cli.command import Arguments, Command
from shoal.cli.context import Context
from shoal.cli.gofunctions import TemplateError
from shoal.cli.gotemplate import Template
from shoal.cli.kinds import filter_flag, filters_of, text_flag
from shoal.cli.listing import unescape
from shoal.cli.quantities import SECOND, zulu_time
from shoal.cli.times import timestamp
from shoal.client.engine import Json, json_lines
from shoal.errors import InvalidArgument


def event_line(event: Json) -> str:
    """``TIME TYPE ACTION ID (key=value, …)``, the time to the nanosecond."""
    nanoseconds = event.get("timeNano") or event.get("time", 0) * SECOND
    stamp = zulu_time(nanoseconds // SECOND)
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{key}={value}" for key, value in sorted((actor.get("Attributes") or {}).items()))
    line = (
        f"{stamp[:19]}.{nanoseconds % SECOND:09d}{stamp[19:]} {event['Type']} {event['Action']} {actor.get('ID', '')}"
    )
    return f"{line} ({attributes})" if attributes else line


def run_events(ctx: Context, args: Arguments) -> int:
    """Print what happens, as it happens."""
    form = args.text("format")
    try:
        since, until = (timestamp(args.text(name), ctx.now()) for name in ("since", "until"))
        template = Template(unescape(form)) if form not in ("", "json") else None
    except ValueError as error:
        raise InvalidArgument(f"invalid value for filter: {error}") from error
    except TemplateError as error:
        raise InvalidArgument(f"Error parsing format: {error}") from error
    query = {"since": since, "until": until, "filters": filters_of(args.items("filter"))}
    for event in json_lines(ctx.engine.stream("GET", "/events", query)):
        if template:
            text = template.render({**event, "TimeNano": event.get("timeNano"), "Time": event.get("time")})
        else:
            text = json.dumps(event, separators=(",", ":"), ensure_ascii=False) if form else event_line(event)
        ctx.out(text)
        sys.stdout.flush()
    return 0


COMMANDS = (
    Command(
        "events",
        "Get real time events from the server",
        run_events,
        most=0,
        flags=(
            filter_flag(),
            text_flag("format", "Output format: 'json' or a Go template"),
            text_flag("since", "Show events since then"),
            text_flag("until", "Show events until then, and stop"),
        ),
        examples=("events --filter type=container", "events --since 10m --until 0s"),
    ),
)
