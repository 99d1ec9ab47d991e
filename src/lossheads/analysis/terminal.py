"""A terminal that shows what others wrote, as it is written."""

import os
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lossheads.errors import printable

_NARROW = 60  # columns; on wider terminals a table folds a long name or two and stays readable


class PlainConsole(Console):
    """A rich console for text of strangers: class names, notes, paths, titles of data.

    Square brackets are no markup and colons no emoji; signs that would move the cursor or give the
    terminal orders are spaces. Styles are said apart from the text.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich reads every plain string here, those in tables, titles and captions included."""
        return super().render_str(printable(text), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich does; a table in which words would be broken is shown row by row."""
        shown = [line for one in objects for line in self._fitting(one)]
        super().print(*shown, **(options | ({"sep": "\n"} if len(shown) > len(objects) else {})))

    def _fitting(self, shown: Any) -> list[Any]:
        if self.width >= _NARROW or not isinstance(shown, Table) or not shown.show_header:
            return [shown]
        unlimited = self.options.update(max_width=10_000)
        if Measurement.get(self, unlimited, shown).minimum <= self.width:
            return [shown]
        heads = [_text(column.header) for column in shown.columns]
        rows = zip(*(column.cells for column in shown.columns), strict=True)
        lines = [shown.title] if shown.title else []
        for row in rows:
            named = zip(heads, map(_text, row), strict=True)
            lines += ["", *(f"{head}: {cell}" if head else cell for head, cell in named)]
        return [*lines, *(["", shown.caption] if shown.caption else [])]


def _text(cell: Any) -> str:
    """What a cell says, in one line."""
    said = cell.plain if isinstance(cell, Text) else getattr(cell, "text", cell)
    return " ".join(str(said).split())


def wide_console(stderr: bool = False) -> PlainConsole:
    """Stdout or stderr; a pipe has no width of its own: COLUMNS says it, else it is 120."""
    console = PlainConsole(stderr=stderr)
    if console.is_terminal:
        return console
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() and 0 < int(columns) < 10_000 else 120
    return PlainConsole(stderr=stderr, width=width)
