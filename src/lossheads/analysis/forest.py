"""A forest plot in pieces: one SVG strip per hypothesis, one axis for the strips of a group.

Across the page everything is placed in per cent, down the page in pixels. So a strip fills
whatever width it is given, a wide screen or a phone, while lines and letters keep their size.
Shade, thickness, dashes and caps carry the meaning; colour only helps, a grey print still reads.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lossheads.analysis.statistics import Interval

HEIGHT = 36
_MIDDLE = HEIGHT / 2
_MARGIN = 0.05  # of the span, left free at either side
_STEPS = (1, 2, 5, 10)


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
        power = 10.0 ** math.floor(math.log10(span / 4))
        step = next(power * s for s in _STEPS if span / (power * s) <= 5.5)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [index * step for index in range(first, last + 1)]


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
    finite = [value for value in seen if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    # A single number has no span of its own: show a tenth of it around it, or one unit around 0.
    spare = (high - low) * _MARGIN or abs(low) / 10 or 1.0
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
    return svg("strip", HEIGHT, bar.alt, Markup("").join(parts))


def point_strip(value: float, low: float, high: float, scale: Scale, alt: str) -> Markup:
    """A number without an interval against the region it should lie in."""
    point = Interval(value, value, value, 1.0, 0.0, 1)
    bar = Bar(point, point, low, high, alt)
    parts = [] if math.isnan(low) else [_region(bar, scale), *_borders(bar, scale)]
    parts.append(_mean(value, scale))
    return svg("strip", HEIGHT, alt, Markup("").join(parts))


def axis(scale: Scale) -> Markup:
    """The number line below the strips of a group."""
    parts = [line("axis", 0, 0.5, 100, 0.5)]
    step = min((b - a for a, b in zip(scale.ticks, scale.ticks[1:], strict=False)), default=1.0)
    for index, tick in enumerate(scale.ticks):
        # Where a column is narrow, every second label is left out; see style.css.
        at, kind = scale.at(tick), "label second" if index % 2 else "label"
        parts += [line("axis", at, 0, at, 5), at_text(at, 18, _tick_text(tick, step), kind)]
    alt = f"axis from {scale.low:.4g} to {scale.high:.4g}"
    return svg("number-line", 22, alt, Markup("").join(parts))


def _region(bar: Bar, scale: Scale) -> Markup:
    left, right = scale.at(bar.low), scale.at(bar.high)
    return Markup('<rect class="region" x="{}" y="0" width="{}" height="{}"/>').format(
        percents(left), percents(right - left), HEIGHT
    )


def _mean(value: float, scale: Scale) -> Markup:
    if math.isnan(value):
        return at_text(50, _MIDDLE + 4, "undefined")
    return Markup('<circle class="mean" cx="{}" cy="{:g}" r="3.75"/>').format(
        percents(scale.at(value)), _MIDDLE
    )


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
        return at_text(at, _MIDDLE + 6, arrow, "infinite")
    return line("tested", at, _MIDDLE - 6, at, _MIDDLE + 6)


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    """A line, across in per cent, down in pixels."""
    return Markup('<line class="{}" x1="{}" y1="{:g}" x2="{}" y2="{:g}"/>').format(
        kind, percents(x1), y1, percents(x2), y2
    )


def at_text(x: float, y: float, text: str, kind: str = "label") -> Markup:
    """Letters centred on a place."""
    return Markup('<text class="{}" x="{}" y="{:g}" text-anchor="middle">{}</text>').format(
        kind, percents(x), y, text
    )


def svg(kind: str, height: int, alt: str, inside: Markup) -> Markup:
    """One strip of a picture, as wide as its column; `alt` is what a screen reader says."""
    return Markup(
        '<svg class="{}" role="img" aria-label="{}" width="100%" height="{}">{}</svg>'
    ).format(kind, alt, height, inside)


def percents(share: float) -> str:
    """A place across."""
    return f"{share:.2f}%"


def _tick_text(tick: float, step: float) -> str:
    """As many decimals as the step needs; powers of ten where that would be a row of zeros."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{tick:.{decimals}f}" if decimals <= 5 else f"{tick:.0e}"
