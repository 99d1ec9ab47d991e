"""What a verdict records beside its name: the table, the arms, what failed, notes."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from lossheads.analysis.aggregate import curve, metric_info
from lossheads.analysis.estimates import estimate
from lossheads.analysis.shared_examples import correct_examples
from lossheads.analysis.statistics import Discordance, mcnemar
from lossheads.claims.arm_runs import FIRST_STEP, ArmRuns, Config, first_step
from lossheads.claims.judge import ArmMetric, ArmSummary, EnvironmentCount, ModelTest
from lossheads.claims.reach import refuse_decided
from lossheads.claims.samples import sample_of_sides
from lossheads.claims.schema import Hypothesis
from lossheads.errors import UserError
from lossheads.records import MetricInfo, Result

# Both raise UserError: when the configuration cannot be built, when its outcome has no such metric.
AllowArm = Callable[[Config], object]
AllowMetric = Callable[[Config, str], MetricInfo]

# Measured beside the metrics of the outcome, e.g. outliers/digits/max_logit_auroc_score or
# tuned/macro_f1_score: whether a run has them is known when it is read.
_EXTRA_PREFIXES = (FIRST_STEP, "outliers/", "one_half/", "tuned/")


def refuse_arms(runs: ArmRuns, allow_arm: AllowArm) -> None:
    """Refuse arms whose configuration resolves and yet cannot be built, by file, line and key."""
    for arm in runs.claim.arms.values():
        for rate in runs.grid:
            try:
                allow_arm(runs.config(arm, rate, 0))
            except UserError as error:
                raise UserError(f"{arm.location}: {error}") from error


def refuse_metrics(runs: ArmRuns, allow_metric: AllowMetric) -> None:
    """Refuse metrics that an arm's outcome does not have; a shown one may miss some arms.

    And hypotheses that the range of their metrics decides before anything is trained.
    """
    claim = runs.claim
    ask = cache(partial(_info, runs, allow_metric))
    asked = {
        (f"{hypothesis.location}.metric", arm, metric)
        for hypothesis in claim.hypotheses
        for arm, metric in zip(hypothesis.arms, hypothesis.metrics, strict=True)
    }
    if claim.choose_by:
        asked |= {(f"claim {claim.slug}, choose_by", arm, claim.choose_by) for arm in claim.arms}
    for location, arm, metric in sorted(asked):
        if error := _refusal(ask, arm, metric):
            raise UserError(f"{location}: {error}") from error
    for hypothesis in claim.hypotheses:
        refuse_decided(hypothesis, list(map(ask, hypothesis.arms, hypothesis.metrics)))
    if claim.choose_by:
        _refuse_choice(runs, ask)
    for metric in claim.show:
        errors = [_refusal(ask, arm, metric) for arm in claim.arms]
        if all(errors):
            raise UserError(f"claim {claim.slug}, show: {errors[0]}") from errors[0]


def _info(runs: ArmRuns, allow_metric: AllowMetric, arm: str, metric: str) -> MetricInfo:
    if metric.startswith(_EXTRA_PREFIXES):
        return MetricInfo(None, math.nan)
    return allow_metric(runs.config(runs.claim.arms[arm], runs.grid[0], 0), metric)


def _refuse_choice(runs: ArmRuns, ask: Callable[[str, str], MetricInfo]) -> None:
    claim, metric = runs.claim, runs.claim.choose_by
    if metric.startswith(_EXTRA_PREFIXES):
        raise UserError(
            f"claim {claim.slug}, choose_by: {metric} is not measured on the validation split; "
            f"choose by a metric that is"
        )
    if ask(next(iter(claim.arms)), metric).higher_is_better is None:
        raise UserError(
            f"claim {claim.slug}, choose_by: neither direction of {metric} is better; choose by "
            f"another metric"
        )


def _refusal(ask: Callable[[str, str], MetricInfo], arm: str, metric: str) -> UserError | None:
    try:
        ask(arm, metric)
    except UserError as error:
        return error
    return None


def cells(runs: ArmRuns, level: float = 0.95) -> tuple[ArmMetric, ...]:
    """The table: every arm under every metric of the claim that its runs have."""
    found = []
    for arm in runs.claim.arms if runs.seeds else ():
        members = runs.of(arm)
        ended = _ended(members)
        for metric in runs.claim.metrics:
            if not any(metric in run.test.metrics or metric in first_step(run) for run in ended):
                continue
            baselines = tuple(_baseline(run, metric) for run in members)
            values = tuple(runs.numbers(arm, metric).values())
            mean = _mean([_baseline(run, metric) for run in ended])
            sample = sample_of_sides(runs, [(1, arm, metric)])
            interval = estimate(values, sample).interval(level)
            alone = estimate(values, sample.of_these_examples()).interval(level)
            found.append(ArmMetric(arm, metric, interval, alone, sample, mean, values, baselines))
    return tuple(found)


def metrics(runs: ArmRuns) -> Mapping[str, MetricInfo]:
    """What a reader has to know of each metric of the claim, as its runs tell it."""
    results = runs.all()
    return {metric: metric_info(results, metric) for metric in runs.claim.metrics}


def arm_summaries(runs: ArmRuns) -> tuple[ArmSummary, ...]:
    """First-step gradients, chosen rates and curves of every arm."""
    found = []
    first: dict[str, float] = {}
    for arm in runs.claim.arms.values() if runs.seeds else ():
        members = runs.of(arm.name)
        norms = tuple(run.first_step.get("gradient_norm", math.nan) for run in members)
        norm = _mean(norms)
        base = first.setdefault(arm.case, norm)
        curves = {metric: _curve(members, metric) for metric in runs.claim.metrics}
        found.append(
            ArmSummary(
                name=arm.name,
                gradient_norm=norm,
                gradient_norms=norms,
                gradient_ratio=norm / base if base else math.nan,
                chosen=_chosen(runs, arm.name),
                curves={metric: curve for metric, curve in curves.items() if curve},
            )
        )
    return tuple(found)


def failed(runs: ArmRuns) -> tuple[str, ...]:
    """Runs that failed, and diverged ones that the verdict would rest on, a line each."""
    problems = [run for run in runs.all() if run.status in ("failed", "interrupted")]
    if runs.seeds:
        used = [run for arm in runs.claim.arms for run in runs.of(arm)]
        problems += [run for run in used if run.status == "diverged"]
    return tuple({run.key: f"{run.name} {run.status}" for run in problems}.values())


def notes(runs: ArmRuns, table: Sequence[ArmMetric]) -> tuple[str, ...]:
    """What a reader of the numbers should know about how they came to be."""
    found = [_edge_note(runs, arm) for arm in runs.claim.arms if len(runs.grid) > 1]
    found.append(_training_alone(runs, table))
    diverged = sum(run.status == "diverged" for run in runs.all())
    if diverged:
        found.append(f"{diverged} of {len(runs.all())} runs diverged")
    old = sum(run.status == "finished" and run.test.correct is None for run in runs.all())
    if old and any(map(_compares_two_arms, runs.claim.hypotheses)):
        found.append(
            f"{old} runs did not record which test examples were correct, so McNemar's test of "
            f"them is left out; force=true trains them again"
        )
    run_notes = {note for run in runs.all() for note in run.notes}
    return (*(note for note in found if note), *sorted(run_notes))


def _training_alone(runs: ArmRuns, table: Sequence[ArmMetric]) -> str:
    """Why some intervals do not cover the draw of the test examples."""
    left = [c for c in table if c.sample.drawn != "per_seed" and not c.sample.examples]
    left = [c for c in left if not math.isnan(c.interval.mean)]
    if not left:
        return ""
    pairs = {(cell.arm, seed) for cell in left for seed in runs.seeds}
    old = sum(not runs.influences(arm, seed) for arm, seed in pairs)
    again = "where they kept none, force=true trains them again"
    why = f"{old} runs kept no predictions that could be used; {again}" if old else ""
    names = ", ".join(dict.fromkeys(cell.metric for cell in left))
    return (
        f"intervals of {names} cover training alone, not the draw of the test examples: "
        f"{why or 'what single examples move is not known of them'}"
    )


def environment(runs: ArmRuns) -> Mapping[str, Any]:
    """Where the first run was made; empty when nothing was trained."""
    return next((run.environment for run in runs.all()), {})


def environments(runs: ArmRuns) -> tuple[EnvironmentCount, ...]:
    """Every distinct environment with the number of runs it made, most runs first."""
    counts = Counter(_where(run.environment) for run in runs.all())
    return tuple(EnvironmentCount(*where, runs=n) for where, n in counts.most_common())


def _where(environment: Mapping[str, Any]) -> tuple[str, str, str, str]:
    git = environment.get("git") or {}
    commit = str(git.get("commit") or "unknown")[:10] + " with changes" * bool(git.get("changed"))
    torch = (environment.get("packages") or {}).get("torch", "unknown")
    device, cpu = (environment.get(key, "unknown") for key in ("device", "cpu_capability"))
    return commit, str(torch), str(device), str(cpu)


def model_tests(runs: ArmRuns) -> tuple[ModelTest, ...]:
    """McNemar's test of every two arms that a hypothesis compares by right answers on one test set.

    Two arms are tested once, however many hypotheses compare them: whatever the margin, and
    whatever the metric that counts right answers, the models and examples are the same.
    """
    found: dict[frozenset[str], ModelTest] = {}
    for hypothesis in filter(_compares_two_arms, runs.claim.hypotheses):
        by_seed = _discordances(runs, hypothesis)
        if not by_seed:
            continue
        arms = frozenset(hypothesis.arms)
        known = found.get(arms) or ModelTest((), hypothesis.arms, by_seed)
        found[arms] = replace(known, hypotheses=(*known.hypotheses, hypothesis.name))
    return tuple(found.values())


def _compares_two_arms(hypothesis: Hypothesis) -> bool:
    arms, metrics = hypothesis.arms, hypothesis.metrics
    return len(arms) == 2 and arms[0] != arms[1] and metrics[0] == metrics[1]


def _discordances(runs: ArmRuns, hypothesis: Hypothesis) -> tuple[Discordance, ...]:
    """One per seed; none where any seed has none."""
    (one, two), metric = hypothesis.arms, hypothesis.metrics[0]
    pairs = [
        _discordance(runs.result(one, seed), runs.result(two, seed), metric) for seed in runs.seeds
    ]
    known = tuple(pair for pair in pairs if pair is not None)
    return known if len(known) == len(pairs) else ()


def _discordance(one: Result, two: Result, metric: str) -> Discordance | None:
    first, second = correct_examples(one, metric), correct_examples(two, metric)
    if first is None or second is None or first.examples_digest != second.examples_digest:
        return None
    only_first, only_second = first.mask & ~second.mask, second.mask & ~first.mask
    return mcnemar(only_first.bit_count(), only_second.bit_count())


def _edge_note(runs: ArmRuns, arm: str) -> str:
    chosen = [runs.chosen_value(arm, seed) for seed in runs.seeds]
    ends = sum(rate in (runs.grid[0], runs.grid[-1]) for rate in chosen)
    if not ends:
        return ""
    return (
        f"{arm} chose an end of the grid in {ends} of {len(chosen)} seeds: its best value may lie "
        f"outside"
    )


def _chosen(runs: ArmRuns, arm: str) -> dict[str, int]:
    """Learning rate (or other grid value), as text -> seeds; empty when the file fixes it."""
    if arm in runs.learning_rates:
        return {str(runs.learning_rates[arm]): len(runs.seeds)}
    if len(runs.grid) == 1:
        return {}
    return dict(Counter(str(runs.chosen_value(arm, seed)) for seed in runs.seeds))


def _curve(runs: Sequence[Result], metric: str) -> list[tuple[float, float]]:
    """Mean over runs of a metric on the validation split, by epoch; steps common to all runs."""
    ended = _ended(runs)
    return [
        (validation.epoch, at.mean) for validation, at in curve(ended, metric) if at.n == len(ended)
    ]


def _ended(runs: Sequence[Result]) -> list[Result]:
    return [run for run in runs if run.status == "finished"]


def _baseline(run: Result, metric: str) -> float:
    return run.test.baselines.get(metric, math.nan) if run.status == "finished" else math.nan


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
