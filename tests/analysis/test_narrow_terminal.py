"""Tables on a terminal too narrow for their words are shown row by row, and nothing is lost."""

import io

from rich.table import Table

from lossheads.analysis.tables import FoldedName
from lossheads.analysis.terminal import PlainConsole

ROWS = [
    ("softmax_cce", "(2.00, -1.00, 0.50)\n→ (0.79, 0.04, 0.18)", "cross-entropy of the softmax"),
    ("sigmoid_bce", "(2.00)", "sum of binary cross-entropies"),
]
HEADS = ("head", "logits → scores", "what it does")


def shown(width: int) -> str:
    table = Table(title="OneOf(n=3)", caption="One example each.")
    for name in HEADS:
        table.add_column(name, overflow="fold")
    for name, *cells in ROWS:
        table.add_row(FoldedName(name), *cells)
    console = PlainConsole(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def test_no_word_is_broken_on_a_narrow_terminal() -> None:
    text = shown(20)
    words = text.split()
    for said in (*HEADS, *(cell for row in ROWS for cell in row), "OneOf(n=3)", "One example"):
        assert all(word in words or f"{word}:" in words for word in said.split()), said
    assert all(len(line) <= 20 for line in text.splitlines())
    assert "head: softmax_cce" in text
    assert "│" not in text


def test_a_table_that_fits_stays_a_table() -> None:
    assert "│ softmax_cce" in shown(59)
    table = Table("a", "b")
    table.add_row("1", "2")
    console = PlainConsole(file=io.StringIO(), width=20)
    console.print(table)
    assert "│ 1 │ 2 │" in console.file.getvalue()
