"""Small languages within flags' values: comma separated fields, shell words, environment files."""

import os
from collections.abc import Iterable

from shoal.errors import InvalidArgument


def split_csv(text: str) -> list[str]:
    """The fields of one line of CSV: commas, double quotes around a field, doubled within (RFC 4180)."""
    fields, field, quoted, index = [], "", False, 0
    while index < len(text):
        char = text[index]
        if quoted:
            if char != '"':
                field += char
            elif text[index + 1 : index + 2] == '"':
                field, index = field + '"', index + 1
            else:
                quoted = False
        elif char == '"' and not field:
            quoted = True
        elif char == ",":
            fields.append(field)
            field = ""
        else:
            field += char
        index += 1
    return [*fields, field]


def read_lines(path: str) -> list[str]:
    """The lines of a file of ``NAME=value``, without comments and empty ones. Raises InvalidArgument."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [line.lstrip().rstrip("\r\n") for line in file]
    except OSError as error:
        raise InvalidArgument(f"open {path}: {(error.strerror or '').lower()}") from error
    kept = [line for line in lines if line and not line.startswith("#")]
    for line in kept:
        name = line.partition("=")[0]
        if not name:
            raise InvalidArgument(f"invalid env file ({path}): no variable name on line '{line}'")
        if any(char.isspace() for char in name):
            raise InvalidArgument(f"invalid env file ({path}): variable '{name}' contains whitespaces")
    return kept


def environment(files: Iterable[str], given: Iterable[str]) -> list[str]:
    """The variables of files and flags; one without a value takes this process's, if it has one."""
    found: list[str] = []
    for item in [*(line for path in files for line in read_lines(path)), *given]:
        if "=" in item:
            found.append(item)
        elif item in os.environ:
            found.append(f"{item}={os.environ[item]}")
    return found


def from_environment_or_bare(files: Iterable[str], given: Iterable[str]) -> list[str]:
    """As :func:`environment`, but what is nowhere set stays as a bare name: the daemon then removes it."""
    return [
        item if "=" in item or item not in os.environ else f"{item}={os.environ[item]}"
        for item in [*(line for path in files for line in read_lines(path)), *given]
    ]


def pairs_to_map(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels and options: the last of a key wins."""
    return dict(pairs)


def labels_of(files: Iterable[str], pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels of files and flags; a flag wins."""
    labels: dict[str, str] = {}
    for path in files:
        for line in read_lines(path):
            key, _, value = line.partition("=")
            labels[key] = value
    return labels | dict(pairs)
