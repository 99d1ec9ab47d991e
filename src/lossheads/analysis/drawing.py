"""Pieces of inline SVG: across in per cent, down in pixels; colours are the page's variables.

So a picture fills whatever width its column has while lines and letters keep their size, follows
the dark theme, and prints. An element of an arm has its class and draws in its --arm.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lossheads.analysis.palette import Mark
from lossheads.analysis.statistics import Interval

JOIN = Markup("")
_STEPS = (1, 2, 5, 10)


_LEAST, MOST = 1e-300, 1e300  # beyond, floats have no room for a margin or a round step


@dataclass(frozen=True)
class Scale:
    """The part of the number line across the full width of a strip."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """The position of a number, in per cent from the left; what lies beyond, at the edge."""
        share = (value - self.low) / (self.high - self.low)
        return 100 * min(max(share, 0.0), 1.0)

    @property
    def ticks(self) -> list[float]:
        """Three to six round numbers inside."""
        span = self.high - self.low
        if not _LEAST < span < math.inf:
            return []
        power = 10.0 ** math.floor(math.log10(span / 4))
        step = next(power * s for s in _STEPS if span / (power * s) <= 5.5)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [index * step for index in range(first, last + 1)]


def scale_of(values: Iterable[float], low: float = -math.inf, high: float = math.inf) -> Scale:
    """A scale over the finite values with a little to spare, never beyond low and high."""
    known = [value for value in values if abs(value) < MOST] or [0.0]
    first, last = min(known), max(known)
    spare = 0.06 * span_of(first, last) or abs(first) / 20 or 0.5
    start, end = max(first - spare, min(low, first)), min(last + spare, max(high, last))
    return Scale(start, end) if end > start else Scale(first - spare, last + spare)


def span_of(first: float, last: float) -> float:
    """Their distance; none where it is a matter of rounding."""
    return last - first if last - first > 1e-9 * max(abs(first), abs(last)) else 0.0


def svg(kind: str, height: float, alt: str, parts: Sequence[Markup], wide: str = "100%") -> Markup:
    """A picture of so many pixels in height; without `alt` it is decoration for screen readers."""
    told = Markup('role="img" aria-label="{}"').format(alt) if alt else Markup('aria-hidden="true"')
    return Markup('<svg class="{}" {} width="{}" height="{:g}">{}</svg>').format(
        kind, told, wide, height, JOIN.join(parts)
    )


def icon(mark: Mark, hollow: bool = False) -> Markup:
    """The mark of an arm within text."""
    return Markup(
        '<svg class="icon {}" width="12" height="12" viewBox="-6 -6 12 12" aria-hidden="true">'
        '<path class="{}" d="{}"/></svg>'
    ).format(mark.css, "hollow" if hollow else "mark", mark.path)


def at_mark(mark: Mark, x: float, y: float, kind: str = "mark", size: float = 1.0) -> Markup:
    """The mark at x per cent and y pixels."""
    return Markup(
        '<svg class="{}" aria-hidden="true" x="{:.2f}%" y="{:.1f}">'
        '<path class="{}" d="{}"{}/></svg>'
    ).format(mark.css, x, y, kind, mark.path, _grown(size))


def _grown(size: float) -> Markup:
    return JOIN if size == 1 else Markup(' transform="scale({:g})"').format(size)


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """A line between two places."""
    return Markup('<line class="{}" x1="{:.2f}%" y1="{:.1f}" x2="{:.2f}%" y2="{:.1f}"/>').format(
        kind, x1, y1, x2, y2
    )


def rect(kind: str, x1: float, y: float, x2: float, height: float) -> Markup:
    """A box from x1 to x2 per cent."""
    left, right = sorted((x1, x2))
    return Markup(
        '<rect class="{}" x="{:.2f}%" y="{:.1f}" width="{:.2f}%" height="{:.1f}"/>'
    ).format(kind, left, y, right - left, height)


def dot(kind: str, x: float, y: float, radius: float) -> Markup:
    """A small circle."""
    return Markup('<circle class="{}" cx="{:.2f}%" cy="{:.1f}" r="{:g}"/>').format(
        kind, x, y, radius
    )


def letters(x: float | str, y: float, text: str, anchor: str = "start", kind: str = "") -> Markup:
    """Text; x in per cent, or as it is written."""
    where = x if isinstance(x, str) else f"{x:.2f}%"
    return Markup('<text class="{}" x="{}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        kind, where, y, anchor, text
    )


def whisker(scale: Scale, at: Interval, y: float, kind: str = "whisker") -> Markup:
    """The interval along a row; none of one seed."""
    if not math.isfinite(at.half_width):
        return JOIN
    return line(kind, scale.at(at.low), y, scale.at(at.high), y)


def number_line(scale: Scale) -> Markup:
    """The number line below rows."""
    top = 0.5
    parts = [line("axis", 0, top, 100, top)]
    for index, tick in enumerate(scale.ticks):
        at = scale.at(tick)
        kind = "second" if index % 2 else ""  # left out where a column is narrow
        parts += [
            line("axis", at, top, at, top + 4),
            letters(at, top + 17, tick_text(tick, scale), "middle", kind),
        ]
    return svg("number-line", 22.5, "", parts)


def tick_text(tick: float, scale: Scale) -> str:
    """As many digits as the distance of the ticks needs; powers of ten where these are shorter."""
    ticks = scale.ticks
    step = ticks[1] - ticks[0] if len(ticks) > 1 else abs(tick) or 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals <= 5 and abs(tick) < 1e6:
        return f"{tick:.{decimals}f}"
    if tick == 0:
        return "0"
    digits = max(0, math.floor(math.log10(abs(tick)) + 1e-9) - math.floor(math.log10(step) + 1e-9))
    power = f"{tick:.{digits}e}".replace(".0e", "e")
    return min(f"{tick:.{decimals}f}", power, key=len)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places of labels as near to the wanted ones as a gap between them allows, in their order."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = [min(max(wanted[index], low), high) for index in order]
    for index in range(1, len(placed)):
        placed[index] = max(placed[index], placed[index - 1] + gap)
    over = placed[-1] - high if placed else 0.0
    if over > 0:  # push back up what ran over the lower edge
        placed[-1] = high
        for index in range(len(placed) - 2, -1, -1):
            placed[index] = min(placed[index], placed[index + 1] - gap)
    found = [0.0] * len(wanted)
    for index, place in zip(order, placed, strict=True):
        found[index] = place
    return found


def coinciding(curves: Sequence[Sequence[float]], within: float) -> list[list[int]]:
    """Groups of curves that a reader cannot tell apart: no point farther away than `within`."""
    groups: list[list[int]] = []
    for index, curve in enumerate(curves):
        for group in groups:
            if _are_near(curves[group[0]], curve, within):
                group.append(index)
                break
        else:
            groups.append([index])
    return [group for group in groups if len(group) > 1]


def _are_near(one: Sequence[float], other: Sequence[float], within: float) -> bool:
    """NaN stands where both have no point."""
    if len(one) != len(other) or not len(one):
        return False
    return all(
        abs(a - b) <= within or (math.isnan(a) and math.isnan(b))
        for a, b in zip(one, other, strict=True)
    ) and any(not math.isnan(a) for a in one)
