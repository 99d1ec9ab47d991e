"""A mean over seeds, and how far chance may have moved it: by training, and by the test examples.

Seeds and test examples are crossed: every seed is measured on the same examples. With values z of
seed s and example i, z = mean + a_s + b_i + e_si, the mean over S seeds and N examples has variance
A/S + B/N + E/(S N). What varies over seeds alone shows A/S + E/(S N), what varies over examples
alone B/N + E/(S N); the part that both show is counted once. No torch here.

Source: two-way random effects as for readers and cases in diagnostic imaging: Gallas (2006),
"One-shot estimate of MRMC variance: AUC"; degrees of freedom after Satterthwaite (1946), as
Hillis (2007), "A comparison of denominator degrees of freedom methods for multiple observer ROC
analysis". Both parts are held at no less than the shared one, for a variance is not negative.
Simulated in docs/statistics.md.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy  # whose parts are imported at their first use
from numpy.typing import NDArray

from lossheads.analysis.statistics import MAX_SEEDS, MIN_EQUAL, Interval, Region, t_quantile

Floats = NDArray[np.floating]
MAX_EXAMPLES = 10_000_000
EVERYWHERE = (-math.inf, math.inf)

# Whether the seeds share one test set, each draws its own, or it is not known how they vary.
Drawn = Literal["once", "per_seed", "unknown"]
# What an interval covers: only training, training and the draw of the test examples, or, where each
# seed draws its own data, both by the seeds themselves.
Covers = Literal["training", "training_and_examples", "training_and_data"]


@dataclass(frozen=True)
class Influence:
    """What each test example moves a run's number.

    Attributes:
        values: (N,), mean 0; of groups of examples where single ones are not known.
        edge: So many coin flips would tell as much where no example varies; infinite: none needed.
    """

    values: Floats
    edge: float = math.inf


@dataclass(frozen=True)
class Examples:
    """What the draw of one test set does to a mean over the seeds that share it.

    Attributes:
        n: Examples.
        units: Of these, or of groups of them, the influence is known.
        variance: Of the mean, by the examples' influence averaged over seeds.
        shared: The part of it that varies with seed and example together, and that the variance
            over seeds shows as well.
        edge: So many coin flips would tell as much where no example varies; infinite: none needed.
    """

    n: int
    units: int
    variance: float
    shared: float
    edge: float = math.inf

    def times(self, seeds: float = 1.0, examples: float = 1.0) -> "Examples":
        """What so many times the seeds and examples would show."""
        own = max(0.0, self.variance - self.shared) / examples
        shared = self.shared / (seeds * examples)
        n, units = (max(2, round(count * examples)) for count in (self.n, self.units))
        return Examples(n, units, own + shared, shared, self.edge * examples)


def examples_of(rows: Iterable[Floats], edge: float = math.inf, n: int | None = None) -> Examples:
    """From each seed's influences (units,), mean 0, that its value owes to them.

    Args:
        n: Examples, where the units are groups of them.
    """
    total, squares, seeds = np.zeros(1), 0.0, 0
    for row in rows:
        total = total + row
        squares += float(np.square(row, dtype=np.float64).sum())
        seeds += 1
    units = len(total)
    of_mean = float(np.square(total / seeds, dtype=np.float64).sum())
    scale = units / (units - 1) if units > 1 else math.nan
    left = max(0.0, squares - seeds * of_mean)  # rounding alone makes it negative
    shared = left / (seeds * (seeds - 1)) if seeds > 1 else math.nan
    return Examples(n or units, units, scale * of_mean, scale * shared, edge)


@dataclass(frozen=True)
class Sample:
    """The test examples behind a number, and the range it cannot leave.

    Attributes:
        examples: One for each test set that the seeds share; empty where none is known.
        low, high: Of the number: [0, 1] for a share, [-1, 1] for a difference of two.
    """

    drawn: Drawn = "unknown"
    examples: tuple[Examples, ...] = ()
    low: float = -math.inf
    high: float = math.inf

    @property
    def covers(self) -> Covers:
        """What an interval that makes use of it covers."""
        if self.drawn == "per_seed":
            return "training_and_data"
        return "training_and_examples" if self.examples else "training"

    def of_these_examples(self) -> "Sample":
        """The same for a statement about this very test set: no draw of examples is left."""
        return self if self.drawn == "per_seed" else replace(self, examples=())


UNKNOWN = Sample()


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with the variances that make its interval.

    Levels in [0, 1] have Wilson's interval with the number of coin flips that would vary as much,
    other levels that are never negative one on the log scale. Differences have Student's, cut at
    the ends of their range, which loses no coverage.

    Attributes:
        deviation: Over seeds, sample standard deviation.
        over_seeds: Variance of the mean, from the deviation.
    """

    mean: float
    deviation: float
    n: int
    over_seeds: float
    sample: Sample

    @property
    def variance(self) -> float:
        """Of the mean: training, and the test examples where their influence is known."""
        return self._training + self._drawn

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom of the variance."""
        seeds = self.n - 1
        # The square of a number near the end of all floats is none.
        unit = 1.0 if 1e-150 < self.variance < 1e150 else self.variance or 1.0
        below, most = (self._training / unit) ** 2 / seeds, seeds
        for part in self.sample.examples:
            units = max(1, part.units - 1)
            below += ((part.variance / unit) ** 2 + (part.shared / unit) ** 2 / seeds) / units
            most = max(most, units)
        return min((self.variance / unit) ** 2 / below, most) if below else float(most)

    @property
    def _shared(self) -> float:
        return math.fsum(part.shared for part in self.sample.examples)

    @property
    def _training(self) -> float:
        return max(self.over_seeds, self._shared)

    @property
    def _drawn(self) -> float:
        """By new examples alone.

        Of differences two half examples are added, one in favour of each, as Agresti and Min
        (2005) add them to pairs: where no example differs, the next one may.
        """
        own = math.fsum(part.variance for part in self.sample.examples) - self._shared
        return max(0.0, own) + (0.0 if self._is_share else self._edges)

    @property
    def _edges(self) -> float:
        return math.fsum(1 / part.edge**2 for part in self.sample.examples)

    @property
    def _is_share(self) -> bool:
        return (self.sample.low, self.sample.high) == (0.0, 1.0)

    @property
    def _is_wilsons(self) -> bool:
        """Whether coin flips would vary as much: not at an end that seeds are said to leave."""
        inside = 0 < self.mean < 1 or (0 <= self.mean <= 1 and self._edges > 0)
        return self._is_share and inside and math.isfinite(self.variance)

    @property
    def _is_exact(self) -> bool:
        return self.variance <= 0 and not (self._is_share and self._edges > 0)

    @property
    def _spreads(self) -> list[tuple[float, float]]:
        """Variances with their degrees of freedom, that an interval must be wide enough for.

        Examples bring degrees of freedom: without the second, to cover more could take less.
        """
        both = [(self.variance, self.freedom), (self.over_seeds, self.n - 1.0)]
        return both if self.over_seeds > 0 and self.sample.examples else both[:1]

    def interval(self, level: float = 0.95) -> Interval:
        """At a level; of one seed, or with an undefined number, infinite."""
        if math.isnan(self.mean) or self.n < 2:
            low, high = -math.inf, math.inf
        elif not math.isfinite(self.variance):  # of numbers near the end of all floats
            low, high = self.sample.low, self.sample.high
        elif self._is_exact:
            low = high = self.mean
        else:
            ends = [self._ends(v, t_quantile(freedom, level)) for v, freedom in self._spreads]
            low, high = min(low for low, _ in ends), max(high for _, high in ends)
        return Interval(self.mean, low, high, level, self.deviation, self.n)

    def _ends(self, variance: float, quantile: float) -> tuple[float, float]:
        mean, half = self.mean, quantile * math.sqrt(variance)
        if self._is_wilsons:
            return wilson(mean, self._flips(variance), quantile)
        if self._is_positive:
            return mean * math.exp(-half / mean), mean * math.exp(min(700.0, half / mean))
        return max(self.sample.low, mean - half), min(self.sample.high, mean + half)

    @property
    def _is_positive(self) -> bool:
        return self.sample.low == 0 and self.sample.high == math.inf and self.mean > 0

    def _flips(self, variance: float) -> float:
        """The coin flips whose share varies as much."""
        spread = self.mean * (1 - self.mean)
        if variance > 0 and spread > 0:
            return spread / variance
        return 1 / math.sqrt(self._edges)

    def p(self, region: Region) -> float:
        """The largest alpha at which the (1 - alpha) interval still leaves `region` undecided.

        For one border this is the two-sided test against it; for two borders and a mean between
        them, two one-sided tests (the larger p), doubled: equivalence at 95 % asks each for 0.025.
        """
        if math.isnan(self.mean) or self.n < 2 or (self.deviation == 0 and self.n < MIN_EQUAL):
            return 1.0
        if not math.isfinite(self.variance):
            return 1.0
        inside = [b for b in region.borders if self.sample.low < b < self.sample.high]
        if self._is_exact or not inside:
            return 0.0 if region.conclude(self.interval()) != "undecided" else 1.0
        return max(
            float(2 * scipy.special.stdtr(freedom, -self._distance(border, variance)))
            for variance, freedom in self._spreads
            for border in inside
        )

    def _distance(self, border: float, variance: float) -> float:
        """From the mean, in standard errors, on the scale of the interval."""
        if self._is_wilsons:
            return abs(self.mean - border) / math.sqrt(
                border * (1 - border) / self._flips(variance)
            )
        error = math.sqrt(variance)
        if self._is_positive:
            return abs(math.log(self.mean / border)) * self.mean / error
        return abs(self.mean - border) / error

    def times(self, seeds: float = 1.0, examples: float = 1.0) -> "Estimate":
        """What so many times the seeds and examples would show, mean and spread as seen."""
        parts = tuple(part.times(seeds, examples) for part in self.sample.examples)
        own = max(0.0, self.over_seeds - self._shared) / seeds
        over_seeds = own + min(self.over_seeds, self._shared) / (seeds * examples)
        sample = replace(self.sample, examples=parts)
        n = round(self.n * seeds)
        return replace(self, n=n, over_seeds=over_seeds, sample=sample)

    def further_seeds(self, region: Region, level: float) -> int | None:
        """Seeds still needed for the interval to leave the nearest border.

        None when that takes more than `MAX_SEEDS` (what the test examples vary is not less with
        more seeds), or when there is no spread to extrapolate from.
        """
        if not self.deviation > 0:
            return None
        return _least(
            lambda n: self.times(seeds=n / self.n).p(region) < 1 - level, self.n, MAX_SEEDS
        )

    def further_examples(self, region: Region, level: float) -> int | None:
        """Test examples still needed by these seeds; None when no number would do."""
        n = sum(part.n for part in self.sample.examples)
        if n == 0 or math.isnan(self.mean):
            return None
        return _least(lambda m: self.times(examples=m / n).p(region) < 1 - level, n, MAX_EXAMPLES)


def estimate(values: Sequence[float], sample: Sample = UNKNOWN) -> Estimate:
    """From independent values, one per seed (for pairs: their differences)."""
    x = np.asarray(values, dtype=float)
    if x.size == 0 or np.isnan(x).any():
        return Estimate(math.nan, math.nan, int(x.size), math.nan, sample)
    if x.size > 1 and x.min() == x.max():
        return Estimate(float(x[0]), 0.0, int(x.size), 0.0, sample)
    with np.errstate(over="ignore", invalid="ignore"):  # numbers near the end of all floats
        mean, deviation = float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else math.nan
        return Estimate(
            mean, deviation, int(x.size), float(np.float64(deviation) ** 2) / x.size, sample
        )


def level_interval(
    values: Sequence[float], ends: tuple[float, float] = EVERYWHERE, level: float = 0.95
) -> Interval:
    """Over seeds, of a number that cannot leave its ends."""
    return estimate(values, Sample(low=ends[0], high=ends[1])).interval(level)


def ends_of_difference(ends: tuple[float, float]) -> tuple[float, float]:
    """What the difference of two such numbers cannot leave."""
    low, high = ends
    return low - high, high - low


def wilson(share: float, flips: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval of a share of so many coin flips, not always whole.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    square = quantile**2 / flips
    centre = (share + square / 2) / (1 + square)
    half = math.sqrt(share * (1 - share) * square + square**2 / 4) / (1 + square)
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def _least(decides: Callable[[int], bool], now: int, most: int) -> int | None:
    """How many more than `now` it takes at least, at most `most` in all; None if more."""
    low, high = now, now + 1
    while not decides(high):
        if high >= most:
            return None
        low, high = high, min(most, 2 * high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high - now
