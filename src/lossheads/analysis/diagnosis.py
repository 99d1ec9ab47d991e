"""Seeds that lie apart: whether a t interval may speak for these numbers. No torch here.

What breaks Student's interval is skewness, above all a few seeds on one side of the rest: a run
that collapsed, or one that alone escaped. Where a test finds it, the conclusion is given only if
it stands at a far stricter level as well. So a diagnosis takes conclusions back and never gives
one: whatever is guaranteed without it stays guaranteed. How many wrong words that saves, and what
it costs, is simulated in docs/diagnosis.md; other tests were compared there.

What no seed shows cannot be diagnosed: see `missed`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # whose parts are imported at their first use

from lossheads.analysis.format import number
from lossheads.analysis.statistics import Conclusion, Interval, Region, t_interval

LEVEL = 0.01  # of normal samples, this share is flagged; it costs a word only near a border
STRICTER = 50  # flagged numbers are judged at this part of alpha: 99.9 % instead of 95 %
MIN_SEEDS = 8  # fewer numbers have no shape (and scipy's test needs eight)
_APART = 3  # a gap is one from so many standard deviations of the rest
_NAMED = 8
_ROUNDING = 1e-12  # numbers that differ by less are equal


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with the shape of one number per seed.

    Attributes:
        skewness: Sample skewness; its sign says on which side the long tail lies.
        p: Of D'Agostino's test that the numbers are as skewed as normal ones are.
        apart: Positions of the numbers beyond a gap on that side; empty when there is no gap.
    """

    numbers: tuple[float, ...]
    skewness: float
    p: float
    apart: tuple[int, ...]

    def sentence(self, seeds: Sequence[int]) -> str:
        """`2 of 20 seeds lie apart (seed 3: -0.31, seed 11: -0.30; all others …)`."""
        n = len(self.numbers)
        if not self.apart:
            return f"the numbers of {n} seeds are skewed (skewness {number(self.skewness)})"
        rest = [value for k, value in enumerate(self.numbers) if k not in self.apart]
        named = ", ".join(
            f"seed {seeds[k]}: {number(self.numbers[k])}" for k in self.apart[:_NAMED]
        )
        if (more := len(self.apart) - _NAMED) > 0:
            named += f" and {more} more"
        return (
            f"{len(self.apart)} of {n} seeds {'lie' if len(self.apart) > 1 else 'lies'} apart "
            f"({named}; all others from {number(min(rest))} to {number(max(rest))})"
        )


def diagnose(values: Sequence[float]) -> Diagnosis | None:
    """What makes a t interval of these numbers doubtful; None where nothing does.

    Numbers that are equal at every seed, or fewer than `MIN_SEEDS`, are never flagged; neither are
    two groups of about one size, whose mean has a t interval that covers.

    Source: D'Agostino (1970), "Transformation to normality of the null distribution of g1".
    """
    x = np.asarray(values, dtype=float)
    if x.size < MIN_SEEDS or not np.isfinite(x).all():
        return None
    if np.ptp(x) <= _ROUNDING * np.abs(x).max():
        return None
    p = float(scipy.stats.skewtest(x).pvalue)
    if not p < LEVEL:
        return None
    skewness = float(scipy.stats.skew(x))
    return Diagnosis(tuple(map(float, x)), skewness, p, _apart(x, math.copysign(1, skewness)))


def _apart(x: "np.ndarray[tuple[int], np.dtype[np.float64]]", side: float) -> tuple[int, ...]:
    order = np.argsort(side * x)  # the long tail last
    gaps = np.diff((side * x)[order])
    gap = int(gaps[x.size // 2 :].argmax()) + x.size // 2  # a minority lies apart
    rest, apart = order[: gap + 1], order[gap + 1 :]
    return tuple(sorted(map(int, apart))) if gaps[gap] > _APART * x[rest].std() else ()


def conclude(
    numbers: Sequence[float],
    region: Region,
    level: float,
    interval: Callable[[Sequence[float], float], Interval] = t_interval,
) -> tuple[Conclusion, Diagnosis | None]:
    """What an interval says about the region, taken back where the diagnosis says to."""
    plain, found = region.conclude(interval(numbers, level)), diagnose(numbers)
    if found is None or plain == region.conclude(interval(numbers, stricter(level))):
        return plain, found
    return "undecided", found


def stricter(level: float) -> float:
    """The confidence level at which flagged numbers are judged."""
    return 1 - (1 - level) / STRICTER


def missed(n: int, rate: float = 0.1) -> float:
    """The chance that n seeds show no trace of what strikes each of them at this rate."""
    return (1 - rate) ** n
