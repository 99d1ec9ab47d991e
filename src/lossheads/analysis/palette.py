"""Colour and marker of every arm: one rule for all pages, figures and the terminal.

Colour is the head: each shipped head has a place of its own in `HEADS`, the same on every page,
whatever stands beside it. Lightness is the learning rate, where arms differ by that alone. Other
settings of a head have its colour and another marker; where all arms have one head, other colours.
A head that is not shipped takes the first place that no head has.

Eight colours, each with a marker of its own, so that a grey print and a colour-blind reader tell
arms apart; from the ninth place on they come back with another marker. The colours keep a
contrast of three to one to their paper, light or dark, and stay apart under simulated protanopia,
deuteranopia and tritanopia. Labels stand beside marks in any case: no meaning is in colour alone.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

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


# The places of shipped heads, eight to a row: heads that are compared with each other have other
# colours. New ones take a free place, which is "": no head moves.
HEADS = (
    # one true class of several
    "softmax_cce",
    "softmax_bce",
    "sigmoid_bce",
    "sigmoid_bce_mean",
    "linear_squared_error",
    "softmax_poly1_cce",
    "softmax_focal",
    "softmax_logit_norm_cce",
    # groups of classes
    "grouped_cce",
    "grouped_logsum_cce",
    "grouped_pairwise_cce",
    "grouped_centred_cce",
    "grouped_logit_adjusted_cce",
    "grouped_balanced_cce",
    "grouped_kl_excess",
    "softmax_weighted_cce",
    # several labels, two classes
    "multilabel_cce",
    "softmax_multihot",
    "single_logit_bce",
    "two_logit_cce",
    "focal",
    "asymmetric",
    "per_label_cce",
    "sigmoid_offset_bce",
    "single_logit_softmax_cce",
    "",
    "",
    "",
    "",
    "softmax_logit_penalty_cce",
)
PLACES = len(COLOURS) * len(MARKERS)
SHADES = 5  # of each colour
_SHADED, _PALED = 0.4, 0.4  # of the way from the paper, and towards it, at the last
_FAR = 0.78  # of the way between black and white
RATE = "optimizer.lr"


@dataclass(frozen=True)
class Mark:
    """How one arm looks, in every picture.

    Attributes:
        colour, dark: On white and on dark paper, #RRGGBB.
        marker: As matplotlib names it.
        path: The marker as an SVG path around the origin, within 5.4 pixels of it.
        css: The class that gives an element of a page this arm's colour, as the variable --arm.
        place: Among all marks, from 0.
        on_terminal: As rich names it; three to one on black and on white, "" for the default.
    """

    colour: str
    dark: str
    marker: str
    path: str
    css: str
    place: int
    on_terminal: str


def marks(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Mark]:
    """Arm -> mark.

    Args:
        arms: Each with the settings that make it one: `head` by the name of its configuration,
            `optimizer.lr`, and whatever else differs. Their order decides only where a head is
            not shipped or is there more than once.
    """
    families: dict[str, dict[str, list[str]]] = {}
    for arm, settings in arms.items():
        rest = {key: value for key, value in settings.items() if key not in ("head", RATE)}
        family = families.setdefault(str(settings.get("head") or arm), {})
        family.setdefault(json.dumps(rest, sort_keys=True, default=str), []).append(arm)
    taken = Counter(HEADS.index(head) for head in families if head in HEADS)
    found: dict[str, Mark] = {}
    for head, settings_of in families.items():
        first = HEADS.index(head) if head in HEADS else _free(taken)
        for at, some in enumerate(settings_of.values()):
            place, shade = first, 0
            if at and len(families) == 1:
                place = _free(taken)
            elif at:
                place, shade = _free(taken, first % len(COLOURS)), at % SHADES
            taken[place] += 1
            rates = [arms[arm].get(RATE) for arm in some]
            shades = shades_of(rates) if len(some) > 1 else [shade]
            found |= {arm: mark(place, own) for arm, own in zip(some, shades, strict=True)}
    return {arm: found[arm] for arm in arms}


@lru_cache(maxsize=32)
def marks_by_name(names: Sequence[str]) -> dict[str, Mark]:
    """Of arms that are named as sweeps name them: `head, lr=0.1, key=value`."""
    return marks({name: _settings_in(name) for name in names})


def _settings_in(name: str) -> dict[str, Any]:
    head, *words = name.split(", ")
    settings: dict[str, Any] = {"head": head}
    for key, _, value in (word.partition("=") for word in words):
        try:
            settings |= {RATE: float(value)} if key == "lr" else {key: value}
        except ValueError:  # a rate is a number; whatever else is called so is a setting
            settings[key] = value
    return settings


def _free(taken: Counter[int], colour: int | None = None) -> int:
    """The first place that is free, of the colour or of one that is used least."""
    uses, shapes = Counter[int](), Counter[int]()
    for place, times in taken.items():
        uses[place % len(COLOURS)] += times
        shapes[_shape(place)] += times
    places = [at for at in range(PLACES) if colour is None or at % len(COLOURS) == colour]
    shipped = [at < len(HEADS) and bool(HEADS[at]) for at in range(PLACES)]
    # No shipped head's as long as others are free, with a marker of its own; beyond 64 they repeat.
    return min(
        places,
        key=lambda at: (taken[at], shipped[at], uses[at % len(COLOURS)], shapes[_shape(at)], at),
    )


def _shape(place: int) -> int:
    """Its marker."""
    row, colour = divmod(place, len(COLOURS))
    return (colour + row) % len(MARKERS)


def shades_of(values: Sequence[Any]) -> list[int]:
    """The shade of each value: the least is the plain colour, the greatest the last shade."""
    places = [_order(value) for value in values]
    order = sorted(set(places))
    last = max(1, len(order) - 1)
    return [round((SHADES - 1) * order.index(place) / last) for place in places]


def _order(value: Any) -> tuple[int, float, str]:
    """None, then numbers, then whatever else a configuration says."""
    if value is None:
        return (0, 0.0, "")
    is_number = isinstance(value, int | float) and abs(value) < 1e300
    return (1, float(value), "") if is_number else (2, 0.0, str(value))


def mark(place: int, shade: int = 0) -> Mark:
    """The mark of a place, from 0: 64 differ, then they repeat; and of a shade of its colour."""
    colour, shape = place % len(COLOURS), _shape(place)
    light, dark = shaded(COLOURS[colour], shade, "#ffffff"), shaded(DARK_COLOURS[colour], shade)
    css = f"arm-{colour}-{shade}" if shade else f"arm-{colour}"
    return Mark(light, dark, MARKERS[shape], _PATHS[shape], css, place, _ON_TERMINAL[colour])


# Black would be lost on a black terminal, and the dark purple.
_ON_TERMINAL = (*COLOURS[:6], "", DARK_COLOURS[7])


def shaded(colour: str, shade: int, paper: str = "#000000") -> str:
    """A colour, moved away from its paper; one that is nearly as far as can be, towards it."""
    is_far = _lightness_apart(colour, paper) > _FAR
    ink = "#000000" if paper == "#ffffff" else "#ffffff"
    towards, most = (paper, _PALED) if is_far else (ink, _SHADED)
    share = most * shade / (SHADES - 1)
    return "#" + "".join(
        f"{round(a + (b - a) * share):02X}"
        for a, b in zip(_rgb(colour), _rgb(towards), strict=True)
    )


def _rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _lightness_apart(one: str, other: str) -> float:
    weights = (0.2126, 0.7152, 0.0722)
    first, second = (
        sum(w * c for w, c in zip(weights, _rgb(colour), strict=True)) for colour in (one, other)
    )
    return abs(first - second) / 255


def style() -> str:
    """CSS: the classes of `Mark.css`, in the light or dark theme; print is light."""
    looks = [mark(colour, shade) for colour in range(len(COLOURS)) for shade in range(SHADES)]
    light = "".join(f".{one.css}{{--arm:{one.colour}}}" for one in looks)
    dark = "".join(f".{one.css}{{--arm:{one.dark}}}" for one in looks)
    return f"{light}\n@media screen and (prefers-color-scheme: dark){{{dark}}}"
