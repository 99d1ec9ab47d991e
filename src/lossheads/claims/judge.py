"""From numbers per arm and seed to a conclusion per hypothesis, and from those to the verdict.

Pure data in, pure data out; no torch, no files. Pairing happens here and only here: numbers are
looked up by seed, never by position.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from lossheads.analysis.diagnosis import conclude, stricter
from lossheads.analysis.estimates import UNKNOWN, Covers, Estimate, Sample, estimate
from lossheads.analysis.format import listed, percent
from lossheads.analysis.statistics import (
    Conclusion,
    Discordance,
    Interval,
    SignFlipTest,
    holm_levels,
    sign_flip_test,
)
from lossheads.analysis.summary import Standing
from lossheads.claims.schema import Check, Claim, Hypothesis, Word, needs
from lossheads.records import MetricInfo, Result

# arm and metric -> seed -> number on the test split; NaN where a run failed or it is undefined.
Measured = Mapping[tuple[str, str], Mapping[int, float]]

Reading = Literal["right", "truncated", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One hypothesis, judged.

    Attributes:
        numbers: One per seed: the level, difference or difference of differences.
        sample: Their test examples; with the numbers all that the intervals are made of.
        covers: What `interval` and `tested` cover.
        interval: Of the mean, at 1 - alpha: 95 %, or for seeds=auto what makes the intervals of
            all looks cover together with 95 %, whenever it stops.
        over_seeds: At the same level, what the seeds alone show.
        tested: The interval that decided, at the level Holm's procedure (and the number of
            looks, for seeds=auto) asks for.
        sign_flips: Of the seeds alone, on their test examples.
        more_seeds: For `undecided`: seeds still needed if mean and spread stay; None when that
            is not to be had or not needed.
        more_examples: Test examples still needed instead, where no number of seeds would do.
        doubt: Which seeds lie apart, or that the numbers are skewed, and what that did to the
            conclusion; empty where nothing does.
    """

    hypothesis: Hypothesis
    numbers: tuple[float, ...]
    sample: Sample
    covers: Covers
    interval: Interval
    over_seeds: Interval
    tested: Interval
    conclusion: Conclusion
    p: float
    sign_flips: SignFlipTest
    more_seeds: int | None
    more_examples: int | None
    doubt: str = ""


@dataclass(frozen=True)
class CheckRow:
    """One algebraic check, judged. `reading`: how printed digits relate to the number."""

    check: Check
    computed: float
    conclusion: Conclusion
    reading: Reading | None


def paired(hypothesis: Hypothesis, measured: Measured, seeds: Sequence[int]) -> tuple[float, ...]:
    """The hypothesis's number for each seed, all of its arms read at that same seed."""
    sides = list(zip(hypothesis.signs, hypothesis.arms, hypothesis.metrics, strict=True))
    return tuple(
        math.fsum(sign * measured[arm, metric][seed] for sign, arm, metric in sides)
        for seed in seeds
    )


def judge(
    hypotheses: Sequence[Hypothesis],
    measured: Measured,
    seeds: Sequence[int],
    alpha: float = 0.05,
    samples: Mapping[str, Sample] = {},
) -> tuple[Finding, ...]:
    """Every hypothesis's conclusion; the chance of any wrong decided one is at most `alpha`.

    Args:
        samples: Name of a hypothesis -> its test examples; without them the seeds alone judge.
    """
    numbers = [paired(hypothesis, measured, seeds) for hypothesis in hypotheses]
    estimates = [
        estimate(row, _asked(hypothesis, samples))
        for row, hypothesis in zip(numbers, hypotheses, strict=True)
    ]
    p_values = [
        found.p(hypothesis.region) for found, hypothesis in zip(estimates, hypotheses, strict=True)
    ]
    levels = holm_levels(p_values, alpha)
    return tuple(
        _finding(hypothesis, row, found, level, alpha, samples, seeds)
        for hypothesis, row, found, level in zip(
            hypotheses, numbers, estimates, levels, strict=True
        )
    )


def _asked(hypothesis: Hypothesis, samples: Mapping[str, Sample]) -> Sample:
    """Of the test examples, what the hypothesis is about."""
    sample = samples.get(hypothesis.name, UNKNOWN)
    return sample if hypothesis.about == "new_examples" else sample.of_these_examples()


def _finding(
    hypothesis: Hypothesis,
    numbers: tuple[float, ...],
    found: Estimate,
    level: float,
    alpha: float,
    samples: Mapping[str, Sample],
    seeds: Sequence[int],
) -> Finding:
    region, tested = hypothesis.region, found.interval(level)
    sample = samples.get(hypothesis.name, UNKNOWN)
    conclusion, diagnosis = conclude(numbers, region, level, lambda _, at: found.interval(at))
    moved = conclusion != region.conclude(tested)
    # Flagged numbers decide only where the stricter interval does too: that is the one to narrow.
    asked = level if diagnosis is None else stricter(level)
    more_seeds = more_examples = None
    if conclusion == "undecided":
        more_seeds = found.further_seeds(region, asked)
        more_examples = None if more_seeds else found.further_examples(region, asked)
    doubt = ""
    if diagnosis is not None and (moved or diagnosis.apart):
        stands = "undecided" if moved else f"{conclusion} all the same"
        doubt = f"{diagnosis.sentence(seeds)}; judged at {percent(stricter(level))}: {stands}"
    return Finding(
        hypothesis=hypothesis,
        numbers=numbers,
        sample=sample,
        covers=found.sample.covers,
        interval=found.interval(1 - alpha),
        over_seeds=estimate(numbers, sample.of_these_examples()).interval(1 - alpha),
        tested=tested,
        conclusion=conclusion,
        p=found.p(region),
        sign_flips=sign_flip_test(numbers, region, level),
        more_seeds=more_seeds,
        more_examples=more_examples,
        doubt=doubt,
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


def decide(
    rule: Mapping[Word, Sequence[str]], conclusions: Mapping[str, Conclusion]
) -> tuple[Word, str]:
    """The verdict and the sentence that says why.

    The first verdict of the rule whose items are all satisfied is given (`b`: b holds, `not b`:
    b fails). If every verdict of the rule has an item decided against it, the claim is refuted.
    Anything else is undecided.
    """
    word, names = rests_on(rule, conclusions)
    if word == "undecided":
        return word, f"{listed(names)} not decided"
    return word, _sentence({name: conclusions[name] for name in names})


def rests_on(
    rule: Mapping[Word, Sequence[str]], conclusions: Mapping[str, Conclusion]
) -> tuple[Word, tuple[str, ...]]:
    """The verdict, and the hypotheses and checks that it rests on: see `decide`."""
    against = [_against(items, conclusions) for items in rule.values()]
    for verdict, items in rule.items():
        wanted = dict(map(needs, items))
        if all(conclusions[name] == want for name, want in wanted.items()):
            return verdict, tuple(wanted)
    if all(against):
        return "refuted", tuple(dict.fromkeys(name for names in against for name in names))
    open_ones = [
        name
        for items, names in zip(rule.values(), against, strict=True)
        for name, _ in map(needs, items)
        if not names and conclusions[name] == "undecided"
    ]
    return "undecided", tuple(dict.fromkeys(open_ones))


def _against(items: Sequence[str], conclusions: Mapping[str, Conclusion]) -> list[str]:
    """What keeps a verdict from being given: what fails, or else what holds and should not."""
    wanted = dict(map(needs, items))
    held, failed = ([n for n in wanted if conclusions[n] == c] for c in ("holds", "fails"))
    return [n for n in failed if wanted[n] == "holds"] or [n for n in held if wanted[n] == "fails"]


def _sentence(decided: Mapping[str, Conclusion]) -> str:
    """`a and b hold and c fails`."""
    parts = []
    for conclusion, plural in (("holds", "hold"), ("fails", "fail")):
        if names := [name for name, found in decided.items() if found == conclusion]:
            parts.append(f"{listed(names)} {plural if len(names) > 1 else conclusion}")
    return " and ".join(parts)


@dataclass(frozen=True)
class ModelTest:
    """McNemar's test of two arms at each seed. It never changes a conclusion.

    Attributes:
        hypotheses: Names of those that compare these arms, in either order.
        arms: The two, in the order of the first of them.
        by_seed: One per seed. Their p are not independent where all seeds share a test set, so
            they are counted and ranked, never multiplied or pooled.
    """

    hypotheses: tuple[str, ...]
    arms: tuple[str, ...]
    by_seed: tuple[Discordance, ...]

    @property
    def median_p(self) -> float:
        """The p that half of the seeds do not exceed."""
        return median(pair.p for pair in self.by_seed)

    @property
    def significant_seeds(self) -> int:
        """Seeds whose two models differ at 0.05, uncorrected."""
        return sum(pair.p < 0.05 for pair in self.by_seed)


@dataclass(frozen=True)
class EnvironmentCount:
    """An environment and how many runs it made; it may change a last digit."""

    commit: str
    torch: str
    device: str
    cpu_capability: str
    runs: int


@dataclass(frozen=True)
class ArmMetric:
    """One arm under one metric on the test split: its interval, and the mean baseline.

    Attributes:
        over_seeds: What the seeds alone show, at the level of `interval`.
        sample: The test examples; with the values all that the intervals are made of.
        values, baselines: One per seed; NaN where the run failed or the number is undefined.
        standing: To the best of the arms that it competes with, see `standings`.
    """

    arm: str
    metric: str
    interval: Interval
    over_seeds: Interval
    sample: Sample
    baseline: float
    values: tuple[float, ...]
    baselines: tuple[float, ...]
    standing: Standing = "unknown"


@dataclass(frozen=True)
class ArmSummary:
    """What is known of an arm beside its scores.

    Attributes:
        gradient_norm: Mean norm of the loss gradient on the logits at the first step; NaN when
            not recorded.
        gradient_norms: The same at each seed.
        gradient_ratio: The mean relative to the first arm (of its case).
        chosen: Under tuned_rate: value of the grid key, as text -> seeds that chose it.
        curves: Shown metric -> (epoch, mean over seeds on the validation split).
    """

    name: str
    gradient_norm: float
    gradient_norms: tuple[float, ...]
    gradient_ratio: float
    chosen: Mapping[str, int]
    curves: Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Verdict:
    """A claim with its verdict and all evidence; what `verdict_file` writes.

    Attributes:
        metrics: What a reader has to know of the metrics of `cells` and hypotheses.
        environment: Everything known about where the first run was made.
        environments: The distinct ones, most runs first.
        chosen: Arm -> its run at each seed, as judged; for figures, not for the pages.
    """

    claim: Claim
    verdict: Word
    why: str
    findings: tuple[Finding, ...]
    checks: tuple[CheckRow, ...]
    cells: tuple[ArmMetric, ...]
    metrics: Mapping[str, MetricInfo]
    arms: tuple[ArmSummary, ...]
    seeds: tuple[int, ...]
    alpha: float
    looks: tuple[int, ...]
    failed: tuple[str, ...]
    notes: tuple[str, ...]
    environment: Mapping[str, object]
    environments: tuple[EnvironmentCount, ...]
    seconds: float
    models: tuple[ModelTest, ...] = ()
    chosen: Mapping[str, Sequence[Result]] = field(default_factory=dict)

    @property
    def further_seeds(self) -> int | None:
        """What an undecided verdict asks for: the largest need of what it waits for.

        None when nothing is open, or when more seeds would not decide.
        """
        conclusions = {found.hypothesis.name: found.conclusion for found in self.findings}
        conclusions |= {row.check.name: row.conclusion for row in self.checks}
        _, names = rests_on(self.claim.verdict, conclusions)
        needs = [
            finding.more_seeds
            for finding in self.findings
            if finding.conclusion == "undecided" and finding.hypothesis.name in names
        ]
        known = [need for need in needs if need is not None]
        return max(known) if known and len(known) == len(needs) else None
