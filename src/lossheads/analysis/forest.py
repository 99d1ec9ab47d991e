"""A forest plot in pieces: one SVG strip per hypothesis, one axis for the strips of a group.

Across the page everything is placed in per cent, down the page in pixels. So a strip fills
whatever width it is given, a wide screen or a phone, while lines and letters keep their size.
Shade, thickness, dashes and caps carry the meaning; colour only helps, a grey print still reads.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lossheads.analysis.drawing import MOST, Scale, dot, letters, line, rect, span_of, svg
from lossheads.analysis.statistics import Interval

HEIGHT = 36
_MIDDLE = HEIGHT / 2
_MARGIN = 0.05  # of the span, left free at either side


@dataclass(frozen=True)
class Bar:
    """One hypothesis as it is drawn.

    Attributes:
        plain: Mean with its 95 % interval.
        tested: The corrected interval, which decides.
        low, high: The region of the hypothesis; infinite where it has no border.
        alt: The same as text, for those who do not see the picture.
        baseline: Of the metric of an arm; NaN where there is none, as for a difference.
    """

    plain: Interval
    tested: Interval
    low: float
    high: float
    alt: str
    baseline: float = math.nan


def scale_for(bars: Sequence[Bar], with_zero: bool) -> Scale:
    """One scale on which every finite end and border of the group is seen."""
    seen = [0.0] if with_zero else []
    for bar in bars:
        if not math.isnan(bar.plain.mean):
            seen += [bar.plain.mean, bar.plain.low, bar.plain.high]
            seen += [bar.tested.low, bar.tested.high]
        seen += [bar.low, bar.high]
    return scale_over(seen)


def scale_over(seen: Iterable[float]) -> Scale:
    """A scale that reaches every finite number of these, with a margin at either side."""
    finite = [value for value in seen if abs(value) < MOST] or [0.0]
    low, high = min(finite), max(finite)
    # A single number has no span of its own: show a tenth of it around it, or one unit around 0.
    spare = span_of(low, high) * _MARGIN or abs(low) / 10 or 1.0
    return Scale(low - spare, high + spare)


def strip(bar: Bar, scale: Scale) -> Markup:
    """Region shaded, borders dashed, zero solid; interval thick, corrected thin with caps."""
    parts = [_region(bar, scale), *_uprights(bar, scale)]
    if not math.isnan(bar.plain.mean):
        y = _MIDDLE
        parts.append(line("tested", scale.at(bar.tested.low), y, scale.at(bar.tested.high), y))
        parts += [_end(bar.tested.low, scale, "‹"), _end(bar.tested.high, scale, "›")]
        parts.append(line("plain", scale.at(bar.plain.low), y, scale.at(bar.plain.high), y))
    parts.append(_mean(bar.plain.mean, scale))
    return svg("strip", HEIGHT, bar.alt, parts)


def point_strip(value: float, low: float, high: float, scale: Scale, alt: str) -> Markup:
    """A number without an interval against the region it should lie in."""
    point = Interval(value, value, value, 1.0, 0.0, 1)
    bar = Bar(point, point, low, high, alt)
    parts = [] if math.isnan(low) else [_region(bar, scale), *_borders(bar, scale)]
    parts.append(_mean(value, scale))
    return svg("strip", HEIGHT, alt, parts)


def _region(bar: Bar, scale: Scale) -> Markup:
    return rect("region", scale.at(bar.low), 0, scale.at(bar.high), HEIGHT)


def _mean(value: float, scale: Scale) -> Markup:
    if math.isnan(value):
        return letters(50, _MIDDLE + 4, "undefined", "middle")
    return dot("mean", scale.at(value), _MIDDLE, 3.75)


def _borders(bar: Bar, scale: Scale) -> list[Markup]:
    borders = [scale.at(end) for end in dict.fromkeys((bar.low, bar.high)) if math.isfinite(end)]
    return [line("border", at, 0, at, HEIGHT) for at in borders]


def _uprights(bar: Bar, scale: Scale) -> list[Markup]:
    lines = _borders(bar, scale)
    if scale.low <= 0 <= scale.high:
        lines.insert(0, line("zero", scale.at(0), 0, scale.at(0), HEIGHT))
    if scale.low <= bar.baseline <= scale.high:
        lines.append(
            line("baseline", scale.at(bar.baseline), 6, scale.at(bar.baseline), HEIGHT - 6)
        )
    return lines


def _end(value: float, scale: Scale, arrow: str) -> Markup:
    """A cap where an interval ends; an arrow at the edge where it is infinite."""
    at = scale.at(value)
    if math.isinf(value):
        return letters(at, _MIDDLE + 6, arrow, "middle", "infinite")
    return line("tested", at, _MIDDLE - 6, at, _MIDDLE + 6)
