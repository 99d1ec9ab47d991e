"""Arms × seeds: from a claim to configurations, to results, to a verdict.

The engine below is handed in: `compose` resolves overrides into a configuration, `execute`
trains what has no result yet and returns all results in order. Runs are known by the key of
their configuration, never by a folder, so an interrupted claim resumes by being run again.
"""

import time
from collections.abc import Sequence
from typing import Literal

from lossheads.analysis.statistics import MAX_SEEDS, Conclusion
from lossheads.claims import record
from lossheads.claims.arm_runs import ArmRuns, Compose, Execute, Influences
from lossheads.claims.checks.registry import refuse_unknown, run_checks
from lossheads.claims.judge import CheckRow, Finding, Verdict, decide, judge
from lossheads.claims.record import AllowArm, AllowMetric
from lossheads.claims.samples import sample_of
from lossheads.claims.schema import Claim, Word
from lossheads.claims.standings import with_standings
from lossheads.errors import UserError

ALPHA = 0.05
# seeds=auto looks after so many seeds; fixed beforehand, otherwise intervals lose their coverage.
LOOKS = (5, 10, 20, 40, 80)


def run_claim(
    claim: Claim,
    compose: Compose,
    execute: Execute,
    seeds: int | Literal["auto"] | None = None,
    allow_metric: AllowMetric | None = None,
    allow_arm: AllowArm | None = None,
    max_seeds: int = 20,
    influences: Influences | None = None,
) -> Verdict:
    """Train what is missing and judge.

    Args:
        seeds: How many; None takes the claim's own number. "auto" looks after 5, 10, 20, …
            seeds up to `max_seeds` and stops when the verdict is decided. Each of the K looks
            (K is fixed by `max_seeds`, before the first) judges at alpha / K. By Bonferroni the
            chance that any conclusion at any look is wrong is at most alpha, whatever the rule of
            stopping; so is the chance that, for one given hypothesis or cell, the interval shown
            in the end misses. Neither covers a higher `max_seeds` chosen after a look.
        allow_metric, allow_arm: Asked once per arm (and metric) before training.
        influences: What test examples move, for metrics that no recorded right answers tell.

    Raises:
        UserError: When arms do not differ, a metric or computation does not exist, or a
            configuration key is unknown; before anything is trained.
    """
    started = time.monotonic()
    runs = ArmRuns(claim, compose, execute, influences)
    looks = _looks(claim, seeds, max_seeds)
    _refuse(runs, allow_metric, allow_arm)
    if claim.match_first_step:
        runs.match_first_steps()
    checks = run_checks(claim.checks)
    findings = _looked(runs, checks, looks)
    return _verdict(runs, checks, findings, looks, time.monotonic() - started)


def _looked(runs: ArmRuns, checks: Sequence[CheckRow], looks: Sequence[int]) -> tuple[Finding, ...]:
    """Train up to each look in turn; the findings of the one that decides, else of the last."""
    claim = runs.claim
    findings: tuple[Finding, ...] = ()
    for look in looks:
        runs.train(look)
        measured = runs.measured()
        samples = {asked.name: sample_of(runs, asked) for asked in claim.hypotheses}
        findings = judge(claim.hypotheses, measured, runs.seeds, _alpha(looks), samples)
        verdict, _ = _decided(claim, checks, findings)
        if verdict != "undecided" or record.failed(runs):
            break
    return findings


def _alpha(looks: Sequence[int]) -> float:
    """The chance of a wrong conclusion that each look may take."""
    return ALPHA / max(1, len(looks))


def _verdict(
    runs: ArmRuns,
    checks: tuple[CheckRow, ...],
    findings: tuple[Finding, ...],
    looks: tuple[int, ...],
    seconds: float,
) -> Verdict:
    """What was found, with all evidence."""
    claim, alpha = runs.claim, _alpha(looks)
    verdict, why = _decided(claim, checks, findings)
    cells = with_standings(runs, record.cells(runs, 1 - alpha), alpha)
    return Verdict(
        claim=claim,
        verdict=verdict,
        why=why,
        findings=findings,
        checks=checks,
        cells=cells,
        metrics=record.metrics(runs),
        arms=record.arm_summaries(runs),
        seeds=runs.seeds,
        alpha=alpha,
        looks=looks,
        failed=record.failed(runs),
        notes=record.notes(runs, cells),
        environment=record.environment(runs),
        environments=record.environments(runs),
        seconds=seconds,
        models=record.model_tests(runs),
        chosen={arm: runs.of(arm) for arm in claim.arms if runs.seeds},
    )


def _refuse(runs: ArmRuns, allow_metric: AllowMetric | None, allow_arm: AllowArm | None) -> None:
    """Everything that can be refused before anything is trained."""
    refuse_unknown(runs.claim.checks)
    runs.refuse_fixed_data()
    runs.refuse_equal_arms()
    if allow_arm is not None:
        record.refuse_arms(runs, allow_arm)
    if allow_metric is not None:
        record.refuse_metrics(runs, allow_metric)


def _looks(claim: Claim, seeds: int | Literal["auto"] | None, max_seeds: int) -> tuple[int, ...]:
    if not claim.arms:
        return ()
    n = claim.seeds if seeds is None else seeds
    if n == "auto":
        return (*(look for look in LOOKS if look < max_seeds), max(2, max_seeds))
    if not 2 <= n <= MAX_SEEDS:
        raise UserError(
            f"claim {claim.slug} got seeds={n}; seeds must be at least 2 for an interval, and at "
            f"most {MAX_SEEDS}"
        )
    return (n,)


def _decided(
    claim: Claim, checks: Sequence[CheckRow], findings: Sequence[Finding]
) -> tuple[Word, str]:
    conclusions: dict[str, Conclusion] = {
        hypothesis.name: "undecided" for hypothesis in claim.hypotheses
    }
    conclusions |= {row.check.name: row.conclusion for row in checks}
    conclusions |= {finding.hypothesis.name: finding.conclusion for finding in findings}
    return decide(claim.verdict, conclusions)
