"""Metrics of the order of scores: over examples for each class, or over labels for each example."""

import torch
from torch import Tensor

from lossheads.metrics.base import Metric
from lossheads.metrics.per_class import average_precision_score, roc_auc_score
from lossheads.metrics.stats import PredictionStats, misordered_pairs
from lossheads.outcomes import AnyOf

macro_roc_auc_score = Metric(
    name="macro_roc_auc_score",
    description="Mean over classes of the area under the ROC curve, each class against the rest.",
    function=roc_auc_score.function,
    baseline_function=roc_auc_score.baseline_function,
    at_every_validation=False,
)

mean_average_precision_score = Metric(
    name="mean_average_precision_score",
    description="Mean over classes of average precision, each class against the rest.",
    function=average_precision_score.function,
    baseline_function=average_precision_score.baseline_function,
    at_every_validation=False,
)


def _ranking_loss(stats: PredictionStats) -> Tensor:
    return misordered_pairs(stats.scores, stats.label_stats.present).nanmean()


def _best_constant_ranking(stats: PredictionStats) -> Tensor:
    # Putting label a before b costs each example y_b (1 - y_a) / pairs; the difference between
    # both orders is (y_b - y_a) / pairs, so sorting by the weighted rate of y is optimal.
    present = stats.label_stats.present.double()
    positives = present.sum(dim=1)
    pairs = positives * (stats.outcome.n - positives)
    weights = torch.where(pairs > 0, 1 / pairs, 0)
    return misordered_pairs(
        _as_scores(weights @ present, stats.n), stats.label_stats.present
    ).nanmean()


def _as_scores(priority: Tensor, n: int) -> Tensor:
    """(L,) -> (n, L): the same strict order of labels for every example, the best highest."""
    return priority.argsort(stable=True).argsort().double().expand(n, -1)


ranking_loss = Metric(
    name="ranking_loss",
    description="Share of pairs of a present and an absent label that are not in order (a tie is not), "
    "mean of the examples that have such pairs.",
    function=_ranking_loss,
    baseline_function=_best_constant_ranking,
    perfect=0.0,
    outcomes=(AnyOf,),
    at_every_validation=False,
)


def _excess_coverage(scores: Tensor, present: Tensor) -> Tensor:
    lowest = scores.where(present, torch.inf).amin(dim=1, keepdim=True)
    read = (scores >= lowest).sum(dim=1)
    return (read - present.sum(dim=1)).double().mean()


excess_coverage_error = Metric(
    name="excess_coverage_error",
    description="Labels read in vain when reading down the scores until all present ones are found: "
    "scikit-learn's coverage_error less the number of labels present.",
    function=lambda stats: _excess_coverage(stats.scores, stats.label_stats.present),
    # By falling base rate: a good blind order, not always the best one (that is a hard search).
    baseline_function=lambda stats: _excess_coverage(
        _as_scores(stats.label_stats.prevalence, stats.n), stats.label_stats.present
    ),
    perfect=0.0,
    outcomes=(AnyOf,),
    at_every_validation=False,
)

METRICS = (macro_roc_auc_score, mean_average_precision_score, ranking_loss, excess_coverage_error)
