"""Intervals of metrics over examples.

Metrics that cannot leave [0, 1] have Wilson's interval with the effective number of examples, the
number whose coin flips would vary as much; other positive ones an interval on the log scale. A
binned calibration error is no share: a coin that nearly always falls on one side hardly varies, a
gap near 0 varies as any other, and Wilson's interval of it missed perfect calibration in every
second draw. It has value ± t·error, cut at 0 and 1.
"""

import math
from dataclasses import dataclass

from scipy import stats

from lossheads.evaluation.sampling import Sampled

LEVEL = 0.95
_NO_ERROR = 1e-12  # rounding alone


@dataclass(frozen=True)
class Ends:
    """An interval, and how it was made."""

    low: float
    high: float
    method: str


_NONE = Ends(math.nan, math.nan, "none")


def ends_of(sampled: Sampled, level: float = LEVEL) -> Ends:
    """The interval of one metric; NaN where nothing is known of its variation."""
    value, units = sampled.value, sampled.units
    if not math.isfinite(value) or units < 2 or math.isnan(sampled.error):
        return _NONE
    if sampled.parts:
        # Any of the parts may look worse than the least truly is, hence Bonferroni's level above;
        # below, the interval of the truly least one is enough.
        stricter = 1 - (1 - level) / len(sampled.parts)
        low = min(ends_of(part, level).low for part in sampled.parts)
        high = min(ends_of(part, stricter).high for part in sampled.parts)
        return Ends(low, high, "least of Wilson")
    half = quantile(level, units) * sampled.error
    if sampled.of_gaps:
        # Two half examples, one each way, as for differences: where none varies, the next may.
        half = math.hypot(half, quantile(level, units) / sampled.edge_units)
        low, high = max(0.0, value - sampled.bias - half), min(1.0, value + half)
        return Ends(low, high, "normal, cut at 0 and 1")
    if sampled.in_unit_interval:
        return Ends(*wilson(value, sampled, level), "Wilson, effective n")
    if value > 0:
        return Ends(value * math.exp(-half / value), value * math.exp(half / value), "log scale")
    return Ends(value - half, value + half, "normal")


def quantile(level: float, units: int) -> float:
    """Student's quantile for a standard error estimated from so many units."""
    return float(stats.t.isf((1 - level) / 2, max(1, units - 1)))


def wilson(value: float, sampled: Sampled, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a share, with n = p (1 - p) / error².

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference";
    the effective n after Korn and Graubard (1998), "Confidence intervals for proportions with
    small expected number of positive counts estimated from survey data".
    """
    spread, units = value * (1 - value), sampled.units
    shows = sampled.error > _NO_ERROR and spread > 0
    return wilson_of(
        value, spread / sampled.error**2 if shows else sampled.edge_units, units, level
    )


def wilson_of(
    value: float, n: float, units: int | None = None, level: float = LEVEL
) -> tuple[float, float]:
    """Wilson's interval of a share of n examples, n not always whole."""
    spread, z = value * (1 - value), quantile(level, units or max(2, int(n)))
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(spread / n + z * z / (4 * n * n))
    return max(0.0, min(value, centre - half)), min(1.0, max(value, centre + half))
