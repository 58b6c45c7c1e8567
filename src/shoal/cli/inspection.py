"""``inspect`` of anything: objects by reference, printed as JSON or through a template."""

import json
from collections.abc import Callable
from typing import Any

from shoal.cli.context import Context
from shoal.cli.gofunctions import TemplateError, to_json
from shoal.cli.listing import unescape
from shoal.errors import InvalidArgument, ShoalError

BAD_TEMPLATE = 64


def inspect(ctx: Context, names: list[str], form: str, find: Callable[[str], Any]) -> int:
    """Print what ``find`` gives for each name; those that fail are told of at the end. The exit code."""
    template = None
    if form not in ("", "json"):
        try:
            template = ctx.load("shoal.cli.gotemplate").Template(unescape(form))
        except TemplateError as error:
            ctx.err(f"template parsing error: {error}")
            return BAD_TEMPLATE
    found: list[Any] = []
    errors: list[str] = []
    for name in names:
        try:
            found.append(find(name))
        except ShoalError as error:
            errors.append(str(error))
    if template is None:
        ctx.out(to_json(found) if form == "json" else pretty_json(found))
    else:
        rendered = 0
        for item in found:
            try:
                ctx.out(template.render(item))
                rendered += 1
            except TemplateError as error:
                errors.append(f"template parsing error: {error}")
        if not rendered:
            ctx.out("")
    for text in errors:
        ctx.err(text)
    return 1 if errors else 0


def pretty_json(value: Any) -> str:
    """JSON indented by four, as Docker indents it: empty lists and maps on one line."""
    return json.dumps(value, indent=4, ensure_ascii=False)


def show_one(ctx: Context, value: Any, form: str) -> None:
    """Print one object through ``--format``. Raises InvalidArgument when the template fails."""
    if form == "json":
        ctx.out(to_json(value))
        return
    try:
        ctx.out(ctx.load("shoal.cli.gotemplate").Template(unescape(form)).render(value))
    except TemplateError as error:
        raise InvalidArgument(f"template parsing error: {error}") from error
