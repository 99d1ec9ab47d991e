"""Write docs/statistics.md: what intervals cover, by simulation on drawn data of known truth.

python scripts/interval_coverage.py       rewrite the page (three CPU minutes)
python scripts/interval_coverage.py 5000  more repetitions than the page has

Nothing here is trained: bits and scores of seeds × examples are drawn with effects of the seed,
of the example, and of both together, so that the true accuracy, AUROC and F1 are known.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lossheads.analysis.estimates import Estimate, Examples, Sample, estimate, examples_of
from lossheads.analysis.format import percent
from lossheads.analysis.statistics import (
    Region,
    smallest_flip_p,
    t_interval,
)
from lossheads.claims.verdict_file import load_verdict
from lossheads.evaluation.influence import area

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "statistics.md"
REFERENCE = ROOT / "outputs" / "reference"
Array = NDArray[Any]
SEEDS, SIZES = (5, 20, 25), (500, 10_000)
LEVELS = (0.95, 0.9875)  # one hypothesis, and the first of four by Holm's procedure
REPEATS, LESS = 1000, 5  # of the large test set so many times less
SHARE, GAP = {"low": 0.0, "high": 1.0}, {"low": -1.0, "high": 1.0}


@dataclass(frozen=True)
class Effects:
    """Standard deviations on the scale of a score: of a seed, an example, and both together.

    Attributes:
        alike: Correlation of an example's effects on the two models.
    """

    seed: float = 0.06
    example: float = 3.0
    both: float = 0.8
    alike: float = 0.97

    @property
    def of_one(self) -> float:
        """Of an example and the rest, within a seed."""
        return math.hypot(self.example, self.both)


@dataclass(frozen=True)
class Case:
    """A metric of two models whose scores are drawn.

    Attributes:
        draw: (generator, seeds, examples) -> two models' values (S,), influences (S, N), edge.
        truth: Of each of the two.
    """

    name: str
    draw: Callable[[np.random.Generator, int, int], list[tuple[Array, Array, float]]]
    truth: tuple[float, float]


def scores(
    rng: np.random.Generator, seeds: int, n: int, effects: Effects
) -> Iterator[tuple[Array, Array]]:
    """Of two models: the seeds' effects (S, 1), and everything else (S, N)."""
    hard = rng.standard_normal((1, n), np.float32)
    rest = math.sqrt(1 - effects.alike**2)
    for _ in range(2):
        own = effects.alike * hard + rest * rng.standard_normal((1, n), np.float32)
        both = effects.both * rng.standard_normal((seeds, n), np.float32)
        yield (
            effects.seed * rng.standard_normal((seeds, 1), np.float32),
            effects.example * own + both,
        )


def accuracy(name: str, effects: Effects, above: tuple[float, float]) -> Case:
    """Right where the score is positive; the mean score is `above` 0."""

    def draw(rng: np.random.Generator, seeds: int, n: int) -> list[tuple[Array, Array, float]]:
        found = []
        for mean, (seed, rest) in zip(above, scores(rng, seeds, n, effects), strict=True):
            right = (mean + seed + rest > 0).astype(np.float64)
            values = right.mean(axis=1)
            found.append((values, (right - values[:, None]) / n, float(n)))
        return found

    spread = math.hypot(effects.of_one, effects.seed)
    return Case(name, draw, tuple(float(stats.norm.cdf(mean / spread)) for mean in above))


def auroc(name: str, effects: Effects, apart: tuple[float, float]) -> Case:
    """Half of the examples are positive; their mean scores lie `apart`, differently by seed."""

    def draw(rng: np.random.Generator, seeds: int, n: int) -> list[tuple[Array, Array, float]]:
        present, found = rng.random(n) < 0.5, []
        for mean, (seed, rest) in zip(apart, scores(rng, seeds, n, effects), strict=True):
            each = [area(row, present) for row in rest + (mean + seed) * present]
            values, moved = (np.array(part) for part in zip(*each, strict=True))
            found.append((values, moved, float(min(present.sum(), n - present.sum()))))
        return found

    spread = math.hypot(math.sqrt(2) * effects.of_one, effects.seed)
    return Case(name, draw, tuple(float(stats.norm.cdf(mean / spread)) for mean in apart))


def f1(name: str, effects: Effects, apart: tuple[float, float], rate: float = 0.2) -> Case:
    """One label of this rate; said to be there where the score is above half of `apart`."""

    def draw(rng: np.random.Generator, seeds: int, n: int) -> list[tuple[Array, Array, float]]:
        present, found = (rng.random(n) < rate).astype(np.float64), []
        for mean, (seed, rest) in zip(apart, scores(rng, seeds, n, effects), strict=True):
            said = (rest + seed + mean * (present - 0.5) > 0).astype(np.float64)
            total = present.sum() + said.sum(axis=1, keepdims=True)
            values = 2 * (said * present).sum(axis=1) / total[:, 0]
            moved = (2 * said * present - values[:, None] * (said + present)) / total
            found.append((values, moved, float(present.sum())))
        return found

    def truth(mean: float) -> float:
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        level = effects.seed * nodes
        hit, false = (stats.norm.cdf((level + s * mean / 2) / effects.of_one) for s in (1, -1))
        value = 2 * rate * hit / (rate + rate * hit + (1 - rate) * false)
        return float((weights * value).sum() / weights.sum())

    return Case(name, draw, (truth(apart[0]), truth(apart[1])))


USUAL, STEADY = Effects(), Effects(seed=0.0)
RESTLESS, ALIKE = Effects(seed=0.5), Effects(alike=1.0)
CASES = (
    accuracy("accuracy", USUAL, (3.4, 3.3)),
    accuracy("accuracy, no effect of the seed alone", STEADY, (3.4, 3.4)),
    accuracy("accuracy, examples as hard for both", ALIKE, (3.4, 3.4)),
    accuracy("accuracy, large effects of the seed", RESTLESS, (3.4, 3.4)),
    accuracy("accuracy near 1", Effects(0.06, 1.0, 0.3), (2.4, 2.3)),
    auroc("AUROC", USUAL, (6.0, 5.9)),
    f1("F1", USUAL, (7.0, 6.9)),
)


@dataclass
class Counts:
    """Of one line of the table, over repetitions."""

    misses: dict[str, list[bool]]
    means: list[float]
    variances: list[float]
    widths: dict[str, list[float]]


def judged(values: Array, moved: Array, edge: float, ends: dict[str, float]) -> Estimate:
    """As a claim judges it."""
    return estimate(values.tolist(), Sample("once", (examples_of(moved, edge),), **ends))


def simulated(case: Case, seeds: int, n: int, repeats: int) -> dict[str, Counts]:
    """The first model's level and the difference of both."""
    rng = np.random.default_rng([seeds, n])
    found = {what: Counts({}, [], [], {"seeds": [], "crossed": []}) for what in ("level", "gap")}
    truth = {"level": case.truth[0], "gap": case.truth[0] - case.truth[1]}
    for _ in range(repeats):
        (one, moved, edge), (two, moved_two, edge_two) = case.draw(rng, seeds, n)
        both = {
            "level": judged(one, moved, edge, SHARE),
            "gap": judged(one - two, moved - moved_two, min(edge, edge_two), GAP),
        }
        for what, values in (("level", one), ("gap", one - two)):
            counts = found[what]
            counts.means.append(both[what].mean)
            counts.variances.append(both[what].variance)
            for level in LEVELS:
                plain, crossed = t_interval(values, level), both[what].interval(level)
                for name, at in (("seeds", plain), ("crossed", crossed)):
                    missed = not at.low <= truth[what] <= at.high
                    counts.misses.setdefault(f"{name} {level}", []).append(missed)
                    if level == LEVELS[0]:
                        counts.widths[name].append(at.high - at.low)
    return found


def coverage(repeats: int) -> tuple[str, str]:
    """The two tables: differences, and levels."""
    tables: dict[str, list[list[str]]] = {"gap": [], "level": []}
    for case in CASES:
        for n in SIZES:
            often = repeats if n == SIZES[0] else max(20, repeats // LESS)
            for seeds in SEEDS:
                for what, counts in simulated(case, seeds, n, often).items():
                    tables[what].append(_row(case, what, seeds, n, counts))
    head = ["metric", "truth", "seeds", "examples", "seeds alone", "crossed", "seeds alone, Holm"]
    head += ["crossed, Holm", "width ×", "error / true"]
    return table(head, tables["gap"]), table(head, tables["level"])


def _row(case: Case, what: str, seeds: int, n: int, counts: Counts) -> list[str]:
    truth = case.truth[0] - (case.truth[1] if what == "gap" else 0)
    cells = [case.name, f"{truth:.4f}", str(seeds), f"{n:,}"]
    for level in LEVELS:
        for name in ("seeds", "crossed"):
            cells.append(f"{100 * np.mean(counts.misses[f'{name} {level}']):.1f}")
    width = np.median(counts.widths["crossed"]) / max(np.median(counts.widths["seeds"]), 1e-12)
    error = math.sqrt(float(np.mean(counts.variances))) / float(np.std(counts.means))
    cells += [f"{width:.2f}" if width < 1e3 else "–", f"{error:.2f}"]
    return cells


def bootstrap(repeats: int, resamples: int = 400) -> str:
    """Another way to the variance: seeds and examples both drawn again, with replacement."""
    rng, rows = np.random.default_rng(1), []
    case, seeds, n = CASES[0], 20, 500
    means, ours, theirs, corrected = [], [], [], []
    for _ in range(max(20, repeats // 10)):
        (one, moved, _), (two, moved_two, _) = case.draw(rng, seeds, n)
        z = (one - two)[:, None] + n * (moved - moved_two)
        means.append(float(z.mean()))
        found = judged(one - two, moved - moved_two, math.inf, GAP)
        ours.append(found.variance)
        s, i = rng.integers(0, seeds, (resamples, seeds)), rng.integers(0, n, (resamples, n))
        weights_s = np.array([np.bincount(k, minlength=seeds) for k in s])
        weights_i = np.array([np.bincount(k, minlength=n) for k in i])
        again = np.einsum("rs,sn,rn->r", weights_s, z, weights_i, optimize=True) / z.size
        theirs.append(float(again.var(ddof=1)))
        # Resampling both counts what varies with both three times: Owen (2007).
        corrected.append(theirs[-1] - 2 * found.sample.examples[0].shared)
    for name, values in (
        ("standard deviation of the mean over repetitions", [float(np.var(means))]),
        ("standard error as judged", ours),
        ("two-way bootstrap", theirs),
        ("two-way bootstrap, less what it counts three times", corrected),
    ):
        rows.append([name, f"{1e4 * math.sqrt(float(np.mean(values))):.1f}"])
    return table([f"{case.name}, {seeds} seeds, {n} examples", "× 10⁻⁴"], rows)


def per_seed(repeats: int) -> str:
    """Levels whose seeds draw their own data, so that seeds alone vary: near the end of a range."""
    rows = []
    for mean, spread in ((2.0, 0.5), (4.0, 0.5), (4.0, 1.5)):
        rng = np.random.default_rng(2)
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        at = 1 / (1 + np.exp(-mean - spread * nodes))
        truth = float(np.average(at, weights=weights))
        deviation = math.sqrt(np.average((at - truth) ** 2, weights=weights))
        for seeds in SEEDS:
            counts = {"t": 0, "left": 0, "Wilson": 0}
            for _ in range(10 * repeats):
                x = 1 / (1 + np.exp(-mean - spread * rng.normal(size=seeds)))
                plain = t_interval(x.tolist())
                ours = estimate(x.tolist(), Sample("per_seed", (), **SHARE)).interval()
                counts["t"] += not plain.low <= truth <= plain.high
                counts["left"] += plain.high > 1
                counts["Wilson"] += not ours.low <= truth <= ours.high
            shares = [f"{100 * count / (10 * repeats):.1f}" for count in counts.values()]
            rows.append([f"{truth:.3f}", f"{deviation:.3f}", str(seeds), *shares])
    return table(["true mean", "deviation", "seeds", "t", "t leaves [0, 1]", "Wilson"], rows)


# Of accuracy on Fashion-MNIST, sigmoid BCE − softmax CCE of the simple network.
MEASURED = ("bce-97-vs-cce-90", "bce_better_sigmoid/simple")
NUMBERS = (5, 10, 20, 25, 40)


@cache
def measured_effects() -> tuple[float, float, float]:
    """Standard deviations of a seed's, an example's and their common effect, from a verdict."""
    slug, name = MEASURED
    found = load_verdict(REFERENCE / slug / "verdict.json")["hypotheses"][name]
    (part,), seeds = found["sample"]["examples"], found["over_seeds"]["n"]
    both = part["shared"] * seeds * part["n"]
    example = (part["variance"] - part["shared"]) * part["n"]
    seed = found["over_seeds"]["deviation"] ** 2 - both / part["n"]
    return math.sqrt(max(0.0, seed)), math.sqrt(example), math.sqrt(both)


def drawn_estimate(
    rng: np.random.Generator, mean: float, seeds: int, n: int
) -> tuple[Estimate, list[float]]:
    """What a claim would see of normal effects, from their sufficient statistics."""
    a, b, e = measured_effects()
    values = mean + a * rng.normal(size=seeds) + e / math.sqrt(n) * rng.normal(size=seeds)
    values += b / math.sqrt(n) * rng.normal()
    shared = e**2 / (seeds * n)
    part = Examples(n, n, b**2 / n + shared, shared, float(n))
    return estimate(values.tolist(), Sample("once", (part,), **GAP)), values.tolist()


def power(repeats: int) -> str:
    """How often a true difference is found, and sameness is, by seeds, level and test sample."""
    rows = []
    questions = [
        ("a > b", Region(0.0, math.inf, open=True), gap) for gap in (0.0, 0.002, 0.005, 0.01)
    ]
    questions += [("within ± 0.01", Region(-0.01, 0.01), gap) for gap in (0.0, 0.005, 0.0067)]
    questions += [("within ± 0.01, wrong", Region(-0.01, 0.01), 0.01)]
    for name, region, gap in questions:
        for level in LEVELS:
            cells = [name, f"{gap:g}", percent(level)]
            flipped = _flipped(repeats) if level == LEVELS[1] else 0
            for seeds in NUMBERS:
                rng, said, flips = np.random.default_rng(seeds), 0, 0
                signs = rng.choice([-1.0, 1.0], (9_999, seeds))
                for k in range(2 * repeats):
                    found, values = drawn_estimate(rng, gap, seeds, 10_000)
                    said += region.conclude(found.interval(level)) == "holds"
                    if k < flipped:
                        flips += flips_decide(values, region, level, signs)
                share = f"{100 * said / (2 * repeats):.0f}"
                cells.append(f"{share} ({100 * flips / flipped:.0f})" if flipped else share)
            rows.append(cells)
    last = ["least p of sign flips", "", ""]
    rows.append([*last, *(f"{smallest_flip_p(seeds):.2g}" for seeds in NUMBERS)])
    return table(["question", "truth", "level", *(f"{n} seeds" for n in NUMBERS)], rows)


def _flipped(repeats: int) -> int:
    return max(1, repeats // 4)


def flips_decide(values: list[float], region: Region, level: float, signs: Array) -> bool:
    """Whether `sign_flip_test` says "holds", for the same signs again and again: in a millisecond.

    Args:
        signs: (flips, seeds) of ±1, drawn.
    """
    sides = [np.array(values) - region.low, region.high - np.array(values)]
    finite = [side for side in sides if np.isfinite(side).all()]
    beyond = [(signs @ side >= side.sum() * (1 - 1e-12)).sum() for side in finite]
    return bool(2 * (1 + max(beyond)) / (1 + len(signs)) <= 1 - level)


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


TEXT = """\
# What the intervals of a claim cover

<!-- Made by scripts/interval_coverage.py: change that. -->

## Two sources of chance

Train again, with another seed, and a number is another. Measure on other test examples, and it is
another as well. Seeds that share a test set show only the first: over seeds alone the interval of
a difference can be narrow and lie beside the truth. So a hypothesis says what it is about:

* `on: new_examples`, the default: what seeds and examples like these would give. Its interval
  covers both, crossed.
* `on: this_test_set`: what seeds would give on these very examples. Its interval covers training
  alone. Facts about one benchmark, and numbers that hold by construction, are of this kind.
* Where each seed draws its own data (`data: per_seed`), the seeds cover both already.

Neither covers another training set, unless each seed draws one. Every page shows which interval
decided, what it covers and, beside one that covers both, the one over seeds alone.

## How

Of a metric's value at seed *s*, example *i* has an influence φ_si: what it moved the value, mean 0
over the N examples. For accuracy φ_si = (right or not − accuracy) / N; for AUROC it comes from
placements, for F1 and recalls from the derivative by counts, for the rest from a jackknife over
fifty groups (`evaluation/sampling.py`). Differences of arms are differences of influences, for the
examples are the same. With d_s the hypothesis's number at seed s, S seeds, and means over a dot:

* over seeds: V_S = var(d_s) / S
* over examples: V_N = N / (N − 1) · Σ_i φ_.i²
* in both: V_E = N / (N − 1) · Σ_si (φ_si − φ_.i)² / (S (S − 1))

The variance of the mean is max(V_S, V_E) + max(V_N, V_E) − V_E, that of two-way random effects
with no part below zero; Student's quantile has Satterthwaite's degrees of freedom. To a
difference of metrics in [0, 1] 1 / m² is added, m the coin flips that would tell as much (N for
accuracy), as two half examples, one in favour of each arm: where no example differs, the next one
may. Numbers that are equal at every seed that drew its own data, three seeds or more, have no
interval: the page says "at every seed". No interval is narrower than the one over seeds alone.
Arms on different test sets have a V_N each. Levels of metrics in [0, 1] have Wilson's interval
with the number of coin flips that would vary as much, other levels that are never negative an
interval on the log scale, differences are cut at the ends of their range: none leaves it.

Tables, curves and pages over runs have the same intervals. Their levels are over seeds alone. Their
differences are crossed where the metric is the share of examples right, which every run records,
and the seeds share a test set ("on new examples"); else the sentence names the test examples that
it is about ("over seeds, on these 355 test examples"). `lossheads compare` crosses every metric.

What is not crossed, and said so on the page: `first_step/…`, `outliers/…` and `tuned/…`, whose
examples or thresholds no run keeps; runs that kept no predictions; metrics of a true posterior.

The p that Holm's procedure ranks, and the seeds that are still needed, follow from the same
variance. More seeds do not shrink what the examples vary: where that alone crosses a border, the
page asks for test examples instead. The sign-flip test flips what the seeds vary, and covers
training alone.

Sources: Gallas (2006), "One-shot estimate of MRMC variance: AUC"; Hillis (2007), "A comparison of
denominator degrees of freedom methods for multiple observer ROC analysis"; DeLong, DeLong and
Clarke-Pearson (1988) for AUROC; Agresti and Min (2005) for the two half examples; Wilson (1927);
Owen (2007), "The pigeonhole bootstrap".

## How often they miss

Per cent of {repeats:,} drawn claims ({less:,} with 10,000 examples) whose interval misses the
truth, which is known; 5 % is promised. A claim whose border lies at the truth, the hardest case,
gives a wrong word as often. *Holm*: at {holm}, for the first of four hypotheses, 1.25 % is
promised. *Width*: of the crossed interval, times that over seeds alone. *Error / true*: root mean
square of the standard errors over the standard deviation of the means. Standard error of a share
near 5 %: {share_error:.1f} points, {less_error:.1f} with 10,000 examples.

Scores are a mean plus effects of the seed, the example and both together, normal with standard
deviations {usual}; an example's effects on the two models correlate at {alike:g}. Other effects
are named in the line. Lines of equal seeds and examples share their draws and err alike.

### Differences of two models

{gaps}

### Levels of one model

{levels}

### Seeds that draw their own data

Levels near the end of their range, drawn from logistic normals; {per_seed_repeats:,} claims a
line.

{per_seed}

Skewness of eight seeds and more is looked for by [the diagnosis](diagnosis.md); of fewer, by
nothing.

## Another way to the same variance

{bootstrap}

## What so many seeds can find

Per cent of claims that decide; in brackets, what the sign-flip test would decide of {flipped} of
them. Effects as between sigmoid BCE and softmax CCE on Fashion-MNIST with its 10,000 test examples
(25 seeds of bce-97-vs-cce-90, its simple network): standard deviations {real} for a seed, an
example, and both together. {holm} is what Holm's procedure asks of the first of four hypotheses.

{power}

Five pairs reach no p below 0.0625 by sign flips, ten do. The test examples leave a standard error
of {floor:.4f} whatever the number of seeds.
"""


def main() -> None:
    """Simulate and write the page."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS
    less = max(20, repeats // LESS)
    gaps, levels = coverage(repeats)
    text = TEXT.format(
        repeats=repeats,
        less=less,
        share_error=100 * math.sqrt(0.05 * 0.95 / repeats),
        less_error=100 * math.sqrt(0.05 * 0.95 / less),
        holm=percent(LEVELS[1]),
        usual=f"{USUAL.seed:g}, {USUAL.example:g} and {USUAL.both:g}",
        alike=USUAL.alike,
        gaps=gaps,
        levels=levels,
        per_seed=per_seed(repeats),
        per_seed_repeats=10 * repeats,
        bootstrap=bootstrap(repeats),
        flipped=_flipped(repeats),
        real=", ".join(f"{size:.2g}" for size in measured_effects()),
        power=power(repeats),
        floor=measured_effects()[1] / 100,
    )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
