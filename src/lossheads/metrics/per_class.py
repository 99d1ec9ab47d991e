"""Metrics with one value per class, label, or class of each group.

A value is NaN where it is undefined: a class that never occurs has no recall, one that is never
predicted has no precision. scikit-learn returns 0 (and warns) in these places.
"""

import torch
from torch import Tensor

from lossheads.metrics.base import per_class_metric
from lossheads.metrics.probabilistic import binned_calibration_error
from lossheads.metrics.stats import PredictionStats


def recall_parts(stats: PredictionStats) -> Tensor:
    """(K,) TP / (TP + FN) of each class."""
    return stats.true_positives / stats.label_stats.positives


def precision_parts(stats: PredictionStats) -> Tensor:
    """(K,) TP / (TP + FP) of each class."""
    return stats.true_positives / stats.predicted_positives


def f1_parts(stats: PredictionStats) -> Tensor:
    """(K,) 2 TP / (2 TP + FP + FN); NaN where a class neither occurs nor is predicted."""
    return 2 * stats.true_positives / (stats.label_stats.positives + stats.predicted_positives)


def _if_positive(stats: PredictionStats, value: Tensor | float) -> Tensor:
    """(K,) the value where the class occurs: elsewhere perfect predictions have none."""
    return torch.where(stats.label_stats.prevalence > 0, value, torch.nan)


def always_positive_f1(stats: PredictionStats) -> Tensor:
    """(K,) F1 of always predicting the class: the best constant prediction for one class."""
    prevalence = stats.label_stats.prevalence
    return _if_positive(stats, 2 * prevalence / (1 + prevalence))


@per_class_metric(
    baseline=lambda stats: _if_positive(stats, stats.label_stats.prevalence),
    higher_is_better=True,
    perfect=1.0,
)
def precision_score(stats: PredictionStats) -> Tensor:
    """TP / (TP + FP) of the class."""
    return precision_parts(stats)


@per_class_metric(
    # Predicting the class always gives recall 1: high recall alone is easy.
    baseline=lambda stats: _if_positive(stats, 1.0),
    higher_is_better=True,
    perfect=1.0,
)
def recall_score(stats: PredictionStats) -> Tensor:
    """TP / (TP + FN) of the class."""
    return recall_parts(stats)


@per_class_metric(baseline=always_positive_f1, higher_is_better=True, perfect=1.0)
def f1_score(stats: PredictionStats) -> Tensor:
    """Harmonic mean of the class's precision and recall."""
    return f1_parts(stats)


def _mean_score(stats: PredictionStats, weight: Tensor) -> Tensor:
    return (stats.scores * weight).sum(dim=0, dtype=torch.float64) / weight.sum(
        dim=0, dtype=torch.float64
    )


def _constant_score(value: float, weight: Tensor) -> Tensor:
    return torch.where(weight.sum(dim=0) > 0, value, torch.nan)


@per_class_metric(
    baseline=lambda stats: _constant_score(1.0, stats.label_stats.indicators),
    higher_is_better=True,
    perfect=1.0,
)
def score_when_present(stats: PredictionStats) -> Tensor:
    """Mean score of the class over examples that have it (soft labels are weights).

    A score of 1 for every example is perfect here: read it beside `score_when_absent`.
    """
    return _mean_score(stats, stats.label_stats.indicators)


@per_class_metric(
    baseline=lambda stats: _constant_score(0.0, 1 - stats.label_stats.indicators),
    higher_is_better=False,
    perfect=0.0,
)
def score_when_absent(stats: PredictionStats) -> Tensor:
    """Mean score of the class over examples that lack it (1 minus the soft label is the weight).

    A score of 0 for every example is perfect here: read it beside `score_when_present`.
    """
    return _mean_score(stats, 1 - stats.label_stats.indicators)


@per_class_metric(
    baseline=lambda stats: stats.label_stats.chance,
    higher_is_better=True,
    perfect=1.0,
    at_every_validation=False,
)
def roc_auc_score(stats: PredictionStats) -> Tensor:
    """Probability that an example of the class scores above one of another class.

    Ties count half: the area under the class's ROC curve, one against the rest.
    """
    return stats.ranking[0]


@per_class_metric(
    baseline=lambda stats: _if_positive(stats, stats.label_stats.prevalence),
    higher_is_better=True,
    perfect=1.0,
    at_every_validation=False,
)
def average_precision_score(stats: PredictionStats) -> Tensor:
    """Precision averaged over the class's examples, each at the threshold that includes it.

    The baseline is the base rate r = P/n: equal scores for all n examples, and noise over many
    examples. Over few, noise is luckier: a random order is expected to have r + (1 - r)
    (H_n - 1) / (n - 1) with H_n = 1 + 1/2 + … + 1/n.
    """
    return stats.ranking[1]


@per_class_metric(
    baseline=lambda stats: torch.zeros_like(stats.label_stats.prevalence),
    higher_is_better=False,
    perfect=0.0,
    at_every_validation=False,
)
def classwise_calibration_error(stats: PredictionStats) -> Tensor:
    """Expected calibration error of the class's probability, 15 equal-width bins.

    One class against the rest. Soft labels count by their share.
    """
    return binned_calibration_error(stats.class_probs, stats.label_stats.indicators)


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
