"""Lists of objects, as ``ls`` and ``ps`` print them: a table, a template a row, JSON a row, or ids alone."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from shoal.cli.context import Context
from shoal.cli.gofunctions import Lenient, NoFieldError, Record, TemplateError, to_json
from shoal.errors import InvalidArgument

PADDING = 3
MINIMUM = 10


class Column(NamedTuple):
    """A field of a row: its name in templates, its header, how it is computed."""

    name: str
    header: str
    value: Callable[[Any], Any]


class Listing(NamedTuple):
    """A kind of list: its fields, those of the table by default, and the one that ``-q`` prints."""

    type_name: str
    columns: tuple[Column, ...]
    table: tuple[str, ...]
    quiet: str = "ID"
    config_key: str = ""

    def show(self, ctx: Context, rows: Iterable[Any], form: str = "", *, quiet: bool = False) -> None:
        """Print the rows in the form asked for (``--format``, ``-q``, the user's configuration, a table)."""
        if not form and self.config_key and not quiet:
            form = str(ctx.config.get(self.config_key, ""))
        text = self.render(rows, form, quiet=quiet, load=ctx.load)
        if text:
            ctx.out(text)

    def render(self, rows: Iterable[Any], form: str, *, quiet: bool, load: Callable[[str], Any]) -> str:
        """The list's text, without the last newline. Raises InvalidArgument for a template that fails.

        ``load`` imports the template engine, which most lists do without.
        """
        by_name = {column.name: column for column in self.columns}
        if quiet and form in ("", "table"):
            return "\n".join(str(by_name[self.quiet].value(row)) for row in rows)
        if form in ("", "table"):
            chosen = [by_name[name] for name in self.table]
            return table([[column.header for column in chosen], *([c.value(row) for c in chosen] for row in rows)])
        if form == "json":
            return "\n".join(to_json(self.record(row)) for row in rows)
        header, body = form.startswith("table "), form.removeprefix("table ").strip()
        if body == form and form.startswith("table"):
            header, body = True, form.removeprefix("table").strip()
        try:
            template = load("shoal.cli.gotemplate").Template(unescape(body))
        except TemplateError as error:
            raise InvalidArgument(f"template parsing error: {error}") from error
        try:
            lines = [template.render(Lenient({c.name: c.header or _itself for c in self.columns}))] if header else []
            lines += [template.render(self.record(row)) for row in rows]
        except TemplateError as error:
            raise InvalidArgument(f"template parsing error: {error}") from error
        return table([line.split("\t") for text in lines for line in text.split("\n")]) if header else "\n".join(lines)

    def record(self, row: Any) -> "Row":
        """A row as templates see it."""
        return Row(self, row)


class Row(Record):
    """One row, whose fields are computed when they are asked for."""

    def __init__(self, listing: Listing, row: Any) -> None:
        self._columns = {column.name: column for column in listing.columns}
        self._row = row
        self.type_name = listing.type_name

    def field(self, name: str) -> Any:
        if name not in self._columns:
            raise NoFieldError(f"can't evaluate field {name} in type {self.type_name}")
        return self._columns[name].value(self._row)

    def as_dict(self) -> dict[str, Any]:
        values = {name: column.value(self._row) for name, column in self._columns.items()}
        return {name: value for name, value in values.items() if not callable(value)}


def _itself(argument: str) -> str:
    return argument


def table(rows: list[list[str]], minimum: int = MINIMUM) -> str:
    """Columns at least ``minimum`` wide, three spaces apart; the last cell of a row is not padded."""
    widths: list[int] = []
    for row in rows:
        for index, cell in enumerate(row[:-1]):
            width = max(len(str(cell)) + PADDING, minimum)
            if index == len(widths):
                widths.append(width)
            else:
                widths[index] = max(widths[index], width)
    return "\n".join(
        "".join(str(cell).ljust(widths[index]) for index, cell in enumerate(row[:-1])) + str(row[-1]) for row in rows
    )


def unescape(template: str) -> str:
    r"""``\t`` and ``\n`` as typed in a shell."""
    return template.replace("\\t", "\t").replace("\\n", "\n")


def short_id(identifier: str, length: int = 12) -> str:
    """An id's first characters, without its algorithm."""
    return identifier.rpartition(":")[2][:length]


def ellipsis(text: str, length: int) -> str:
    """At most so many characters, the last one ``…`` if some were cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts names with numbers in them as people do: ``net2`` before ``net10``."""
    key: list[tuple[int, int, str]] = []
    digits = word = ""
    for char in text:
        if char.isdigit():
            if word:
                key.append((1, 0, word))
                word = ""
            digits += char
        else:
            if digits:
                key.append((0, int(digits), digits))
                digits = ""
            word += char
    if word or digits:
        key.append((1, 0, word) if word else (0, int(digits), digits))
    return key
