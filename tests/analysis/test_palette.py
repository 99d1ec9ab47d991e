"""One colour and one marker an arm: apart for every reader, on light and on dark paper."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from lossheads.analysis import palette
from lossheads.analysis.palette import COLOURS, DARK_COLOURS, MARKERS, mark, marks

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


@pytest.mark.parametrize(("colours", "paper"), [(COLOURS, 0), (DARK_COLOURS, 1)])
def test_every_colour_is_seen_on_its_paper(colours, paper):
    assert min(contrast(colour, papers()[paper]) for colour in colours) >= 3


def test_arms_have_marks_by_their_order_and_sixty_four_differ():
    found = marks(f"arm {index}" for index in range(64))
    assert len({(one.colour, one.marker) for one in found.values()}) == 64
    assert [one.colour for one in found.values()][: len(COLOURS)] == list(COLOURS)
    assert list(marks(["b", "a", "b"])) == ["b", "a"]
    assert marks(["b", "a"])["b"] == mark(0)


def test_the_ninth_arm_has_the_first_colour_and_another_marker():
    first, ninth = mark(0), mark(len(COLOURS))
    assert (first.colour, first.css) == (ninth.colour, ninth.css)
    assert (first.marker, first.path) != (ninth.marker, ninth.path)
    assert len(MARKERS) == len(COLOURS) == len(DARK_COLOURS)
