"""Arms on the axis of a metric: one SVG strip an arm, its mark, interval and baseline.

Positions across are in per cent and down in pixels. An arm has a row of its own,
so that equal arms never hide each other; what coincides is said in words by `said_to_coincide`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from lossheads.analysis.drawing import JOIN, Scale, at_mark, letters, line, rect, svg
from lossheads.analysis.forest import scale_over
from lossheads.analysis.format import coincide
from lossheads.analysis.palette import Mark
from lossheads.analysis.statistics import Interval

HEIGHT = 24
_MIDDLE = HEIGHT / 2
_FAR = 3.0  # a baseline farther off than this many spans would press the arms into a corner


@dataclass(frozen=True)
class Dot:
    """One arm under one metric.

    Attributes:
        at: Mean with its interval.
        baseline: Of the metric; NaN where there is none.
        mark: The arm's colour and marker.
        alt: The same as text, for those who do not see the picture.
    """

    at: Interval
    baseline: float
    mark: Mark
    alt: str


def scale_of(dots: Sequence[Dot], others: Iterable[float] = ()) -> Scale:
    """One scale for all arms, and for their baselines where these lie near."""
    ends = [
        end
        for dot in dots
        if not math.isnan(dot.at.mean)
        for end in (dot.at.mean, dot.at.low, dot.at.high)
    ]
    seen = [end for end in (*ends, *others) if math.isfinite(end)]
    low, high = (min(seen), max(seen)) if seen else (0.0, 0.0)
    room = _FAR * (high - low)
    return scale_over(
        [*seen, *(dot.baseline for dot in dots if low - room <= dot.baseline <= high + room)]
    )


def dot_strip(dot: Dot, scale: Scale) -> Markup:
    """The baseline as an upright tick, an arrow where it lies off the scale; interval and mark."""
    parts = [_baseline(dot.baseline, scale), _interval(dot, scale)]
    return svg("dots", HEIGHT, dot.alt, parts)


def track_strip(dot: Dot, scale: Scale, perfect: float = 1.0) -> Markup:
    """The way from the baseline to a perfect score, filled as far as the arm has come."""
    start, end, come = (scale.at(value) for value in (dot.baseline, perfect, dot.at.mean))
    filled = Markup('<g class="{}">{}</g>').format(
        dot.mark.css, rect("filled", start, _MIDDLE - 4, come, 8)
    )
    parts = [rect("track", start, _MIDDLE - 4, end, 8), filled, _baseline(dot.baseline, scale)]
    return svg("dots", HEIGHT, dot.alt, [*parts, _interval(dot, scale)])


def said_to_coincide(values: Mapping[str, float]) -> str:
    """`A and B coincide`, for arms whose numbers are equal to four decimals; else empty."""
    groups: dict[str, list[str]] = {}
    for arm, value in values.items():
        if not math.isnan(value):
            groups.setdefault(f"{value:.4f}", []).append(arm)
    return coincide(names for names in groups.values() if len(names) > 1)


def _interval(dot: Dot, scale: Scale) -> Markup:
    if math.isnan(dot.at.mean):
        return letters(50, _MIDDLE + 4, "undefined", "middle")
    spread = line("spread", scale.at(dot.at.low), _MIDDLE, scale.at(dot.at.high), _MIDDLE)
    mark = at_mark(dot.mark, scale.at(dot.at.mean), _MIDDLE)
    return Markup('<g class="{}">{}{}</g>').format(dot.mark.css, spread, mark)


def _baseline(value: float, scale: Scale) -> Markup:
    if math.isnan(value):
        return JOIN
    if scale.low <= value <= scale.high:
        return line("baseline", scale.at(value), 2, scale.at(value), HEIGHT - 2)
    arrow, at = ("◂", 0.0) if value < scale.low else ("▸", 100.0)
    return letters(at, _MIDDLE + 4, arrow, "middle", "off")
