"""Tables as a page shows them: rows of cells, each a few short lines of one kind.

One table serves three views: the templates draw it in HTML, `markdown_table` in Markdown and
`rich_table` on a terminal.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.table import Table

from lossheads.analysis.tables import FoldedName, markdown_rows

Kind = Literal["text", "code", "number", "list", "conclusion"]


@dataclass(frozen=True)
class Cell:
    """One field: the first line is the value, further lines its conditions."""

    lines: tuple[str, ...]
    kind: Kind = "text"


@dataclass(frozen=True)
class PageTable:
    """Head, rows (the first cell of each is the row's name) and a caption with the conditions."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text_cell(*lines: str) -> Cell:
    """Prose."""
    return Cell(tuple(line for line in lines if line))


def code_cell(*lines: str) -> Cell:
    """Names and settings, as the program writes them."""
    return Cell(lines, "code")


def number_cell(*lines: str) -> Cell:
    """Numbers."""
    return Cell(tuple(line for line in lines if line), "number")


def list_cell(line: str) -> Cell:
    """Many numbers in one line, which may be broken."""
    return Cell((line,), "list")


def conclusion_cell(conclusion: str, *lines: str) -> Cell:
    """Holds, fails, undecided; or how printed digits relate to a number."""
    return Cell((conclusion, *(line for line in lines if line)), "conclusion")


def table_from_records(records: Any, caption: str) -> PageTable | None:
    """A list of flat records, their keys as columns; None where there is none."""
    known = [record for record in records or () if isinstance(record, Mapping)]
    head = tuple(dict.fromkeys(key for record in known for key in record))
    if not head:
        return None
    rows = tuple(tuple(_value_cell(record.get(key)) for key in head) for record in known)
    return PageTable(caption, tuple(name.replace("_", " ") for name in head), rows)


def _value_cell(value: Any) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_cell(str(value))
    return text_cell("–" if value is None else str(value))


def markdown_table(table: PageTable) -> str:
    """The table in Markdown, its caption above it; conditions in a cell's further lines."""
    rows = [[_in_markdown(cell) for cell in row] for row in table.rows]
    head = [_escaped(name) for name in table.head]
    return f"{markdown_text(table.caption)}\n\n{markdown_rows([head, *rows])}"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is: no table, code, HTML, link, image, heading or list."""
    escaped = _escaped(text).replace("|", "\\|")
    return re.sub(r"^([#>+=-]|\d+(?=[.)] ))", r"\\\1", escaped)


def _escaped(text: str) -> str:
    # Pipes apart: `markdown_rows` escapes those of tables, in code as well.
    line = re.sub(r"[\\`*]", r"\\\g<0>", " ".join(str(text).split()))
    line = re.sub(r"<(?=[A-Za-z/!?])", r"\\<", line)
    return re.sub(r"\](?=[(\[:])", r"\\]", line)


def markdown_code(text: str) -> str:
    """Text as inline code, whatever backticks it holds."""
    line = " ".join(str(text).split())
    longest = max(map(len, re.findall("`+", line)), default=0)
    if not longest:
        return f"`{line}`"
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}"


def _in_markdown(cell: Cell) -> str:
    lines: Sequence[str] = cell.lines
    if cell.kind == "code":
        lines = [line if line == "–" else markdown_code(line) for line in lines]
    else:
        lines = [_escaped(line) for line in lines]
    if cell.kind == "conclusion":
        lines = [f"**{lines[0]}**", *lines[1:]]
    return (" " if cell.kind == "code" else "\n").join(lines) or "–"


def rich_table(table: PageTable, title: str, without: Sequence[str] = ()) -> Table:
    """The table on a terminal, some columns left out; names break at their separators."""
    kept = [index for index, name in enumerate(table.head) if name not in without]
    shown = Table(title=title, title_justify="left", caption=table.caption, caption_justify="left")
    for index in kept:
        numbers = index > 0 and all(row[index].kind == "number" for row in table.rows)
        justify: Literal["left", "right"] = "right" if numbers else "left"
        shown.add_column(FoldedName(table.head[index]), justify=justify, overflow="fold")
    for row in table.rows:
        shown.add_row(*(_on_terminal(row[index]) for index in kept))
    return shown


def _on_terminal(cell: Cell) -> FoldedName:
    # An interval stays in one piece where its column allows it.
    lines = [
        line.replace(" ", "\N{NO-BREAK SPACE}") if line[:1] == "[" else line for line in cell.lines
    ]
    return FoldedName("\n".join(lines) or "–")
