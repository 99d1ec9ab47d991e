"""Write docs/diagnosis.md: what the diagnosis of seeds saves and what it costs, by simulation.

python scripts/diagnosis.py     rewrite the page (a quarter of a minute on one core)

Truth is known here: numbers are drawn from a distribution of known mean, and a word is wrong when
it says that this mean lies beyond a border at which it lies exactly, the hardest case.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy

from lossheads.analysis.diagnosis import LEVEL, MIN_SEEDS, STRICTER, conclude, diagnose, missed
from lossheads.analysis.format import percent
from lossheads.analysis.statistics import Region

PAGE = Path(__file__).parents[1] / "docs" / "diagnosis.md"
RUNS, ALPHA, SEEDS = 20_000, 0.05, (10, 20, 25, 40)
SEVERAL = 4  # hypotheses of one claim, each about draws of its own
Array = np.ndarray


def _collapsing(size: float) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    return lambda rng, shape: rng.normal(size=shape) - size * (rng.random(shape) < 0.1)


# In words; what draws numbers; their mean and standard deviation.
KINDS = (
    ("normal", lambda rng, shape: rng.normal(size=shape), 0.0, 1.0),
    ("t, 3 degrees of freedom", lambda rng, shape: rng.standard_t(3, shape), 0.0, math.sqrt(3)),
    (
        "lognormal, σ = 1",
        lambda rng, shape: rng.lognormal(0, 1, shape),
        math.exp(0.5),
        math.sqrt((math.e - 1) * math.e),
    ),
    ("a tenth falls by 4 σ", _collapsing(4), -0.4, math.sqrt(1 + 0.09 * 16)),
    ("a tenth falls by 10 σ", _collapsing(10), -1.0, math.sqrt(1 + 0.09 * 100)),
)
# Only for the choice of a test.
SHAPES = (
    *KINDS,
    ("uniform", lambda rng, shape: rng.random(shape), 0.5, math.sqrt(1 / 12)),
    ("two equal groups 6 σ apart", lambda rng, shape: rng.normal(size=shape)
     + 6 * (rng.random(shape) < 0.5), 3.0, math.sqrt(10)),
    ("difference of two counts of about 2", lambda rng, shape: (rng.poisson(2, shape)
     - rng.poisson(2, shape)).astype(float), 0.0, 2.0),
)  # fmt: skip


def p_values(x: Array, border: float) -> Array:
    """Two-sided p of the t test against a border; the last axis holds seeds."""
    n = x.shape[-1]
    error = x.std(axis=-1, ddof=1) / math.sqrt(n)
    return 2 * scipy.special.stdtr(n - 1, -np.abs(x.mean(axis=-1) - border) / error)


def flagged(x: Array) -> Array:
    """`diagnose`, for many samples at once."""
    return scipy.stats.skewtest(x, axis=-1).pvalue < LEVEL


def decided(p: Array, doubtful: Array) -> tuple[Array, Array]:
    """By Holm's procedure, before and after the diagnosis; (samples, hypotheses)."""
    m = p.shape[1]
    order = p.argsort(axis=1)
    thresholds = np.empty_like(p)
    np.put_along_axis(thresholds, order, np.broadcast_to(ALPHA / (m - np.arange(m)), p.shape), 1)
    passed = np.take_along_axis(p <= thresholds, order, 1).cumprod(axis=1).astype(bool)
    before = np.empty_like(passed)
    np.put_along_axis(before, order, passed, 1)
    return before, before & (~doubtful | (p <= thresholds / STRICTER))


def row(name: str, draw: Callable[..., Array], mean: float, deviation: float, n: int) -> list[str]:
    """One line of the table."""
    rng = np.random.default_rng(n)
    x = draw(rng, (RUNS, SEVERAL, n))
    doubtful = flagged(x)
    cells = [name, str(n), f"{doubtful.mean():.3f}"]
    p = p_values(x, mean)
    for m in (1, SEVERAL):
        before, after = (found.any(axis=1).mean() for found in decided(p[:, :m], doubtful[:, :m]))
        cells.append(f"{before:.3f} → {after:.3f}")
    for errors in (3.5, 5):
        border = mean - errors * deviation / math.sqrt(n)
        for m in (1, SEVERAL):
            found = decided(p_values(x[:, :m], border), doubtful[:, :m])
            right = x[:, :m].mean(axis=-1) > border
            before, after = ((each & right).mean() for each in found)
            cells.append(f"{before:.2f} → {after:.2f}")
    return cells


def statistics(x: Array) -> dict[str, Array]:
    """The candidates: larger is more suspicious."""
    middle = np.median(x, axis=1, keepdims=True)
    deviations, ordered = np.abs(x - middle), np.sort(x, axis=1)
    spread = 1.4826 * np.median(deviations, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "skewness": np.abs(scipy.stats.skew(x, axis=1)),
            "largest \\|x − median\\| / MAD": np.nan_to_num(deviations.max(axis=1) / spread),
            "Grubbs": np.abs(x - x.mean(axis=1, keepdims=True)).max(axis=1) / x.std(axis=1),
            "largest gap / range": np.diff(ordered, axis=1).max(axis=1) / np.ptp(x, axis=1),
            "Shapiro–Wilk": 1 - scipy.stats.shapiro(x, axis=1).statistic,
        }


def comparison(n: int = 20, runs: int = 4_000) -> str:
    """Each candidate at 1 % false alarms: share flagged, wrong words left over."""
    rng = np.random.default_rng(0)
    limits = {k: np.quantile(v, 0.99) for k, v in statistics(rng.normal(size=(runs, n))).items()}
    rows = []
    for name, draw, mean, _ in SHAPES:
        x = draw(rng, (runs, n))
        wrong = p_values(x, mean) <= ALPHA
        cells = []
        for key, value in statistics(x).items():
            doubtful = value > limits[key]
            cells.append(f"{doubtful.mean():.2f}, {(wrong & ~doubtful).mean():.3f}")
        rows.append([name, *cells, f"{wrong.mean():.3f}"])
    return table([f"numbers, n = {n}", *limits, "wrong before"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    """In Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def check() -> None:
    """The fast forms above say what the library says, sample by sample."""
    rng = np.random.default_rng(3)
    for _, draw, mean, _ in KINDS:
        x = draw(rng, (100, 1, 20))
        _, after = decided(p_values(x, mean), flagged(x))
        region = Region(mean, math.inf, open=True)
        for sample, word, doubtful in zip(x[:, 0], after[:, 0], flagged(x)[:, 0], strict=True):
            assert (conclude(sample, region, 1 - ALPHA)[0] != "undecided") == word
            assert (diagnose(sample) is not None) == doubtful


TEXT = """\
# Seeds that lie apart

<!-- Made by scripts/diagnosis.py: change that. -->

A t interval needs numbers that are about normal over seeds. What breaks it above all is skewness:
a few runs that collapse, a difference with a long tail. So the numbers of every hypothesis are
tested for skewness (D'Agostino's test at {level}, from {min_seeds} seeds on;
`analysis/diagnosis.py`). What is flagged must stand at a {stricter}th of the level as well,
{high} instead of 95 %; otherwise its conclusion becomes *undecided*, and the page names the seeds
that lie apart. A collapse of a tenth of the seeds is a real phenomenon and no error of
measurement: no seed is ever left out.

A diagnosis takes conclusions back and never gives one. What Holm's procedure guarantees therefore
stays guaranteed.

## What it saves, what it costs

{runs:,} simulated claims a line. *Wrong*: the true mean lies exactly on the border, and the share
of claims with any decided, hence wrong, hypothesis is shown (0.05 is promised), before → after
the diagnosis. *Power*: the border lies 3.5 or 5 standard errors below the true mean, and the
share of hypotheses rightly decided is shown. For one hypothesis, and for {several} about draws of
their own under Holm's procedure. σ is the standard deviation of the seeds that do not fall; each
falls with a chance of a tenth. Standard error of a share: at most 0.004.

{rows}

**What it cannot do.** Where a tenth of the seeds falls far, most wrong words come from samples in
which none fell: such numbers look faultless, and no test of them helps. n seeds show nothing of
it with a chance of 0.9ⁿ ({missed}), which is nearly all that is left in the last lines. Only
seeds help: every page states this chance. Of 10 seeds, one or two that fell are often too few to
be told from chance.

## Why this test

Five tests, each with a limit that flags 1 % of normal samples: share flagged, and wrong words
left over if what is flagged were not decided at all ({comparison_runs:,} samples a line).

{comparison}

Shapiro–Wilk finds a little more, but also what does no harm, for the t interval is right there:
symmetric groups, uniform numbers, counts with ties. Skewness flags those least and is what makes
the interval wrong. Heavy tails on both sides (t with 3 degrees of freedom) make the interval too
wide, not too narrow; single outliers are flagged there, which costs some power and no truth.

How strict to be, with 25 seeds and one hypothesis:

{parts}
"""


# Kind, how many standard errors the border lies below the true mean, and what is then decided.
PARTS = ((2, 0.0, "wrong"), (4, 0.0, "wrong"), (2, 5.0, "power 5"), (0, 3.5, "power 3.5"))


def part(stricter: float) -> list[str]:
    """What is decided where flagged numbers are judged at alpha / `stricter`."""
    cells = [f"alpha / {stricter:g}" if math.isfinite(stricter) else "never decided"]
    for kind, errors, _ in PARTS:
        _, draw, mean, deviation = KINDS[kind]
        x = draw(np.random.default_rng(1), (RUNS, 25))
        p = p_values(x, mean - errors * deviation / 5)
        cells.append(f"{((p <= ALPHA) & (~flagged(x) | (p <= ALPHA / stricter))).mean():.3f}")
    return cells


def main() -> None:
    """Simulate and write the page."""
    check()
    rows = [row(*kind, n) for kind in KINDS for n in SEEDS]
    asked = [f"{what}, {m}" for what in ("power 3.5", "power 5") for m in (1, SEVERAL)]
    head = ["numbers", "n", "flagged", "wrong, 1", f"wrong, {SEVERAL}", *asked]
    text = TEXT.format(
        level=percent(LEVEL),
        min_seeds=MIN_SEEDS,
        stricter=STRICTER,
        high=percent(1 - ALPHA / STRICTER),
        runs=RUNS,
        several=SEVERAL,
        rows=table(head, rows),
        missed=", ".join(f"{percent(missed(n))} at {n}" for n in (5, *SEEDS)),
        comparison_runs=4_000,
        comparison=comparison(),
        parts=table(
            ["flagged numbers must stand at", *(f"{KINDS[k][0]}: {what}" for k, _, what in PARTS)],
            [part(strict) for strict in (1, 10, STRICTER, math.inf)],
        ),
    )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
