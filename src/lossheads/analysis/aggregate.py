"""Arms under metrics over seeds: means, 95 % intervals, baselines, and what had to be left out."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from lossheads.analysis.estimates import EVERYWHERE, level_interval
from lossheads.analysis.statistics import Interval
from lossheads.errors import UserError, near_matches
from lossheads.records import Measurement, MetricInfo, Result, ValidationStep
from lossheads.records import skill as skill

Arms = Mapping[str, Sequence[Result]]  # arm name -> one result per seed
Split = Literal["val", "test"]


def seed_interval(values: Sequence[float], ends: tuple[float, float] = EVERYWHERE) -> Interval:
    """Mean and 95 % interval of the values that are not NaN; `n` counts these.

    Args:
        ends: What the values, and so the interval, cannot leave.
    """
    return level_interval([value for value in values if not math.isnan(value)], ends)


def last(result: Result, split: Split) -> Measurement | None:
    """The split at the kept validation, or None when the run ended before it was measured."""
    if not result.history:
        return None
    return result.kept.test if split == "test" else result.kept.val


def final(results: Sequence[Result], metric: str, split: Split) -> Interval:
    """One arm under one metric at the end of training."""
    ends = [last(result, split) for result in results]
    return seed_interval(
        [math.nan if end is None else end.metrics.get(metric, math.nan) for end in ends],
        metric_info(results, metric).range,
    )


def baseline_of(results: Sequence[Result], metric: str, split: Split) -> float:
    """The score of the best constant prediction, averaged over seeds; NaN if unknown."""
    ends = [last(result, split) for result in results]
    return seed_interval(
        [end.baselines.get(metric, math.nan) for end in ends if end is not None]
    ).mean


def metric_info(results: Iterable[Result], metric: str) -> MetricInfo:
    """Facts about a metric, from the first result that knows it."""
    known = (run.metric_info[metric] for run in results if metric in run.metric_info)
    return next(known, MetricInfo(None, math.nan))


def perfect(results: Iterable[Result], metric: str) -> float:
    """Value of perfect predictions; NaN where it is unknown."""
    return metric_info(results, metric).perfect


def is_score_up_to_one(results: Iterable[Result], metric: str) -> bool:
    """Whether higher is better and 1 is perfect: such metrics share an axis."""
    info = metric_info(results, metric)
    return info.higher_is_better is True and info.perfect == 1.0


def curve(results: Sequence[Result], metric: str) -> list[tuple[ValidationStep, Interval]]:
    """One arm under one metric over training, on the validation split.

    Only steps that every run reached are kept: a mean whose members change along the axis
    would show who stopped early, not what was learned. Runs without a validation step do not
    count. Where a curve `is_cut`, the figure says so.
    """
    by_step = [
        {validation.step: validation for validation in result.history}
        for result in results
        if result.history
    ]
    if not by_step:
        return []
    shared = sorted(set(by_step[0]).intersection(*by_step[1:]))
    ends = metric_info(results, metric).range
    return [
        (
            by_step[0][step],
            seed_interval(
                [history[step].val.metrics.get(metric, math.nan) for history in by_step], ends
            ),
        )
        for step in shared
    ]


def is_cut(results: Sequence[Result]) -> bool:
    """Whether some runs of an arm were measured after its curve ends: others had stopped."""
    ends = {
        max(validation.step for validation in result.history)
        for result in results
        if result.history
    }
    return len(ends) > 1


def keeps_earlier(results: Sequence[Result]) -> bool:
    """Whether early stopping kept an earlier validation step than the last one of a run.

    A curve goes on after the kept step, so that it need not end in the run's numbers.
    """
    return any(
        validation.test is not None
        and validation.step < max(other.step for other in result.history)
        for result in results
        for validation in result.history
    )


def check_shown(arms: Arms, metrics: Sequence[str], who: str) -> None:
    """Refuse what cannot be shown: no arm, no metric, or a metric that no run has."""
    if not arms or not metrics:
        raise UserError(
            f"{who} got {len(arms)} arms and {len(metrics)} metrics: at least one of each is needed"
        )
    known = {
        name
        for runs in arms.values()
        for run in runs
        if run.history
        for measured in (run.kept.val, run.kept.test)
        if measured is not None
        for name in measured.metrics
    }
    if not known:
        raise UserError(f"{who} got no run with a measurement: train the arms first")
    for metric in metrics:
        if metric not in known:
            raise UserError(
                f"{who} got metric {metric!r}: no run was measured under it; "
                f"{near_matches(metric, known)}"
            )


def describe_baseline(results: Sequence[Result], baseline: float) -> str:
    """A baseline with what is known of it.

    Names 1 − 1/C where the baseline is that number to nine digits (with two classes that is 1/C as
    well, and says nothing), and a baseline that is perfect already: a constant yes recalls all.
    """
    if baseline == 1:
        return f"{baseline:.3f}, perfect for a constant prediction"
    classes = {len(result.class_names) for result in results}
    share = [c for c in classes if c > 2 and math.isclose(baseline, 1 - 1 / c, abs_tol=1e-9)]
    return f"{baseline:.3f} = 1 − 1/{share[0]}" if share else f"{baseline:.3f}"


def over_seeds(counts: Sequence[int], kind: str) -> str:
    """The caption for so many seeds: a mean and its interval or band; one seed has neither."""
    fewest, most = min(counts, default=0), max(counts, default=0)
    if most <= 1:
        return f"one seed, no {kind}" if most else "no seed has a value"
    shown = f"mean and 95 % {kind} over n ="
    if fewest == most:
        return f"{shown} {most} seeds alone"
    none = f", no {kind} at one seed" if 1 in counts else ""
    return f"{shown} {fewest} to {most} seeds alone{none}"


def axis_label(metrics: Sequence[str]) -> str:
    """The label of an axis that metrics share: the one metric, several accuracies, or a score.

    Only metrics named so are an accuracy: recall, F1 and areas are not.
    """
    if len(metrics) == 1:
        return metrics[0]
    return "accuracy" if all("accuracy" in metric for metric in metrics) else "score"
