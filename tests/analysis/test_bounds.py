"""No interval leaves what its number can be: 0 to 1 for a share, -1 to 1 for a difference."""

import io
import itertools
import re

import numpy as np
import pytest

from analysis.making import ARGMAX, run
from analysis.pages import Page, words
from analysis.test_summary import ran
from analysis.test_summary import text as printed
from lossheads.analysis.aggregate import curve, final
from lossheads.analysis.arms import arms_of
from lossheads.analysis.classes_picture import _interval
from lossheads.analysis.curves import _band
from lossheads.analysis.format import spread_text
from lossheads.analysis.runs_page import runs_page
from lossheads.analysis.statistics import Interval, t_interval
from lossheads.analysis.summary import comparisons
from lossheads.analysis.tables import markdown, rich_tables, table
from lossheads.analysis.terminal import PlainConsole

NUMBER = r"(-?\d+\.\d+(?:e-\d+)?)"
LEVELS = (0.0, 0.0003, 0.1, 0.43, 0.9, 0.9995, 1.0)
PAIRS = list(itertools.combinations_with_replacement(LEVELS, 2))
# Value sets of two arms: each pair of levels beside another, at two seeds and at three.
GRID = [(one, two) for one, two in zip(PAIRS, [*PAIRS[9:], *PAIRS[:9]], strict=True)] + [
    ((*one, 0.5), (*two, 0.6)) for one, two in zip(PAIRS, PAIRS[::-1], strict=True)
]


def runs_of(one, two):
    return [
        ran(head, seed, value)
        for head, values in (("cce", one), ("bce", two))
        for seed, value in enumerate(values)
    ]


def ends_in(text: str) -> list[tuple[float, float]]:
    """Every interval that a text shows, however it writes it."""
    found = [
        (float(mean) - float(half), float(mean) + float(half))
        for mean, half in re.findall(rf"{NUMBER} ± {NUMBER}", text)
    ]
    return found + [
        (float(low), float(high)) for low, high in re.findall(rf"\[{NUMBER}, {NUMBER}\]", text)
    ]


@pytest.mark.parametrize(("one", "two"), GRID)
def test_no_interval_of_a_share_leaves_its_range(one, two):
    results = runs_of(one, two)
    (found,) = comparisons(results)
    for candidate in found.candidates:
        at = candidate.value
        assert 0 <= at.low <= at.mean <= at.high <= 1
    for difference in found.differences:
        at = difference.interval
        assert -1 <= at.low <= at.mean <= at.high <= 1
    said = printed(results)
    for low, high in ends_in(said):
        assert low >= -1
        assert high <= 1
    for by in re.findall(rf"{NUMBER} (?:worse|better)", said):
        assert float(by) <= 1


@pytest.mark.parametrize(("one", "two"), GRID[::7])
def test_nor_does_one_in_a_table_or_on_the_page(one, two):
    results = runs_of(one, two)
    shown = table(arms_of(results), [ARGMAX])
    assert shown["low"].min() >= 0
    assert shown["high"].max() <= 1
    file = io.StringIO()
    PlainConsole(file=file, width=200).print(*rich_tables(shown, "", 200))
    page = words(Page(runs_page(results)).below["data-1"])
    for text in (file.getvalue(), markdown(shown).replace("<br>", " "), page):
        assert ends_in(text) or one[0] == one[-1]
        for low, high in ends_in(text):
            assert low >= -1
            assert high <= 1


def test_no_axis_shows_what_a_share_cannot_be():
    page = runs_page(runs_of((0.05, 0.9), (0.2, 0.99)))
    axes = re.findall(r'<svg class="number-line".*?</svg>', page, re.DOTALL)
    assert axes
    for axis in axes:
        ticks = [float(tick) for tick in re.findall(r">(-?\d+\.?\d*)</text>", axis)]
        assert all(-1 <= tick <= 1 for tick in ticks), ticks


def test_a_band_over_training_keeps_to_its_range():
    runs = [run(seed, [{ARGMAX: value}, {ARGMAX: 0.99}]) for seed, value in enumerate((0.02, 0.7))]
    for _, at in curve(runs, ARGMAX):
        assert 0 <= at.low <= at.high <= 1
    mean, low, high = _band([np.array([0.02, 1.0, 0.4]), np.array([0.7, 1.0, 0.99])])
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert (low <= mean).all()
    assert (low[1], high[1]) == (1, 1)
    inside = _interval({"recall_score": np.array([[0.02], [0.7]])}, "recall_score", 0)
    assert 0 <= inside.low < inside.high <= 1


def test_a_loss_stays_above_zero_and_a_logarithm_may_be_anywhere():
    runs = [run(seed, [{"nll_loss": value}]) for seed, value in enumerate((0.01, 0.5))]
    at = final(runs, "nll_loss", "test")
    assert 0 < at.low < at.mean < at.high
    strange = [run(seed, [{ARGMAX: 0.1}]) for seed in range(2)]
    for one, value in zip(strange, (-1.0, 2.0), strict=True):
        one.test.metrics["own"] = value
    assert final(strange, "own", "test") == t_interval([-1.0, 2.0])


def test_ends_are_written_where_the_two_sides_differ():
    assert spread_text(Interval(0.5, 0.48, 0.52, 0.95, 0.01, 3)) == "± 0.0200"
    assert spread_text(Interval(0.5, 0.4, 0.52, 0.95, 0.01, 3)) == "[0.4000, 0.5200]"
    assert spread_text(t_interval([0.5])) == "no interval"
    assert spread_text(t_interval([0.5, 0.5])) == "± 0.0000"
