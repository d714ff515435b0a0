"""A table of texts: what a result says of itself, as plain text, as HTML and as rows of a picture.

A table has a title, rows of cells, and remarks below them. With names of columns it is printed in columns;
without, a row is printed as "name: text".
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import overload

MOST_ROWS = 40
"""Rows of a text: what fits on a screen."""
MOST_COLUMNS = 11
"""Columns of a text: a name and ten values fit beside each other."""
MOST_HTML_ROWS = 400
"""Rows of HTML, in which a notebook scrolls."""


@dataclass(frozen=True)
class Table:
    """A title, rows of texts and remarks.

    Parameters
    ----------
    title : str
        The first line. A result that has no rows is its title.
    rows : sequence of sequence of str
        Cells. A sequence may make its rows when they are asked for: no more are read than are printed.
    head : sequence of str
        Names of the columns; empty for rows that name themselves, such as ("mean", "3.2").
    notes : sequence of str
        Remarks below the rows.
    right : bool
        Whether columns are flush right, as numbers are, and not flush left. The first column of texts stays
        flush left where `left_first` is true.
    left_first : bool
        See `right`.
    most : int
        Rows of the text.
    both_ends : bool
        Whether a text that cannot show all rows shows the first and the last of them, and not the first.

    Examples
    --------
    >>> from samdyn.results import Table
    >>> print(Table("Shares", [("1", "0.25"), ("2", "0.75")], head=("id", "share")))
    Shares
      id  share
      1   0.25
      2   0.75
    >>> print(Table("Fit", [("rate", "0.3"), ("paths", "100")]))
    Fit
      rate: 0.3
      paths: 100
    """

    title: str
    rows: Sequence[Sequence[str]] = ()
    head: Sequence[str] = ()
    notes: Sequence[str] = ()
    right: bool = False
    left_first: bool = False
    most: int = MOST_ROWS
    both_ends: bool = False

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """The table as plain text: at most `most` rows, and a line that says how many more there are."""
        hidden = len(self.rows) - self.most
        end = self.most // 2 if self.both_ends and hidden > 0 else 0
        rows = [*self.rows[: self.most - end], *(self.rows[-end:] if end else ())]
        shown = [list(row[:MOST_COLUMNS]) for row in rows]
        if self.head:
            shown = [list(self.head[:MOST_COLUMNS]), *shown]
            widths = [max(len(row[i]) for row in shown) for i in range(len(shown[0]))]
            lines = [self._line(row, widths) for row in shown]
        else:
            lines = [": ".join(cell for cell in row if cell) for row in shown]
        if hidden > 0:
            lines.insert(len(lines) - end, f"... and {hidden} more")
        if len(self.head) > MOST_COLUMNS:
            lines.append(f"(the first {MOST_COLUMNS - 1} of {len(self.head) - 1} columns)")
        return "\n".join([self.title, *("  " + line for line in [*lines, *self.notes])])

    def html(self) -> str:
        """The table as HTML, with every text escaped: a loss named "<b>" is text.

        Examples
        --------
        >>> from samdyn.results import Table
        >>> Table("of <b>", [("mean", "1")]).html()
        '<table><caption>of &lt;b&gt;</caption><tr><th>mean</th><td>1</td></tr></table>'
        """
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        if not self.rows and not self.head:
            title, *more = self.title.splitlines()
            lines = "".join(f"<p>{html.escape(line.strip())}</p>" for line in [title, *more])
            return lines + notes
        lines = "".join(f"<tr>{self._cells(row)}</tr>" for row in self.rows[:MOST_HTML_ROWS])
        if self.head:
            lines = "<tr>" + "".join(f"<th>{html.escape(name)}</th>" for name in self.head) + "</tr>" + lines
        hidden = len(self.rows) - MOST_HTML_ROWS
        if hidden > 0:
            notes = f"<p>... and {hidden} more</p>" + notes
        return f"<table><caption>{html.escape(self.title)}</caption>{lines}</table>{notes}"

    def _line(self, row: Sequence[str], widths: Sequence[int]) -> str:
        cells = [
            cell.rjust(width) if self.right and not (self.left_first and i == 0) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    def _cells(self, row: Sequence[str]) -> str:
        names = 0 if self.head or len(row) < 2 else 1
        return "".join(
            f"<th>{html.escape(cell)}</th>" if i < names else f"<td>{html.escape(cell)}</td>"
            for i, cell in enumerate(row)
        )


class Rows(Sequence[Sequence[str]]):
    """Rows that are made when they are asked for: a text of ten thousand settings needs forty of them.

    Parameters
    ----------
    n : int
        How many there are.
    make : callable
        The row of a number.

    Examples
    --------
    >>> from samdyn.results import Rows
    >>> rows = Rows(10**9, lambda i: (str(i),))
    >>> len(rows), rows[2:4]
    (1000000000, [('2',), ('3',)])
    """

    def __init__(self, n: int, make: Callable[[int], Sequence[str]]) -> None:
        self._n, self._make = n, make

    def __len__(self) -> int:
        return self._n

    @overload
    def __getitem__(self, index: int) -> Sequence[str]: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sequence[str]]: ...
    def __getitem__(self, index: int | slice) -> Sequence[str] | list[Sequence[str]]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(self._n)[index]]
        return self._make(range(self._n)[index])
