"""The table of metrics, and what lays all of them on the predictions of one member or several."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from lossheads.errors import UserError, near_matches
from lossheads.heads.base import Head
from lossheads.metrics import classification, frameworks, per_class, probabilistic, ranking
from lossheads.metrics.base import BaseMetric, Metric, PerClassMetric, prediction_stats, to_floats
from lossheads.metrics.ood import evaluate_ood
from lossheads.metrics.probabilistic import fitted_temperature
from lossheads.metrics.stats import PredictionStats
from lossheads.metrics.thresholds import compare_thresholds
from lossheads.outcomes import AnyOf, Outcome
from lossheads.predictions import CohortPredictions, Predictions, predict
from lossheads.records import Measurement

ALL_METRICS: tuple[Metric, ...] = (
    *classification.METRICS,
    *classification.MULTILABEL_METRICS,
    *frameworks.METRICS,
    *probabilistic.METRICS,
    *ranking.METRICS,
    fitted_temperature,
)
ALL_PER_CLASS_METRICS: tuple[PerClassMetric, ...] = per_class.PER_CLASS_METRICS


def metrics_for(outcome: Outcome) -> list[Metric]:
    """Every metric with one number that has a meaning for the outcome, in the table's order."""
    return [metric for metric in ALL_METRICS if isinstance(outcome, metric.outcomes)]


def per_class_metrics_for(outcome: Outcome) -> list[PerClassMetric]:
    """Every metric with one value per class that has a meaning for the outcome."""
    return [metric for metric in ALL_PER_CLASS_METRICS if isinstance(outcome, metric.outcomes)]


def find_metric(name: str, outcome: Outcome) -> Metric:
    """The metric of that name.

    Raises:
        UserError: If there is none, if it has no meaning for the outcome, or if it gives one
            value per class and so cannot decide anything by itself.
    """
    for metric in ALL_METRICS:
        if metric.name == name:
            metric.check_outcome(outcome)
            return metric
    if any(metric.name == name for metric in ALL_PER_CLASS_METRICS):
        raise UserError(
            f"metric {name!r} gives one value per class: where one number is asked for, "
            f"{near_matches(name, _names(metrics_for(outcome)))}"
        )
    raise UserError(f"no metric {name!r}: {near_matches(name, _names(metrics_for(outcome)))}")


def measure(predictions: Predictions, full: bool) -> Measurement:
    """Predictions under every metric of their outcome.

    Args:
        full: All metrics; otherwise only the at_every_validation ones, for measuring steps while training.

    Returns:
        A `Measurement`. NaN where a metric is undefined; metrics of the true posterior are left out
        where it is unknown. `undefined` counts, for each metric that
        has any, its undefined parts: a macro metric is the mean over the classes that have a
        value, and the count says how many it had to leave out. If any score or log-probability
        is NaN, every metric is undefined.

    Raises:
        UserError: If there are no examples.
    """
    stats = prediction_stats(predictions)
    suite = _MetricSuite(predictions, full)
    (measurement,) = suite.collect(stats, [r.values(stats).unsqueeze(0) for r in suite.all_metrics])
    return measurement


def measure_cohort(predictions: CohortPredictions, full: bool) -> list[Measurement]:
    """`measure` for every member, bit by bit the same, each metric laid on all of them at once.

    One pass and one transfer from the device whatever K; baselines, a matter of labels, once. The
    fitted temperature alone, a metric of the last validation step, reads numbers of its own, member by member.
    """
    if len(predictions) == 1:  # to lay metrics side by side has its price, too
        return [measure(predictions[0], full)]
    stats = prediction_stats(predictions[0])
    suite = _MetricSuite(predictions[0], full)

    def parts_of(*per_member: Tensor) -> list[Tensor]:
        own = PredictionStats(predictions.member(per_member))
        return [metric.values(own) for metric in suite.all_metrics if metric.supports_vmap]

    vmapped = iter(torch.vmap(parts_of)(*predictions.per_member))
    parts = [
        next(vmapped)
        if r.supports_vmap
        else torch.stack([r.values(PredictionStats(p)) for p in predictions])
        for r in suite.all_metrics
    ]
    return suite.collect(stats, parts)


class _MetricSuite:
    """The metrics that are laid on some predictions."""

    def __init__(self, predictions: Predictions, full: bool) -> None:
        def fit(metric: BaseMetric) -> bool:
            return metric.is_defined_for(predictions) and (full or metric.at_every_validation)

        self._metrics = list(filter(fit, ALL_METRICS))
        self._per_class_metrics = list(filter(fit, ALL_PER_CLASS_METRICS))
        self.all_metrics: list[BaseMetric] = [*self._metrics, *self._per_class_metrics]

    def collect(self, stats: PredictionStats, parts: Sequence[Tensor]) -> list[Measurement]:
        """For each metric its parts (K, any number) -> K measurements.

        All numbers come in one transfer: each would otherwise wait for the device.

        Args:
            stats: Of any member, for the baselines.
        """
        baselines = [
            metric.baseline_function(stats).double().reshape(-1) for metric in self._metrics
        ]
        rows = torch.cat(list(parts), dim=1)
        numbers = iter(to_floats(torch.cat([*baselines, rows.flatten()])))
        baseline_values = [list(islice(numbers, len(baseline))) for baseline in baselines]
        return [
            self._measurement(
                [list(islice(numbers, p.shape[1])) for p in parts], baseline_values, stats
            )
            for _ in rows
        ]

    def _measurement(
        self, parts: Sequence[list[float]], baselines: Sequence[list[float]], stats: PredictionStats
    ) -> Measurement:
        named = dict(zip(_names(self.all_metrics), parts, strict=True))
        undefined = {name: sum(map(math.isnan, row)) for name, row in named.items()}
        return Measurement(
            metrics={r.name: r.reduce(named[r.name]) for r in self._metrics},
            baselines={
                r.name: r.reduce(row) for r, row in zip(self._metrics, baselines, strict=True)
            },
            per_class={r.name: named[r.name] for r in self._per_class_metrics},
            undefined={name: n for name, n in undefined.items() if n},
            n=stats.n,
        )


def _names(metrics: Iterable[BaseMetric]) -> list[str]:
    return [metric.name for metric in metrics]


def add_threshold_metrics(
    test: Measurement, on_test: Predictions, head: Head, val_logits: Tensor, val_labels: Tensor
) -> Measurement:
    """AnyOf: adds `one_half/<metric>` and `tuned/<metric>` (per label, on validation, for its F1).

    The plain names are the head's own rule. Other outcomes pass through: nothing to tune.

    Args:
        on_test: What `test` has measured.
        val_logits: (N, L) of the validation split, whose labels come beside them.
    """
    if not isinstance(on_test.outcome, AnyOf) or on_test.outcome.soft:
        return test
    metrics, baselines = dict(test.metrics), dict(test.baselines)
    compared = compare_thresholds(predict(head, val_logits, val_labels), on_test)
    for decision_rule in ("one_half", "tuned"):
        for name, value in compared[decision_rule].items():
            metrics[f"{decision_rule}/{name}"] = value
            baselines[f"{decision_rule}/{name}"] = test.baselines[name]
    return replace(test, metrics=metrics, baselines=baselines)


def add_ood_metrics(
    test: Measurement,
    head: Head,
    known: Tensor,
    outliers: Mapping[str, Tensor],
    none_class: int | None,
) -> Measurement:
    """Adds `outliers/<set>/<reading>_auroc_score` and `…_fpr95_error` for each set of outliers.

    Args:
        known: (N, U) logits of the test split.
        outliers: Set name -> (M, U) logits.
        none_class: Column trained to mean "none of these", left out of every reading.
    """
    metrics, baselines = dict(test.metrics), dict(test.baselines)
    for name, logits in outliers.items():
        found = evaluate_ood(head, known, logits, none_class)
        metrics |= {f"outliers/{name}/{metric}": value for metric, value in found.metrics.items()}
        baselines |= {
            f"outliers/{name}/{metric}": value for metric, value in found.baselines.items()
        }
    return replace(test, metrics=metrics, baselines=baselines)
