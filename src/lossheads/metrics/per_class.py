"""Metrics with one value per class, label, or class of each group.

A value is NaN where the class gives nothing to measure: a class that never occurs has no recall,
one that is never decided has no precision. scikit-learn prints 0 (and warns) in these places.
"""

import torch
from torch import Tensor

from lossheads.metrics.base import PerClassMetric
from lossheads.metrics.probabilistic import binned_calibration_error
from lossheads.metrics.stats import PredictionStats


def recall_parts(stats: PredictionStats) -> Tensor:
    """(K,) share of the examples of each class that are decided to be of it."""
    return stats.true_positives / stats.label_stats.positives


def precision_parts(stats: PredictionStats) -> Tensor:
    """(K,) share of the examples decided to be of each class that are of it."""
    return stats.true_positives / stats.predicted_positives


def f1_parts(stats: PredictionStats) -> Tensor:
    """(K,) harmonic mean of precision and recall; NaN where a class neither occurs nor is named."""
    return 2 * stats.true_positives / (stats.label_stats.positives + stats.predicted_positives)


def always_positive_f1(stats: PredictionStats) -> Tensor:
    """(K,) F1 of an answer that always names the class: the best blind one for a single class."""
    prevalence = stats.label_stats.prevalence
    return torch.where(prevalence > 0, 2 * prevalence / (1 + prevalence), torch.nan)


precision_score = PerClassMetric(
    name="precision_score",
    description="Of the examples decided to be of the class, the share that are.",
    function=precision_parts,
    baseline_function=lambda stats: stats.label_stats.prevalence,
)

recall_score = PerClassMetric(
    name="recall_score",
    description="Of the examples of the class, the share decided to be of it.",
    function=recall_parts,
    # Always saying yes recalls everything: recall alone can be had by talking.
    baseline_function=lambda stats: torch.where(stats.label_stats.prevalence > 0, 1.0, torch.nan),
)

f1_score = PerClassMetric(
    name="f1_score",
    description="Harmonic mean of the class's precision and recall.",
    function=f1_parts,
    baseline_function=always_positive_f1,
)


def _mean_score(stats: PredictionStats, weight: Tensor) -> Tensor:
    return (stats.scores * weight).sum(dim=0, dtype=torch.float64) / weight.sum(
        dim=0, dtype=torch.float64
    )


score_when_present = PerClassMetric(
    name="score_when_present",
    description="Mean score of the class over examples that have it (soft labels weigh by their share).",
    function=lambda stats: _mean_score(stats, stats.label_stats.indicators),
    baseline_function=lambda stats: stats.label_stats.base_rates,
)

score_when_absent = PerClassMetric(
    name="score_when_absent",
    description="Mean score of the class over examples that lack it (soft labels weigh by the rest).",
    function=lambda stats: _mean_score(stats, 1 - stats.label_stats.indicators),
    baseline_function=lambda stats: stats.label_stats.base_rates,
    perfect=0.0,
)

roc_auc_score = PerClassMetric(
    name="roc_auc_score",
    description="Chance that an example of the class scores above one that is not of it; ties count half.",
    function=lambda stats: stats.ranking[0],
    baseline_function=lambda stats: stats.label_stats.chance,
    at_every_validation=False,
)

average_precision_score = PerClassMetric(
    name="average_precision_score",
    description="Precision averaged over the class's examples, each at the threshold that just finds it.",
    function=lambda stats: stats.ranking[1],
    baseline_function=lambda stats: torch.where(
        stats.label_stats.prevalence > 0, stats.label_stats.prevalence, torch.nan
    ),
    at_every_validation=False,
)

classwise_calibration_error = PerClassMetric(
    name="classwise_calibration_error",
    description="Gap between the probability of the class and its frequency, over 15 equal bins.",
    function=lambda stats: binned_calibration_error(
        stats.class_probs, stats.label_stats.indicators
    ),
    baseline_function=lambda stats: torch.zeros_like(stats.label_stats.prevalence),
    perfect=0.0,
    at_every_validation=False,
)

PER_CLASS_METRICS = (
    precision_score,
    recall_score,
    f1_score,
    score_when_present,
    score_when_absent,
    roc_auc_score,
    average_precision_score,
    classwise_calibration_error,
)
