"""The types of flags: each parses its text or raises InvalidArgument in Docker's (Go's) words."""

from typing import Any

from shoal.cli.command import Flag, Kind
from shoal.cli.quantities import parse_bytes, parse_cpus, parse_duration
from shoal.errors import InvalidArgument

TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def parse_bool(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise InvalidArgument(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parse_int(text: str, function: str = "ParseInt", low: int = -(2**63), high: int = 2**63 - 1) -> int:
    """Go's strconv.ParseInt with base 0."""
    digits = text.lstrip("+-")
    try:
        if not digits[:1].isdigit() or "_" in digits:
            raise ValueError
        number = int(text, 8 if digits.startswith("0") and digits.isdigit() else 0)
    except ValueError as error:
        raise InvalidArgument(f'strconv.{function}: parsing "{text}": invalid syntax') from error
    if text.startswith("-") and low == 0:
        raise InvalidArgument(f'strconv.{function}: parsing "{text}": invalid syntax')
    if not low <= number <= high:
        raise InvalidArgument(f'strconv.{function}: parsing "{text}": value out of range')
    return number


def parse_uint(text: str) -> int:
    """Go's strconv.ParseUint, 64 bits."""
    return parse_int(text, "ParseUint", 0, 2**64 - 1)


def parse_float(text: str) -> float:
    """Go's strconv.ParseFloat."""
    try:
        return float(text)
    except ValueError as error:
        raise InvalidArgument(f'strconv.ParseFloat: parsing "{text}": invalid syntax') from error


def parse_filter(text: str) -> tuple[str, str]:
    """``name=value`` of ``--filter``."""
    name, separator, value = text.partition("=")
    if not separator:
        raise InvalidArgument("bad format of filter (expected name=value)")
    return name.strip().lower(), value.strip()


def parse_pair(text: str) -> tuple[str, str]:
    """``key=value`` of options and labels; the value may be missing."""
    key, _, value = text.partition("=")
    return key, value


def parse_env(text: str) -> str:
    """``NAME=value`` or ``NAME``."""
    if not text.partition("=")[0]:
        raise InvalidArgument(f"invalid environment variable: {text}")
    return text


def parse_strings(text: str) -> str:
    """One of several strings."""
    return text


BOOL = Kind("", parse_bool)
STRING = Kind("string", str)
INT = Kind("int", parse_int)
UINT = Kind("uint", parse_uint)
UINT16 = Kind("uint16", lambda text: parse_int(text, "ParseUint", 0, 65535))
UINT32 = Kind("uint32", lambda text: parse_int(text, "ParseUint", 0, 2**32 - 1))
FLOAT = Kind("float", parse_float)
DECIMAL = Kind("decimal", parse_cpus)
DURATION = Kind("duration", parse_duration)
BYTES = Kind("bytes", parse_bytes)
LIST = Kind("list", parse_strings, many=True)
STRINGS = Kind("strings", parse_strings, many=True)
ENVIRONMENT = Kind("list", parse_env, many=True)
PAIRS = Kind("list", parse_pair, many=True)
MAP = Kind("map", parse_pair, many=True)
FILTER = Kind("filter", parse_filter, many=True)

HELP = Flag("help", BOOL, "Print usage", default=False)


def switch(name: str, help_: str, short: str = "", *, default: bool = False, shown: str = "") -> Flag:
    """A boolean flag."""
    return Flag(name, BOOL, help_, short, default, shown)


def text_flag(name: str, help_: str, short: str = "", default: str = "", shown: str = "") -> Flag:
    """A string flag."""
    return Flag(name, STRING, help_, short, default, shown or (f'"{default}"' if default else ""))


def filter_flag(short: str = "f", help_: str = "Show only what matches (name=value)") -> Flag:
    """``--filter``."""
    return Flag("filter", FILTER, help_, short)


def format_flag(
    short: str = "", help_: str = "Output format: 'table', 'table TEMPLATE', 'json' or a Go template"
) -> Flag:
    """``--format``."""
    return Flag("format", STRING, help_, short, "")


def filters_of(pairs: list[tuple[str, str]]) -> dict[str, Any] | None:
    """The API's ``filters`` parameter: {name: {value: true}}; None when there are none."""
    filters: dict[str, dict[str, bool]] = {}
    for name, value in pairs:
        filters.setdefault(name, {})[value] = True
    return filters or None
