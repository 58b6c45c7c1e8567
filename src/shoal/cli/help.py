"""The text of ``--help``, from the tables."""

import textwrap

from shoal.cli.command import PROGRAM, Command, Flag, Group
from shoal.cli.kinds import BOOL
from shoal.cli.parse import usage_line

WIDTH = 80


def command_help(path: str, command: Command, names: list[str]) -> str:
    """A command's help; ``names`` are all the forms it can be called by."""
    parts = [f"Usage:  {usage_line(path, command)}", command.help + (f"\n\n{command.detail}" if command.detail else "")]
    if len(names) > 1:
        parts.append("Aliases:\n  " + ", ".join(names))
    if flags := flag_lines(command.flags):
        parts.append("Options:\n" + flags)
    if command.examples:
        parts.append("Examples:\n" + "\n".join(f"  {PROGRAM} {example}" for example in command.examples))
    return "\n\n".join(parts)


def group_help(group: Group) -> str:
    """A noun's help: its commands."""
    path = f"{PROGRAM} {group.name}"
    rows = "\n".join(f"  {command.name:<11} {command.help}" for command in sorted(group.commands, key=lambda c: c.name))
    return (
        f"Usage:  {path} COMMAND\n\n{group.help}\n\nCommands:\n{rows}\n\n"
        f"Run '{path} COMMAND --help' for more information on a command."
    )


def flag_lines(flags: tuple[Flag, ...]) -> str:
    """The options, aligned, their help wrapped to the width of a terminal of 80 columns."""
    heads = []
    for flag in sorted(flags, key=lambda flag: flag.name):
        if not flag.hidden:
            short = f"-{flag.short}, " if flag.short else "    "
            label = "" if flag.kind is BOOL else f" {flag.kind.label}"
            heads.append((f"  {short}--{flag.name}{label}", flag))
    margin = max((len(head) for head, _ in heads), default=0) + 3
    lines = []
    for head, flag in heads:
        text = flag.help + (f" (default {flag.shown})" if flag.shown else "")
        wrapped = textwrap.wrap(text, max(WIDTH - margin, 30), break_on_hyphens=False) or [""]
        lines.append(head.ljust(margin) + wrapped[0])
        lines += [" " * margin + line for line in wrapped[1:]]
    return "\n".join(lines)
