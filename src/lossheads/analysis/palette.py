"""Colour and marker of every arm, chosen once for a sweep or a claim and shared by all pictures.

Eight colours, each with a marker of its own, so that a grey print and a colour-blind reader tell
arms apart; a ninth arm has the first colour with another marker. The colours keep a contrast of
three to one to their paper, light or dark, and stay apart under simulated protanopia,
deuteranopia and tritanopia. Labels stand beside marks in any case: no meaning is in colour alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass

# On white paper, after Okabe and Ito (2008), "Color Universal Design", with orange, sky blue and
# vermilion darkened for contrast and a purple added.
COLOURS = (
    "#0072B2",
    "#C44601",
    "#009E73",
    "#CC79A7",
    "#C48600",
    "#3C9DD4",
    "#000000",
    "#6E1F7A",
)
# The same hues on dark paper, in the same order.
DARK_COLOURS = (
    "#58AEEA",
    "#EC6F1A",
    "#10B48A",
    "#E79FC8",
    "#F3C653",
    "#A8E0FF",
    "#FFFFFF",
    "#9A4FB8",
)
# As matplotlib names them; below, the same as SVG paths around 0 in a box from -5 to 5.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
_PATHS = (
    "M-4.6 0a4.6 4.6 0 1 0 9.2 0a4.6 4.6 0 1 0 -9.2 0z",
    "M-4 -4h8v8h-8z",
    "M0 -5L4.8 3.6H-4.8z",
    "M0 -5.4L5.4 0L0 5.4L-5.4 0z",
    "M0 5L4.8 -3.6H-4.8z",
    "M-1.8 -5h3.6v3.2h3.2v3.6h-3.2v3.2h-3.6v-3.2h-3.2v-3.6h3.2z",
    "M-5 -2.6L-2.6 -5L0 -2.4L2.6 -5L5 -2.6L2.4 0L5 2.6L2.6 5L0 2.4L-2.6 5L-5 2.6L-2.4 0z",
    "M0 -5L4.8 -1.5L2.9 4.1H-2.9L-4.8 -1.5z",
)


@dataclass(frozen=True)
class Mark:
    """How one arm looks, in every picture.

    Attributes:
        colour, dark: On white and on dark paper, #RRGGBB.
        marker: As matplotlib names it.
        path: The marker as an SVG path around the origin, within 5.4 pixels of it.
        css: The class that gives an element of a page this arm's colour, as the variable --arm.
    """

    colour: str
    dark: str
    marker: str
    path: str
    css: str


def marks(arms: Iterable[str]) -> dict[str, Mark]:
    """Arm -> mark, by the order in which the sweep or claim names its arms."""
    return {arm: mark(index) for index, arm in enumerate(dict.fromkeys(arms))}


def mark(index: int) -> Mark:
    """The mark of the arm at this place, from 0: 64 differ, then they repeat."""
    lap, colour = divmod(index, len(COLOURS))
    shape = (colour + lap) % len(MARKERS)
    return Mark(
        COLOURS[colour], DARK_COLOURS[colour], MARKERS[shape], _PATHS[shape], f"arm-{colour}"
    )


def style() -> str:
    """CSS: the classes of `Mark.css`, in the light or dark theme; print is light."""
    light, dark = (
        "".join(f".arm-{index}{{--arm:{colour}}}" for index, colour in enumerate(colours))
        for colours in (COLOURS, DARK_COLOURS)
    )
    return f"{light}\n@media screen and (prefers-color-scheme: dark){{{dark}}}"
