"""From differences per seed to an interval and a conclusion. No torch here.

One rule serves every relation: a hypothesis names the *region* its true mean must lie in; the
interval inside the region means `holds`, outside it `fails`, across a border `undecided`.
p-values are two-sided throughout, so that "p at most alpha" and "the (1 - alpha) interval does
not touch a border" are the same statement.

The guarantees hold for numbers that are independent over seeds and about normal. Numbers that
are equal at every seed count as exact, from three seeds on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy  # whose parts are imported at their first use

Conclusion = Literal["holds", "fails", "undecided"]

MAX_SEEDS = 1000
# Metrics that count examples tie by chance: two equal differences would "hold" wrongly in 6 % of
# claims instead of 2.5 % (test_two_equal_numbers_decide_nothing); three do so in less than 2.5 %.
MIN_EQUAL = 3
# Fewer seeds forecast no number of further ones: the standard deviation of three lies anywhere from
# 0.16 to 1.9 times the true one (95 % of the time), that of eight from 0.5 to 1.5 times.
MIN_FORECAST = 8
EXACT_FLIPS = 14  # 2**14 sign flips take milliseconds
_RANDOM_FLIPS = 9_999


@dataclass(frozen=True)
class Interval:
    """A mean with its t interval over n seeds.

    Attributes:
        mean: In the unit of the values.
        low, high: Ends; infinite when n = 1, equal to the mean when all values are.
        level: Confidence, 0.95 unless corrected for several looks or hypotheses.
        deviation: Sample standard deviation (n - 1); NaN when n = 1.
        n: Seeds.
    """

    mean: float
    low: float
    high: float
    level: float
    deviation: float
    n: int

    @property
    def half_width(self) -> float:
        """Of the interval; NaN where one seed, or none, tells nothing about it."""
        return self.high - self.mean if math.isfinite(self.high) else math.nan


@dataclass(frozen=True)
class Region:
    """Where a hypothesis says the true mean lies; `open` when its borders do not belong to it."""

    low: float
    high: float
    open: bool = False

    def conclude(self, interval: Interval) -> Conclusion:
        """What an interval says about the region."""
        low, high = interval.low, interval.high
        if math.isnan(interval.mean) or (interval.deviation == 0 and interval.n < MIN_EQUAL):
            return "undecided"
        if self.open:
            inside, outside = (
                low > self.low and high < self.high,
                high <= self.low or low >= self.high,
            )
        else:
            inside, outside = (
                low >= self.low and high <= self.high,
                high < self.low or low > self.high,
            )
        return "holds" if inside else "fails" if outside else "undecided"

    @property
    def borders(self) -> tuple[float, ...]:
        """The finite ends."""
        return tuple(end for end in (self.low, self.high) if math.isfinite(end))


@dataclass(frozen=True)
class SignFlipTest:
    """A sign-flip permutation test: the same question without assuming a normal distribution.

    Attributes:
        conclusion: At the same level as the t interval's.
        p: Two-sided p of the better supported side.
        smallest_p: What n seeds can reach at best, see `smallest_flip_p`; above alpha, `conclusion`
            cannot decide.
    """

    conclusion: Conclusion
    p: float
    smallest_p: float


def t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Student's interval of the mean of independent values (for pairs: of their differences)."""
    x = np.asarray(values, dtype=float)
    if x.size == 0 or np.isnan(x).any():
        return Interval(math.nan, -math.inf, math.inf, level, math.nan, int(x.size))
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, -math.inf, math.inf, level, math.nan, 1)
    if x.min() == x.max():
        return Interval(float(x[0]), float(x[0]), float(x[0]), level, 0.0, int(x.size))
    deviation = float(x.std(ddof=1))
    half = t_quantile(x.size - 1, level) * deviation / math.sqrt(x.size)
    return Interval(mean, mean - half, mean + half, level, deviation, int(x.size))


def t_quantile(freedom: float, level: float) -> float:
    """Half the width, in standard errors, of Student's interval at a level."""
    return -float(scipy.special.stdtrit(freedom, (1 - level) / 2))


def holm_levels(p_values: Sequence[float], alpha: float = 0.05) -> list[float]:
    """The confidence level at which Holm's procedure looks at each of several hypotheses.

    The smallest p is held against alpha / m, the next against alpha / (m - 1), …; the first
    that is not decided stops the procedure, and it and all later ones are judged at its level.
    The chance of any wrong conclusion among the m is at most alpha: proven for independent
    hypotheses (conclusions here state a direction, more than Holm's tests do), and in no
    correlated case that we simulated was it above 0.75 alpha.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure"; for
    directions Shaffer (1980), "Control of directional errors with stagewise multiple tests".
    """
    m, levels, stopped = len(p_values), [0.0] * len(p_values), None
    for rank, which in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        threshold = stopped or alpha / (m - rank)
        levels[which] = 1 - threshold
        if p_values[which] > threshold:
            stopped = threshold
    return levels


def smallest_flip_p(n: int) -> float:
    """The least two-sided p of n sign flips: 2**(1 - n), or 2 / 10,000 where they are drawn."""
    return min(1.0, 2.0 ** (1 - n)) if n <= EXACT_FLIPS else 2 / (_RANDOM_FLIPS + 1)


def sign_flip_test(values: Sequence[float], region: Region, level: float) -> SignFlipTest:
    """Sign-flip permutation test against each border; exact up to 14 seeds.

    It assumes only that a difference is as likely to fall short of the border as to exceed it by
    the same amount. Beyond 14 seeds 9,999 random flips from a fixed generator stand in.
    """
    x = np.asarray(values, dtype=float)
    smallest = smallest_flip_p(x.size)
    if x.size < 2 or np.isnan(x).any():
        return SignFlipTest("undecided", 1.0, smallest)
    sides = [(region.low, "greater", "less"), (region.high, "less", "greater")]
    finite = [side for side in sides if math.isfinite(side[0])]
    inside = [_flip_p(x - border, inward) for border, inward, _ in finite]
    outside = [_flip_p(x - border, outward) for border, _, outward in finite]
    holds, fails = 2 * max(inside), 2 * min(outside)
    conclusion: Conclusion = "holds" if holds <= fails else "fails"
    p = min(1.0, holds, fails)
    return SignFlipTest(conclusion if p <= 1 - level else "undecided", p, smallest)


def _flip_p(x: "np.ndarray[tuple[int], np.dtype[np.float64]]", side: str) -> float:
    exact = x.size <= EXACT_FLIPS
    test = scipy.stats.permutation_test(
        (x,),
        lambda sample, axis: sample.mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        alternative=side,
        n_resamples=np.inf if exact else _RANDOM_FLIPS,
        rng=np.random.default_rng(0),
    )
    return float(test.pvalue)


@dataclass(frozen=True)
class Discordance:
    """McNemar's exact test of two trained models on one test set.

    Attributes:
        first, second: Examples that only the first, or only the second, decided right.
        p: Two-sided: how often a fair coin would split them at least so unevenly.
    """

    first: int
    second: int
    p: float


def mcnemar(first: int, second: int) -> Discordance:
    """Exact test that each model is as likely as the other to be the one that is right.

    Examples that both decide right, or both wrong, say nothing about a difference.

    Source: McNemar (1947), "Note on the sampling error of the difference between correlated
    proportions or percentages"; the binomial instead of its chi-square, so any count will do.
    """
    p = scipy.stats.binomtest(first, first + second).pvalue if first + second else 1.0
    return Discordance(first, second, float(p))
