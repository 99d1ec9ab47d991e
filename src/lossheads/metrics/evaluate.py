"""The list of metrics, and their evaluation for one member or several."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from torch import Tensor

from lossheads.errors import UserError, near_matches
from lossheads.heads.base import Head
from lossheads.metrics import classification, frameworks, per_class, probabilistic, ranking
from lossheads.metrics.base import BaseMetric, Metric, PerClassMetric, prediction_stats, to_floats
from lossheads.metrics.ood import evaluate_ood, ood_metric_info
from lossheads.metrics.probabilistic import fitted_temperature
from lossheads.metrics.stats import LabelStats, PredictionStats
from lossheads.metrics.thresholds import DECISION_METRICS, compare_thresholds
from lossheads.outcomes import AnyOf, Outcome
from lossheads.predictions import CohortPredictions, Predictions, predict
from lossheads.records import Measurement, MetricInfo

ALL_METRICS: tuple[Metric, ...] = (
    *classification.METRICS,
    *classification.MULTILABEL_METRICS,
    *frameworks.METRICS,
    *probabilistic.METRICS,
    *ranking.METRICS,
    fitted_temperature,
)
ALL_PER_CLASS_METRICS: tuple[PerClassMetric, ...] = per_class.PER_CLASS_METRICS


@dataclass(frozen=True)
class MetricSet:
    """The metrics that a run measures: the shipped ones, and those of the user's own.

    Attributes:
        scalar: Metrics with one number, in the order of every list.
        per_class: Metrics with one value per class.
    """

    scalar: tuple[Metric, ...] = ALL_METRICS
    per_class: tuple[PerClassMetric, ...] = ALL_PER_CLASS_METRICS

    def with_own(self, own: Iterable[BaseMetric]) -> "MetricSet":
        """These metrics and more.

        Raises:
            UserError: If a name is taken.
        """
        own = tuple(own)
        for metric in own:
            if not isinstance(metric, BaseMetric):
                raise UserError(
                    f"a metric of your own must be made by @lossheads.metric or "
                    f"@lossheads.per_class_metric, got {metric!r}"
                )
        names = set(_names([*self.scalar, *self.per_class]))
        for metric in own:
            if metric.name in names or "/" in metric.name:
                raise UserError(
                    f"a metric of your own is called {metric.name!r}: names must be new and "
                    f"without a slash; pass another name to @metric"
                )
            names.add(metric.name)
        return MetricSet(
            (*self.scalar, *(m for m in own if isinstance(m, Metric))),
            (*self.per_class, *(m for m in own if isinstance(m, PerClassMetric))),
        )

    def scalar_for(self, outcome: Outcome) -> list[Metric]:
        """Every metric with one number that is defined for the outcome."""
        return [metric for metric in self.scalar if isinstance(outcome, metric.outcomes)]

    def per_class_for(self, outcome: Outcome) -> list[PerClassMetric]:
        """Every metric with one value per class that is defined for the outcome."""
        return [metric for metric in self.per_class if isinstance(outcome, metric.outcomes)]

    def find(self, name: str, outcome: Outcome) -> Metric:
        """The metric of that name.

        Raises:
            UserError: If there is none, if it is not defined for the outcome, or if it has one
                value per class, so that nothing can be decided by it.
        """
        for metric in self.scalar:
            if metric.name == name:
                metric.check_outcome(outcome)
                return metric
        known = near_matches(name, _names(self.scalar_for(outcome)))
        if any(metric.name == name for metric in self.per_class):
            raise UserError(
                f"metric {name!r} has one value per class, and a single number is needed; {known}"
            )
        raise UserError(f"no metric {name!r}: {known}")

    def info(self, outcome: Outcome, outliers: Iterable[str] = ()) -> dict[str, MetricInfo]:
        """Facts about every metric that a run may measure, by the name it has in the result.

        Args:
            outliers: Names of the outlier data sets.
        """
        defined: list[BaseMetric] = [*self.scalar_for(outcome), *self.per_class_for(outcome)]
        found = {metric.name: metric.info for metric in defined}
        if _has_thresholds(outcome):
            for rule in _OTHER_RULES:
                found |= {f"{rule}/{metric.name}": metric.info for metric in DECISION_METRICS}
        for name in outliers:
            found |= {f"outliers/{name}/{m}": info for m, info in ood_metric_info().items()}
        return found


SHIPPED = MetricSet()


def metrics_for(outcome: Outcome) -> list[Metric]:
    """Every shipped metric with one number that is defined for the outcome."""
    return SHIPPED.scalar_for(outcome)


def per_class_metrics_for(outcome: Outcome) -> list[PerClassMetric]:
    """Every shipped metric with one value per class that is defined for the outcome."""
    return SHIPPED.per_class_for(outcome)


def find_metric(name: str, outcome: Outcome) -> Metric:
    """The shipped metric of that name, see `MetricSet.find`."""
    return SHIPPED.find(name, outcome)


def measure(
    predictions: Predictions,
    full: bool,
    label_stats: LabelStats | None = None,
    metrics: MetricSet = SHIPPED,
) -> Measurement:
    """Predictions under every metric of their outcome.

    Args:
        full: All metrics; otherwise only those of every validation step.
        label_stats: Of the labels of `predictions`. A caller who measures a split again and again
            makes them once; None computes them here.
        metrics: Which to evaluate.

    Returns:
        A `Measurement`. NaN where a metric is undefined; metrics of the true posterior are left out
        where it is unknown. `undefined` counts, for each metric that
        has any, its undefined parts: a macro metric is the mean over the classes that have a
        value, and the count says how many it had to leave out. If any score or log-probability
        is NaN, every metric is undefined.

    Raises:
        UserError: If there are no examples.
    """
    stats = prediction_stats(predictions, label_stats)
    suite = _MetricSuite(predictions, full, metrics)
    (measurement,) = suite.collect(stats, [r.values(stats).unsqueeze(0) for r in suite.all_metrics])
    return measurement


def measure_cohort(
    predictions: CohortPredictions,
    full: bool,
    label_stats: LabelStats | None = None,
    metrics: MetricSet = SHIPPED,
) -> list[Measurement]:
    """`measure` for every member: the same bits, each metric evaluated for all of them at once.

    One pass of torch.vmap and one transfer from the device whatever K; baselines depend on labels
    alone and are computed once. `fitted_temperature`, a metric of the last validation step only,
    reads numbers while it computes, so it goes member by member.
    """
    if len(predictions) == 1:  # vmap has a fixed cost
        return [measure(predictions[0], full, label_stats, metrics)]
    stats = prediction_stats(predictions[0], label_stats)
    suite = _MetricSuite(predictions[0], full, metrics)

    def parts_of(*per_member: Tensor) -> list[Tensor]:
        own = PredictionStats(predictions.member(per_member), stats.label_stats)
        return [metric.values(own) for metric in suite.all_metrics if metric.supports_vmap]

    vmapped = iter(torch.vmap(parts_of)(*predictions.per_member))
    parts = [
        next(vmapped)
        if r.supports_vmap
        else torch.stack([r.values(PredictionStats(p, stats.label_stats)) for p in predictions])
        for r in suite.all_metrics
    ]
    return suite.collect(stats, parts)


class _MetricSuite:
    """The metrics that are evaluated for some predictions."""

    def __init__(self, predictions: Predictions, full: bool, metrics: MetricSet) -> None:
        def fit(metric: BaseMetric) -> bool:
            return metric.is_defined_for(predictions) and (full or metric.at_every_validation)

        self._metrics = list(filter(fit, metrics.scalar))
        self._per_class_metrics = list(filter(fit, metrics.per_class))
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


# Decision rules that are measured besides the head's own, which has the plain names.
_OTHER_RULES = ("one_half", "tuned")


def _has_thresholds(outcome: Outcome) -> bool:
    return isinstance(outcome, AnyOf) and not outcome.soft


def add_threshold_metrics(
    measurement: Measurement,
    predictions: Predictions,
    head: Head,
    val_logits: Tensor,
    val_label_stats: LabelStats,
    label_stats: LabelStats | None = None,
) -> Measurement:
    """AnyOf: adds `one_half/<metric>` and `tuned/<metric>` (per label, on validation, for its F1).

    The plain names are the head's own rule. Other outcomes pass through: nothing to tune.

    Args:
        measurement: Of `predictions`, the test split.
        val_logits: (N, L) of the validation split.
        val_label_stats: Of the validation split.
        label_stats: Of the labels of `predictions`, where the caller has them.
    """
    if not _has_thresholds(predictions.outcome):
        return measurement
    metrics, baselines = dict(measurement.metrics), dict(measurement.baselines)
    val = predict(head, val_logits, val_label_stats.labels)
    compared = compare_thresholds(val, predictions, val_label_stats, label_stats)
    for decision_rule in _OTHER_RULES:
        for name, value in compared[decision_rule].items():
            metrics[f"{decision_rule}/{name}"] = value
            baselines[f"{decision_rule}/{name}"] = measurement.baselines[name]
    return replace(measurement, metrics=metrics, baselines=baselines)


def add_ood_metrics(
    measurement: Measurement,
    head: Head,
    known: Tensor,
    outliers: Mapping[str, Tensor],
    none_class: int | None,
) -> Measurement:
    """Adds `outliers/<name>/<score>_auroc_score` and `…_fpr95_error` for each outlier data set.

    Args:
        known: (N, U) logits of the test split.
        outliers: Name of the outlier data set -> (M, U) logits.
        none_class: Column trained to mean "none of these", left out of every score.
    """
    metrics, baselines = dict(measurement.metrics), dict(measurement.baselines)
    for name, logits in outliers.items():
        found = evaluate_ood(head, known, logits, none_class)
        metrics |= {f"outliers/{name}/{metric}": value for metric, value in found.metrics.items()}
        baselines |= {
            f"outliers/{name}/{metric}": value for metric, value in found.baselines.items()
        }
    return replace(measurement, metrics=metrics, baselines=baselines)
