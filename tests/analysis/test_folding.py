"""Names fold after their separators."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from lossheads.analysis.tables import FoldedName, fold, pieces


@pytest.mark.parametrize(
    ("words", "width", "lines"),
    [
        ("elementwise_accuracy_score", 21, ["elementwise_accuracy_", "score"]),
        ("bce-97-vs-cce-90-tuned", 12, ["bce-97-vs-", "cce-90-tuned"]),
        ("labels-100/bce · focal", 12, ["labels-100/", "bce · focal"]),
        ("sgd, lr=1e-3 (n = 5)", 8, ["sgd,", "lr=1e-3", "(n = 5)"]),
        ("one\ntwo", 20, ["one", "two"]),
        ("", 5, [""]),
    ],
)
def test_lines_end_after_separators(words, width, lines):
    assert fold(words, width).split("\n") == lines


def test_conditions_and_powers_of_ten_are_one_piece():
    assert pieces("sgd, lr=1e-3 (n = 5)") == ["sgd,", "lr=1e-3", "(n = 5)"]


def test_a_piece_that_is_wider_than_its_column_is_still_shown_whole():
    console = Console(width=12, record=True, file=io.StringIO())
    table = Table(box=None, padding=0)
    table.add_column("", overflow="fold")
    table.add_row(FoldedName("a_" + "b" * 20))
    console.print(table)
    assert console.export_text().replace("\n", "").replace(" ", "") == "a_" + "b" * 20
