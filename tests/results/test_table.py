"""Tables of texts: columns, records, long ones, and HTML."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from samdyn.results import Rows, Table


def test_columns_are_aligned() -> None:
    table = Table("T", [("a", "1"), ("long", "22")], ("name", "value"))
    assert table.text() == "T\n  name  value\n  a     1\n  long  22"
    right = Table("T", [("a", "1"), ("long", "22")], ("name", "value"), right=True, left_first=True)
    assert right.text() == "T\n  name  value\n  a         1\n  long     22"


def test_long_tables_say_how_much_is_left_out() -> None:
    asked: list[int] = []

    def row(i: int) -> tuple[str, str]:
        asked.append(i)
        return f"n{i}", str(i)

    table = Table("T", Rows(10**6, row))
    assert table.text().splitlines()[-1] == "  ... and 999960 more"
    assert len(asked) == 40
    ends = Table("T", [(str(i), "x") for i in range(30)], most=4, both_ends=True)
    assert ends.text().splitlines() == ["T", "  0: x", "  1: x", "  ... and 26 more", "  28: x", "  29: x"]
    wide = Table("T", [[str(i) for i in range(30)]], [f"c{i}" for i in range(30)])
    assert wide.text().splitlines()[-1] == "  (the first 10 of 29 columns)"
    assert "29" in wide.html()


@given(st.text(), st.text(), st.text(), st.text())
def test_all_texts_are_escaped(title: str, name: str, cell: str, note: str) -> None:
    html = Table(title, [(cell, "x")], (name, "y"), [note]).html()
    tags = ("table", "caption", "tr", "th", "td", "p")
    for tag in tags:
        html = html.replace(f"<{tag}>", "").replace(f"</{tag}>", "")
    assert "<" not in html
    assert ">" not in html
