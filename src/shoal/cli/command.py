"""What a command is: a row of a table, from which parsing, help and completion derive.

These are NamedTuples, not dataclasses: importing ``dataclasses`` costs as much as a whole command takes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from shoal.cli.context import Context
from shoal.errors import ShoalError

PROGRAM = "shoal"


class UsageError(Exception):
    """The command line is wrong: ``full`` is all that is printed, ``status`` the exit code."""

    def __init__(self, full: str, status: int = 1) -> None:
        super().__init__(full)
        self.status = status


class PlainError(ShoalError):
    """An error whose text stands alone, whatever the command's own way of failing; the exit code is 1."""


class Kind(NamedTuple):
    """A type of flag: its name in the help, how its text is parsed, whether it may come several times."""

    label: str
    parse: Callable[[str], Any]
    many: bool = False


class Flag(NamedTuple):
    """One flag. ``default`` is its value when absent; ``shown`` is the default that the help tells of."""

    name: str
    kind: Kind
    help: str
    short: str = ""
    default: Any = None
    shown: str = ""
    hidden: bool = False

    @property
    def spelled(self) -> str:
        """As error messages name it: ``-n, --last``."""
        return f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"


class Arguments:
    """A command line as parsed: positional words, and the flags' values by their long names."""

    def __init__(self, words: list[str], values: dict[str, Any], given: set[str]) -> None:
        self.words = words
        self._values = values
        self._given = given

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def given(self, name: str) -> bool:
        """Whether the flag was on the command line."""
        return name in self._given

    def any_given(self, *names: str) -> bool:
        """Whether one of the flags was on the command line."""
        return any(name in self._given for name in names)

    def text(self, name: str) -> str:
        """A string flag's value."""
        return str(self._values[name] or "")

    def on(self, name: str) -> bool:
        """A boolean flag's value."""
        return bool(self._values[name])

    def number(self, name: str) -> int:
        """A whole number's value; 0 when absent."""
        return int(self._values[name] or 0)

    def items(self, name: str) -> list[Any]:
        """The values of a flag that may come several times, in order."""
        return list(self._values[name] or ())

    def with_values(self, **values: Any) -> "Arguments":
        """The same with some values replaced (names with ``_`` for ``-``)."""
        return Arguments(
            self.words, self._values | {key.replace("_", "-"): value for key, value in values.items()}, self._given
        )


Run = Callable[[Context, Arguments], int]


class Command(NamedTuple):
    """One command: ``words`` is the usage after the options, ``least``/``most`` how many words it takes (-1: any)."""

    name: str
    help: str
    run: Run
    words: str = ""
    least: int = 0
    most: int = -1
    flags: tuple[Flag, ...] = ()
    examples: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    interspersed: bool = True
    completes: tuple[str, ...] = ()
    failure: int = 1
    detail: str = ""


class Group(NamedTuple):
    """A noun and its commands."""

    name: str
    help: str
    commands: tuple[Command, ...]

    def find(self, name: str) -> Command | None:
        """The command of that name or alias."""
        for command in self.commands:
            if name == command.name or name in command.aliases:
                return command
        return None


def merge(*tables: Mapping[str, Flag] | tuple[Flag, ...]) -> tuple[Flag, ...]:
    """Flags of several tables in the order of their names, as the help lists them."""
    flags = [flag for table in tables for flag in (table.values() if isinstance(table, Mapping) else table)]
    return tuple(sorted(flags, key=lambda flag: flag.name))
