"""From numbers per arm and seed to a word per prediction, and from those to the verdict.

Pure data in, pure data out; no torch, no files. Pairing happens here and only here: numbers are
looked up by seed, never by position.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from lossheads.analysis.statistics import (
    Discordance,
    Interval,
    SecondOpinion,
    Word,
    further_seeds,
    holm_levels,
    second_opinion,
    t_interval,
    two_sided_p,
)
from lossheads.claims.schema import Check, Claim, Prediction
from lossheads.records import Result

# arm and ruler -> seed -> number on the test split; NaN where a run failed or a ruler is undefined.
Measured = Mapping[tuple[str, str], Mapping[int, float]]

Reading = Literal["right", "truncated", "wrong"]

# a - b for two arms, (a - b) - (c - d) for four.
_SIGNS = {1: (1,), 2: (1, -1), 4: (1, -1, -1, 1)}


@dataclass(frozen=True)
class Finding:
    """One prediction, judged.

    Attributes:
        numbers: One per seed: the level, difference or difference of differences.
        interval: The t interval of their mean, at 1 - alpha: 95 %, or for seeds=auto what makes
            the intervals of all looks cover together with 95 %, whenever it stops.
        tested: The interval that decided, at the level Holm's procedure (and the number of
            looks, for seeds=auto) asks for.
        more_seeds: For `undecided`: seeds still needed if mean and spread stay; None when that
            is not to be had or not needed.
    """

    prediction: Prediction
    numbers: tuple[float, ...]
    interval: Interval
    tested: Interval
    word: Word
    p: float
    second: SecondOpinion
    more_seeds: int | None


@dataclass(frozen=True)
class CheckRow:
    """One algebraic check, judged. `reading` tells how printed digits relate to the number."""

    check: Check
    computed: float
    word: Word
    reading: Reading | None


def paired(prediction: Prediction, measured: Measured, seeds: Sequence[int]) -> tuple[float, ...]:
    """The prediction's number for each seed, all of its arms read at that same seed."""
    signs = _SIGNS[len(prediction.arms)]
    sides = list(zip(signs, prediction.arms, prediction.rulers, strict=True))
    return tuple(
        math.fsum(sign * measured[arm, ruler][seed] for sign, arm, ruler in sides) for seed in seeds
    )


def judge(
    predictions: Sequence[Prediction],
    measured: Measured,
    seeds: Sequence[int],
    alpha: float = 0.05,
) -> tuple[Finding, ...]:
    """Every prediction's word; the chance that any decided word is wrong is at most `alpha`."""
    numbers = [paired(prediction, measured, seeds) for prediction in predictions]
    p_values = [
        two_sided_p(row, prediction.region)
        for row, prediction in zip(numbers, predictions, strict=True)
    ]
    levels = holm_levels(p_values, alpha)
    plain = [1 - alpha] * len(levels)
    return tuple(map(_finding, predictions, numbers, p_values, levels, plain))


def _finding(
    prediction: Prediction, numbers: tuple[float, ...], p: float, level: float, plain: float
) -> Finding:
    region, tested = prediction.region, t_interval(numbers, level)
    word = region.word(tested)
    more = further_seeds(numbers, region, level) if word == "undecided" else None
    return Finding(
        prediction=prediction,
        numbers=numbers,
        interval=t_interval(numbers, plain),
        tested=tested,
        word=word,
        p=p,
        second=second_opinion(numbers, region, level),
        more_seeds=more,
    )


def judge_check(check: Check, computed: float) -> CheckRow:
    """Hold one computed number against the stated one; NaN fails."""
    if check.relation == "greater":
        right = computed > check.value
    elif check.relation == "less":
        right = computed < check.value
    else:
        right = abs(computed - check.value) <= check.tolerance
    if check.printed is None:
        return CheckRow(check, computed, "holds" if right else "fails", None)
    reading: Reading = "right" if right else "truncated" if _truncated(check, computed) else "wrong"
    return CheckRow(check, computed, "fails" if reading == "wrong" else "holds", reading)


def _truncated(check: Check, computed: float) -> bool:
    # Digits cut off instead of rounded: the number lies within one unit of the last digit,
    # farther from zero. The tolerance is half such a unit.
    beyond = (abs(computed) - abs(check.value)) / (2 * check.tolerance)
    return 0 <= beyond < 1 and computed * check.value > 0


def decide(rule: Mapping[str, Sequence[str]], words: Mapping[str, Word]) -> tuple[str, str]:
    """The verdict and the sentence that says why.

    The first verdict of the rule whose predictions all hold is given. If every verdict of the
    rule has a prediction that fails, the claim is refuted. Anything else is undecided.
    """
    for verdict, needed in rule.items():
        if all(words[name] == "holds" for name in needed):
            return verdict, f"{_listed(needed)} {'hold' if len(needed) > 1 else 'holds'}"
    failing = [[name for name in needed if words[name] == "fails"] for needed in rule.values()]
    if all(failing):
        names = list(dict.fromkeys(name for fails in failing for name in fails))
        return "refuted", f"{_listed(names)} {'fail' if len(names) > 1 else 'fails'}"
    open_ones = [
        name
        for needed, fails in zip(rule.values(), failing, strict=True)
        for name in needed
        if not fails and words[name] == "undecided"
    ]
    return "undecided", f"{_listed(list(dict.fromkeys(open_ones)))} not decided"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


@dataclass(frozen=True)
class ModelTest:
    """McNemar's test of two arms at each seed. It never changes a word.

    Attributes:
        predictions: Names of those that compare these arms, in either order.
        arms: The two, in the order of the first of them.
        by_seed: One per seed. Their p are not independent where all seeds share a test set, so
            they are counted and ranked, never multiplied or pooled.
    """

    predictions: tuple[str, ...]
    arms: tuple[str, ...]
    by_seed: tuple[Discordance, ...]

    @property
    def median_p(self) -> float:
        """The p that half of the seeds do not exceed."""
        return median(pair.p for pair in self.by_seed)

    @property
    def told_apart(self) -> int:
        """Seeds whose two models differ at 0.05, uncorrected."""
        return sum(pair.p < 0.05 for pair in self.by_seed)


@dataclass(frozen=True)
class Environment:
    """Where `runs` of the runs were made: what may change a last digit."""

    commit: str
    torch: str
    device: str
    cpu_capability: str
    runs: int


@dataclass(frozen=True)
class Cell:
    """One arm under one ruler on the test split: interval over seeds, and the mean floor."""

    arm: str
    ruler: str
    interval: Interval
    floor: float


@dataclass(frozen=True)
class ArmReport:
    """What is said of an arm beside its scores.

    Attributes:
        gradient_norm: Mean norm of the loss gradient on the logits at the first step; NaN when
            not recorded.
        gradient_ratio: The same relative to the first arm (of its case).
        chosen: Under tuned_rate: value of the grid key, as text -> seeds that chose it.
        curves: Shown ruler -> (epoch, mean over seeds on the validation split).
    """

    name: str
    gradient_norm: float
    gradient_ratio: float
    chosen: Mapping[str, int]
    curves: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Verdict:
    """A claim with its verdict and all evidence; what the page prints and a report reads.

    Attributes:
        environment: Everything known about where the first run was made.
        environments: The distinct ones, most runs first.
        chosen: Arm -> its run at each seed, as judged; for figures, not for the page.
    """

    claim: Claim
    word: str
    why: str
    findings: tuple[Finding, ...]
    checks: tuple[CheckRow, ...]
    cells: tuple[Cell, ...]
    arms: tuple[ArmReport, ...]
    seeds: tuple[int, ...]
    alpha: float
    looks: tuple[int, ...]
    failed: tuple[str, ...]
    notes: tuple[str, ...]
    environment: Mapping[str, object]
    environments: tuple[Environment, ...]
    seconds: float
    models: tuple[ModelTest, ...] = ()
    chosen: Mapping[str, Sequence[Result]] = field(default_factory=dict)

    @property
    def further_seeds(self) -> int | None:
        """What an undecided verdict asks for: the largest need among its open predictions.

        None when nothing is open, or when more seeds would not decide.
        """
        needs = [finding.more_seeds for finding in self.findings if finding.word == "undecided"]
        known = [need for need in needs if need is not None]
        return max(known) if known and len(known) == len(needs) else None
