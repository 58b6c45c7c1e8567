"""Docker's (pflag's) command line syntax, for a table of flags.

``--flag value``, ``--flag=value``, ``-f value``, ``-fvalue``, ``-it``; booleans take a value only as ``--flag=false``;
flags and words may be mixed unless the command says that the first word ends the flags; ``--`` ends them too.
"""

from collections.abc import Iterator
from typing import Any

from shoal.cli.command import PROGRAM, Arguments, Command, Flag, UsageError
from shoal.cli.kinds import BOOL, HELP
from shoal.errors import InvalidArgument

BAD_FLAG = 125


def parse(path: str, command: Command, words: list[str]) -> Arguments:
    """The arguments of ``command`` (called as ``path``). Raises UsageError, worded as docker does."""
    try:
        positional, pairs = split(command.flags, words, interspersed=command.interspersed)
        values, given = collect(command.flags, pairs)
    except InvalidArgument as error:
        raise UsageError(f"{error}\n\n{usage_hint(path, command)}", BAD_FLAG) from error
    if not values["help"]:
        check_count(path, command, len(positional))
    return Arguments(positional, values, given)


def split(flags: tuple[Flag, ...], words: list[str], *, interspersed: bool) -> tuple[list[str], list[tuple[Flag, str]]]:
    """The positional words, and each flag with its text, in order. Raises InvalidArgument."""
    positional: list[str] = []
    pairs: list[tuple[Flag, str]] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            positional += rest
        elif word.startswith("--"):
            pairs.append(_long(flags, word, rest))
        elif word.startswith("-") and len(word) > 1:
            pairs += _shorts(flags, word, rest)
        else:
            positional.append(word)
            if not interspersed:
                positional += rest
    return positional, pairs


def collect(flags: tuple[Flag, ...], pairs: list[tuple[Flag, str]]) -> tuple[dict[str, Any], set[str]]:
    """Every flag's value, and the names of those that were given. Raises InvalidArgument."""
    values: dict[str, Any] = {flag.name: flag.default for flag in flags}
    values.setdefault("help", False)
    given: set[str] = set()
    for flag, text in pairs:
        try:
            value = flag.kind.parse(text)
        except InvalidArgument as error:
            raise InvalidArgument(f'invalid argument "{text}" for "{flag.spelled}" flag: {error}') from error
        if flag.kind.many:
            values[flag.name] = [*(values[flag.name] if flag.name in given else ()), value]
        else:
            values[flag.name] = value
        given.add(flag.name)
    return values, given


def check_count(path: str, command: Command, count: int) -> None:
    """Raise UsageError when there are too few or too many words."""
    least, most = command.least, command.most
    if (least <= count or least < 0) and (most < 0 or count <= most):
        return
    see = "Run"
    if most == 0:
        problem = "accepts no arguments"
    elif least == most:
        problem = f"requires {least} argument{'s' if least != 1 else ''}"
    elif count < least:
        problem = f"requires at least {least} argument{'s' if least != 1 else ''}"
        see = "See"
    else:
        problem = f"requires at most {most} argument{'s' if most != 1 else ''}"
    raise UsageError(
        f"{PROGRAM}: '{path}' {problem}\n\nUsage:  {usage_line(path, command)}\n\n"
        f"{see} '{path} --help' for more information"
    )


def usage_line(path: str, command: Command) -> str:
    """The command's form: ``shoal run [OPTIONS] IMAGE …``."""
    options = "[OPTIONS]" if any(not flag.hidden for flag in command.flags) else ""
    return " ".join(part for part in (path, options, command.words) if part)


def usage_hint(path: str, command: Command) -> str:
    """What follows an error in the flags."""
    return f"Usage:  {usage_line(path, command)}\n\nRun '{path} --help' for more information"


def _long(flags: tuple[Flag, ...], word: str, rest: Iterator[str]) -> tuple[Flag, str]:
    name, separator, text = word[2:].partition("=")
    flag = HELP if name == "help" else next((flag for flag in flags if flag.name == name), None)
    if flag is None:
        raise InvalidArgument(f"bad flag syntax: {word}" if not name else f"unknown flag: --{name}")
    if separator:
        return flag, text
    if flag.kind is BOOL:
        return flag, "true"
    following = next(rest, None)
    if following is None:
        raise InvalidArgument(f"flag needs an argument: --{name}")
    return flag, following


def _shorts(flags: tuple[Flag, ...], word: str, rest: Iterator[str]) -> list[tuple[Flag, str]]:
    pairs: list[tuple[Flag, str]] = []
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = next((flag for flag in flags if flag.short == letter), None)
        if flag is None and letter == "h":
            flag = HELP
        if flag is None:
            raise InvalidArgument(f"unknown shorthand flag: {letter!r} in {word}")
        if letters.startswith("="):
            pairs.append((flag, letters[1:]))
            break
        if flag.kind is BOOL:
            pairs.append((flag, "true"))
            continue
        following = letters or next(rest, None)
        if following is None:
            raise InvalidArgument(f"flag needs an argument: {letter!r} in {word}")
        pairs.append((flag, following))
        break
    return pairs
