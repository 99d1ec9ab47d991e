"""One colour a head on every page, apart for every reader, on light and on dark paper."""

import io
import math
import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from lossheads.analysis import palette
from lossheads.analysis.arms import arms_of, marks_of
from lossheads.analysis.palette import (
    COLOURS,
    DARK_COLOURS,
    HEADS,
    MARKERS,
    SHADES,
    mark,
    marks,
    marks_by_name,
    shades_of,
)
from lossheads.analysis.summary import comparisons
from lossheads.analysis.sweep import Asked, sweep_of
from lossheads.claims.render.decided import _looks
from lossheads.cli.console import print_answers

from .making import ARGMAX
from .pages import VERDICTS
from .test_runs_page import sweep

ROOT = Path(__file__).parents[2]
STYLE = Path(palette.__file__).parent / "templates" / "style.css"
# Linear RGB as seen with one kind of cone missing: Machado, Oliveira and Fernandes (2009), "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.
VISIONS = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour):
    """#RRGGBB -> linear RGB (IEC 61966-2-1)."""
    c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """Linear RGB -> CIE L*a*b*, D65."""
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    x = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(x > 0.008856, np.cbrt(x), 7.787 * x + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one, other):
    """WCAG 2.2: 3 is the least for graphical objects."""
    dark, light = sorted(np.array([0.2126, 0.7152, 0.0722]) @ linear(c) for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def papers():
    """The --paper of the stylesheet, light first."""
    light, dark = re.findall(r"--paper: (#[0-9a-f]{6})", STYLE.read_text(encoding="utf-8"))
    return light, dark


@pytest.mark.parametrize("seen", VISIONS.values(), ids=VISIONS)
@pytest.mark.parametrize("colours", [COLOURS, DARK_COLOURS], ids=["light", "dark"])
def test_no_two_colours_look_alike(colours, seen):
    places = [lab(seen @ linear(colour)) for colour in colours]
    # Two neighbouring patches differ from about 2.3 on; marks are small and lie apart.
    assert min(float(np.linalg.norm(a - b)) for a, b in combinations(places, 2)) > 9


PLACES = 64


@pytest.mark.parametrize(("name", "paper"), [("colour", 0), ("dark", 1)])
def test_every_colour_and_shade_is_seen_on_its_paper(name, paper):
    looks = [mark(place, shade) for place in range(8) for shade in range(SHADES)]
    assert min(contrast(getattr(look, name), papers()[paper]) for look in looks) >= 3


def test_a_terminal_of_either_colour_shows_every_name():
    named = [mark(place).on_terminal for place in range(8)]
    assert sum(colour == "" for colour in named) == 1  # the terminal's own
    for colour in filter(None, named):
        assert min(contrast(colour, "#000000"), contrast(colour, "#ffffff")) >= 3


@pytest.mark.parametrize("name", ["colour", "dark"])
def test_shades_of_a_colour_go_one_way(name):
    for place in range(8):
        light = [lab(linear(getattr(mark(place, shade), name)))[0] for shade in range(SHADES)]
        assert min(abs(np.diff(light))) > 2
        assert len(set(np.sign(np.diff(light)))) == 1


def test_sixty_four_marks_differ_and_the_ninth_has_the_first_colour():
    found = [mark(place) for place in range(PLACES)]
    assert len({(one.colour, one.marker) for one in found}) == PLACES
    assert [one.colour for one in found[: len(COLOURS)]] == list(COLOURS)
    first, ninth = found[0], found[len(COLOURS)]
    assert (first.colour, first.css) == (ninth.colour, ninth.css)
    assert (first.marker, first.path) != (ninth.marker, ninth.path)
    assert len(MARKERS) == len(COLOURS) == len(DARK_COLOURS)
    assert mark(PLACES) == replace(mark(0), place=PLACES)


def test_every_shipped_head_has_a_place_of_its_own():
    shipped = sorted(path.stem for path in (ROOT / "configs" / "head").glob("*.yaml"))
    assert sorted(filter(None, HEADS)) == shipped
    assert len(HEADS) <= PLACES


def test_a_head_looks_the_same_whatever_stands_beside_it():
    alone = marks({"x": {"head": "sigmoid_bce"}})["x"]
    beside = marks(
        {"a": {"head": "focal"}, "b": {"head": "own.Head"}, "x": {"head": "sigmoid_bce"}}
    )
    assert beside["x"] == alone == mark(HEADS.index("sigmoid_bce"))
    assert marks({"x": {"head": "sigmoid_bce"}, "b": {"head": "focal"}})["x"] == alone


def test_a_head_that_is_not_shipped_takes_a_colour_that_is_free():
    found = marks({"own": {"head": "own.Head"}, "x": {"head": "softmax_cce"}, "other": {}})
    assert len({look.colour for look in found.values()}) == 3
    assert found["x"] == mark(0)
    shipped = {HEADS.index(head) for head in filter(None, HEADS)}
    assert shipped.isdisjoint({found["own"].place, found["other"].place})


def test_arms_of_one_head_that_differ_by_the_rate_alone_are_told_by_lightness():
    rates = {0.1: 4, 0.001: 0, 0.01: 2}
    found = marks({str(rate): {"head": "softmax_bce", "optimizer.lr": rate} for rate in rates})
    place = HEADS.index("softmax_bce")
    assert found == {str(rate): mark(place, shade) for rate, shade in rates.items()}


def test_two_settings_of_three_heads_have_six_markers():
    heads = ("softmax_cce", "softmax_bce", "sigmoid_bce")
    found = marks({f"{head}{n}": {"head": head, "hidden": n} for n in (128, 256) for head in heads})
    assert len({look.marker for look in found.values()}) == 6


def test_other_settings_of_one_head_have_its_colour_and_another_marker():
    settings = {"a": {"head": "focal", "gamma": 1}, "b": {"head": "focal", "gamma": 2}}
    beside = marks({**settings, "x": {"head": "softmax_cce"}})
    assert beside["a"].place % 8 == beside["b"].place % 8 != beside["x"].place % 8
    assert len({(look.marker) for look in beside.values()}) == 3
    assert beside["a"].colour != beside["b"].colour  # by lightness: lines have no markers
    alone = marks(settings)  # nothing else needs the other colours
    assert alone["a"] == beside["a"]
    assert alone["b"].place % 8 != alone["a"].place % 8


def test_names_of_a_sweep_are_read_as_heads_and_rates():
    names = ("softmax_cce, lr=0.001", "softmax_cce, lr=0.01", "sigmoid_bce, lr=0.01", "own, lr=x")
    found = marks_by_name(names)
    assert [found[name].place for name in names[:3]] == [0, 0, HEADS.index("sigmoid_bce")]
    assert found[names[0]].css != found[names[1]].css


def test_hundreds_of_arms_have_marks():
    assert len(marks({str(at): {"head": "focal", "gamma": at} for at in range(300)})) == 300


def test_runs_page_claims_page_figures_and_terminal_give_a_head_the_same_look():
    heads = ("sigmoid_bce", "softmax_bce", "softmax_cce")
    values = {head: {0.01: 0.9 - 0.01 * at, 0.1: 0.8} for at, head in enumerate(heads)}
    runs = sweep(values)
    on_runs_page = {arm.series: arm.mark for arm in sweep_of(runs, [ARGMAX], Asked()).arms}
    data = next(one for one in VERDICTS if one["slug"] == "bce-97-vs-cce-90")
    on_claims_page = _looks(data)
    in_figures = marks_of(arms_of([run for run in runs if run.config["optimizer"]["lr"] == 0.1]))
    on_terminal = marks_by_name(tuple(f"{head}, lr=0.1" for head in heads))
    for head in heads:
        expected = mark(HEADS.index(head))
        assert on_runs_page[head] == on_claims_page[head] == in_figures[head] == expected
        assert on_terminal[f"{head}, lr=0.1"].on_terminal == expected.on_terminal


def test_rates_of_one_head_are_shades_on_its_page():
    found = sweep_of(sweep({"softmax_cce": {0.001: 0.7, 0.01: 0.8, 0.1: 0.9}}), [ARGMAX], Asked())
    looks = {arm.across: arm.mark for arm in found.arms}
    assert [looks[rate] for rate in (0.001, 0.01, 0.1)] == [mark(0), mark(0, 2), mark(0, 4)]


def test_names_on_a_terminal_have_the_colour_of_their_head():
    console = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=100)
    runs = sweep({"sigmoid_bce": {0.1: 0.9}, "softmax_cce": {0.1: 0.8}})
    print_answers(comparisons(runs), Path("outputs"), console)
    red, green, blue = bytes.fromhex(mark(HEADS.index("sigmoid_bce")).on_terminal[1:])
    assert f"\x1b[38;2;{red};{green};{blue}msigmoid_bce" in console.file.getvalue()
    plain = Console(file=io.StringIO(), width=100)
    print_answers(comparisons(runs), Path("outputs"), plain)
    assert "\x1b" not in plain.file.getvalue()


def test_rates_that_are_no_numbers_have_shades_too():
    """A stranger's configuration may say anything."""
    found = shades_of(["abc", 0.1, None, [1], 0.1, math.nan, 10**400])
    assert found[1] == found[4]
    assert found[2] == 0
    assert set(found) <= set(range(SHADES))
