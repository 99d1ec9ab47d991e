"""Tables as a page shows them: rows of cells, each a few short lines of one kind.

The template draws every grid in the same way: it scrolls inside its own box when it is wider than
the screen, and its numbers stand right-aligned in figures of equal width.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "code", "number", "conclusion"]


@dataclass(frozen=True)
class Cell:
    """One field: the first line is what is meant, further lines its conditions."""

    lines: tuple[str, ...]
    kind: Kind = "text"


@dataclass(frozen=True)
class PageTable:
    """Head, rows (the first cell of each is the row's name) and what is to be known of them."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def text_cell(*lines: str) -> Cell:
    """Words."""
    return Cell(tuple(line for line in lines if line))


def code_cell(*lines: str) -> Cell:
    """Names and settings, as the program writes them."""
    return Cell(lines, "code")


def number_cell(*lines: str) -> Cell:
    """Numbers."""
    return Cell(tuple(line for line in lines if line), "number")


def conclusion_cell(conclusion: str, *lines: str) -> Cell:
    """Holds, fails, undecided; or how printed digits relate to a number."""
    return Cell((conclusion, *(line for line in lines if line)), "conclusion")


def table_from_records(records: Any, caption: str) -> PageTable | None:
    """A list of flat records, their keys as columns; None where there is none."""
    known = [record for record in records or () if isinstance(record, Mapping)]
    head = tuple(dict.fromkeys(key for record in known for key in record))
    if not head:
        return None
    rows = tuple(tuple(_shown(record.get(key)) for key in head) for record in known)
    return PageTable(caption, tuple(name.replace("_", " ") for name in head), rows)


def _shown(value: Any) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_cell(str(value))
    return text_cell("–" if value is None else str(value))
