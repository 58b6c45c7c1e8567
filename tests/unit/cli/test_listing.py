import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.cli.listing import Column, Listing, ellipsis, natural, table
from shoal.errors import InvalidArgument

ROWS = [{"id": "1234567890abcd", "name": "a"}, {"id": "x", "name": "long-name>"}]
LISTING = Listing(
    "*fake.context",
    (Column("ID", "IDENTIFIER", lambda row: row["id"]), Column("Name", "NAME", lambda row: row["name"])),
    ("ID", "Name"),
)


def render(form: str, *, quiet: bool = False) -> str:
    return LISTING.render(ROWS, form, quiet=quiet, load=importlib.import_module)


def test_forms() -> None:
    assert render("") == "IDENTIFIER       NAME\n1234567890abcd   a\nx                long-name>"
    assert render("", quiet=True) == "1234567890abcd\nx"
    assert render("json") == '{"ID":"1234567890abcd","Name":"a"}\n{"ID":"x","Name":"long-name\\u003e"}'
    assert render("{{.Name}}={{.ID}}") == "a=1234567890abcd\nlong-name>=x"
    assert (
        render("table {{.Name}}\\t{{upper .ID}}")
        == "NAME         IDENTIFIER\na            1234567890ABCD\nlong-name>   X"
    )
    with pytest.raises(InvalidArgument, match="can't evaluate field Foo in type \\*fake.context"):
        render("{{.Foo}}")


@given(st.lists(st.lists(st.text(alphabet="abc ", max_size=30), min_size=3, max_size=3), min_size=1))
def test_columns_line_up(rows: list[list[str]]) -> None:
    lines = table(rows).split("\n")
    first = max(10, 3 + max(len(row[0]) for row in rows))
    second = max(10, 3 + max(len(row[1]) for row in rows))
    for line, row in zip(lines, rows, strict=True):
        assert line[:first].rstrip() == row[0].rstrip()
        assert line[first + second :] == row[2]


def test_natural_order_and_ellipsis() -> None:
    assert sorted(["net10", "net2", "a"], key=natural) == ["a", "net2", "net10"]
    assert ellipsis("abcdef", 4) == "abc…"
    assert ellipsis("abcd", 4) == "abcd"
