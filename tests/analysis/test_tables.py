import io
import math
import re

import pandas as pd
import pytest
from rich.console import Console

from lossheads.analysis.tables import csv, markdown, rich_tables, table
from lossheads.errors import UserError

from .making import ARGMAX, CELLS, KERAS, puzzle, run

ARGMAX_CELL = "0.8800<br>[0.8529, 0.9027]<br>baseline 0.1000"


def test_the_long_form_has_a_row_per_arm_and_metric():
    data = table(puzzle(), [ARGMAX, KERAS])
    assert list(zip(data["arm"], data["metric"], strict=True)) == [
        ("cce", ARGMAX),
        ("cce", KERAS),
        ("bce", ARGMAX),
        ("bce", KERAS),
    ]
    assert data["mean"].tolist() == pytest.approx([0.88, 0.88, 0.88, 0.976])
    assert data["baseline"].tolist() == [0.1, 0.1, 0.1, 0.9]
    assert data["skill"].tolist() == pytest.approx([0.78 / 0.9, 0.78 / 0.9, 0.78 / 0.9, 0.76])
    assert data["n"].tolist() == [3] * 4
    # Seeds at 0.87, 0.88, 0.89, t = t(0.975, 2): Wilson's ends are the x with
    # (0.88 - x)² = t² x (1 - x) / m, with m = 0.88 · 0.12 / (0.01² / 3) coin flips.
    assert data["low"][0] == pytest.approx(0.852925, abs=1e-6)
    assert data["high"][0] == pytest.approx(0.902660, abs=1e-6)


def test_a_loss_has_its_skill_counted_downwards():
    (skill,) = table({"cce": puzzle()["cce"]}, ["nll_loss"])["skill"]
    assert skill == pytest.approx(1 - 0.12 / math.log(10))


def test_the_csv_comes_back_as_it_was():
    data = table(puzzle(), [ARGMAX, CELLS])
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(csv(data))), data)


def test_the_markdown_shows_mean_interval_baseline_and_n():
    lines = markdown(table(puzzle(), [ARGMAX, KERAS])).splitlines()
    assert lines[0] == "| metric | cce (n = 3) | bce (n = 3) |"
    assert lines[1] == "| --- | ---: | ---: |"
    assert lines[2] == f"| {ARGMAX} |" + f" {ARGMAX_CELL} |" * 2
    assert lines[3] == (
        f"| {KERAS} | {ARGMAX_CELL} | 0.9760<br>[0.9705, 0.9805]<br>baseline 0.9000 |"
    )
    assert lines[5].startswith("test split; mean over n seeds, ± half of its 95 % interval")


def test_the_terminal_shows_the_same_numbers():
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(*rich_tables(table(puzzle(), [ARGMAX, KERAS]), "the puzzle", 100))
    said = console.export_text()
    for words in ("the puzzle", "cce (n = 3)", "[0.9705, 0.9805]", "baseline 0.9000", "test split"):
        assert words in said


def shown(arms, width):
    """What a terminal of this width shows of arms under two metrics."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(*rich_tables(table(arms, [ARGMAX, CELLS]), "toy", width), sep="\n")
    return console.export_text()


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("arms", [1, 3, 8, 12])
def test_no_number_is_broken_and_no_name_in_mid_word(arms, width):
    many = {f"softmax_cce, lr=0.0{number}": puzzle()["cce"] for number in range(10, 10 + arms)}
    said = shown(many, width)
    assert said.count("[0.8529, 0.9027]") == said.count("[0.9705, 0.9805]") == arms
    words = set(re.findall(r"[a-z][a-z=.0-9]*", said.split("test split")[0]))
    rates = {f"lr={name.split('=')[1]}" for name in many}
    names = {
        "elementwise",
        "accuracy",
        "score",
        "softmax",
        "cce",
        "metric",
        "n",
        "baseline",
        *rates,
    }
    assert words - {"toy", "arm", "arms", "to", "of"} == names
    assert max(map(len, said.splitlines())) <= width


def test_arms_without_room_stand_in_a_table_of_their_own_under_one_caption():
    many = {f"arm {number}": puzzle()["cce"] for number in range(8)}
    said = shown(many, 80)
    spans = ("toy, arms 1 to 3 of 8", "toy, arms 4 to 6 of 8", "toy, arms 7 to 8 of 8")
    assert all(span in said for span in spans)
    assert "toy, arm 7 of 7" in shown({f"arm {number}": puzzle()["cce"] for number in range(7)}, 80)
    assert said.count("test split") == 1
    assert "arms" not in shown({"cce": puzzle()["cce"]}, 80)


def test_a_bar_in_an_arms_name_does_not_break_the_markdown():
    said = markdown(table({"a|b": puzzle()["cce"]}, [ARGMAX]))
    assert "a\\|b (n = 3)" in said


def test_seeds_without_a_value_are_named_below_the_table():
    runs = [*puzzle()["cce"], run(9, [{ARGMAX: 0.1}], status="diverged")]
    assert "seeds left out, no value: 1 of cce" in markdown(table({"cce": runs}, [ARGMAX]))


def test_an_undefined_metric_says_so_and_a_partly_defined_one_says_its_n():
    half = [run(0, [{ARGMAX: 0.5, CELLS: 0.9}]), run(1, [{ARGMAX: 0.7, CELLS: math.nan}])]
    none = [run(0, [{ARGMAX: 0.5, CELLS: math.nan}])]
    lines = markdown(table({"half": half, "none": none}, [ARGMAX, CELLS])).splitlines()
    assert lines[3] == f"| {CELLS} | 0.9000 (n = 1)<br>baseline 0.9000 | undefined |"


def test_one_seed_shows_no_interval():
    said = markdown(table({"cce": puzzle()["cce"][:1]}, [ARGMAX]))
    assert f"| {ARGMAX} | 0.8700<br>baseline 0.1000 |" in said
    assert "test split; one seed, no interval; baseline" in said


def test_an_unknown_metric_is_refused():
    with pytest.raises(UserError, match="did you mean accuracy_score"):
        table(puzzle(), ["acuracy_score"])
