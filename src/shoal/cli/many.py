"""Commands that do one thing to several objects: each success is printed, failures are told of at the end."""

import sys
from collections.abc import Callable, Iterable

from shoal.cli.context import Context
from shoal.errors import NotModified, ShoalError


def for_each(ctx: Context, names: Iterable[str], act: Callable[[str], str | None]) -> int:
    """Call ``act`` for each name and print what it returns; None stands for the name, the empty text for nothing.

    Returns the exit code.
    """
    errors: list[str] = []
    for name in names:
        try:
            shown = act(name)
        except NotModified:
            shown = None
        except ShoalError as error:
            errors.append(str(error))
            continue
        if shown != "":
            ctx.out(name if shown is None else shown)
    for text in errors:
        ctx.err(text)
    return 1 if errors else 0


def confirmed(ctx: Context, warning: str) -> bool:
    """Ask on the terminal; anything but y is no."""
    sys.stdout.write(f"{warning} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
