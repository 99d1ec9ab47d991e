"""Decision thresholds for multi-label outcomes: 0.5, the head's own rule, tuned per label."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from lossheads.errors import UserError
from lossheads.metrics.base import to_floats
from lossheads.metrics.classification import (
    balanced_accuracy_score,
    exact_match_score,
    hamming_loss,
    macro_f1_score,
    macro_precision_score,
    macro_recall_score,
    micro_f1_score,
    micro_precision_score,
    micro_recall_score,
)
from lossheads.metrics.stats import LabelStats, PredictionStats
from lossheads.outcomes import AnyOf
from lossheads.predictions import Predictions

DECISION_METRICS = (
    macro_f1_score,
    micro_f1_score,
    macro_precision_score,
    macro_recall_score,
    micro_precision_score,
    micro_recall_score,
    balanced_accuracy_score,
    hamming_loss,
    exact_match_score,
)


def tuned_thresholds(predictions: Predictions, label_stats: LabelStats | None = None) -> Tensor:
    """The threshold of each label that gives it the best F1 on these predictions.

    A label is predicted where its score is above the threshold. Thresholds lie half-way between
    neighbouring scores; of equally good ones the highest is taken. A label that never occurs
    keeps 1/2, and -inf means that always predicting the label is best.

    Args:
        label_stats: Of the labels of `predictions`, where the caller has them.

    Returns:
        (L,) float64. Tune on validation: F1 on the examples used for tuning is optimistic.

    Raises:
        UserError: If the outcome is not AnyOf.
    """
    if not isinstance(predictions.outcome, AnyOf):
        raise UserError(
            f"tuned_thresholds needs predictions of AnyOf labels, got {predictions.outcome}: use "
            f"the head's decisions"
        )
    stats = PredictionStats(predictions, label_stats)
    scores, order = stats.scores.double().sort(dim=0, descending=True)
    true_positives = stats.label_stats.present.gather(0, order).cumsum(dim=0).double()
    predicted_positives = torch.arange(1, stats.n + 1, device=scores.device).unsqueeze(1)
    f1 = 2 * true_positives / (predicted_positives + stats.label_stats.positives)
    below = torch.full_like(scores, -torch.inf)
    below[:-1] = scores[1:]
    # A cut between equal scores does not exist.
    f1 = f1.where(below < scores, -1.0)
    best = f1.argmax(dim=0, keepdim=True)
    cuts = ((scores + below) / 2).gather(0, best).squeeze(0)
    return cuts.where(stats.label_stats.positives > 0, 0.5)


def compare_thresholds(
    val: Predictions,
    test: Predictions,
    val_label_stats: LabelStats | None = None,
    test_label_stats: LabelStats | None = None,
) -> Mapping[str, Mapping[str, float]]:
    """The same test scores with three decision rules.

    Args:
        val: Where thresholds are tuned, one for each label, for its F1.
        test: What is measured.
        val_label_stats, test_label_stats: Of their labels, where the caller has them.

    Returns:
        "one_half", "own_rule" and "tuned", each with every metric of decisions by name.

    Raises:
        UserError: If the outcome is not AnyOf.
    """
    thresholds = tuned_thresholds(val, val_label_stats)
    label_stats = test_label_stats or LabelStats(test.outcome, test.labels)
    decided = {
        "one_half": test.scores > 0.5,
        "own_rule": test.decisions,
        "tuned": test.scores > thresholds,
    }
    return {
        name: _measure_all(replace(test, decisions=decisions), label_stats)
        for name, decisions in decided.items()
    }


def _measure_all(predictions: Predictions, label_stats: LabelStats) -> Mapping[str, float]:
    """Every metric of decisions by name, fetched from the device at once."""
    stats = PredictionStats(predictions, label_stats)
    parts = [metric.values(stats) for metric in DECISION_METRICS]
    numbers = iter(to_floats(torch.cat(parts)))
    return {
        metric.name: metric.reduce(list(islice(numbers, len(part))))
        for metric, part in zip(DECISION_METRICS, parts, strict=True)
    }
