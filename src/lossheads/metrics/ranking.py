"""Metrics of rankings: of examples for each class, or of labels for each example."""

import torch
from torch import Tensor

from lossheads.metrics.base import POSITIVE, SHARE, metric
from lossheads.metrics.per_class import average_precision_score, roc_auc_score
from lossheads.metrics.stats import PredictionStats, misordered_pairs
from lossheads.outcomes import AnyOf


@metric(
    baseline=roc_auc_score.baseline_function,
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
    at_every_validation=False,
)
def macro_roc_auc_score(stats: PredictionStats) -> Tensor:
    """Mean over classes of the area under the ROC curve, each class against the rest."""
    return roc_auc_score.function(stats)


@metric(
    baseline=average_precision_score.baseline_function,
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
    at_every_validation=False,
)
def mean_average_precision_score(stats: PredictionStats) -> Tensor:
    """Mean over classes of average precision, each class against the rest."""
    return average_precision_score.function(stats)


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


@metric(
    baseline=_best_constant_ranking,
    outcomes=(AnyOf,),
    higher_is_better=False,
    perfect=0.0,
    range=SHARE,
    at_every_validation=False,
)
def ranking_loss(stats: PredictionStats) -> Tensor:
    """Share of (positive, negative) label pairs ranked wrongly, ties included, mean over examples.

    Examples without such pairs, with no label or with all of them, are left out: there is nothing
    to rank. scikit-learn's label_ranking_loss counts them as 0 and divides by all examples: its
    value is this one times the share of examples that have pairs.
    """
    return misordered_pairs(stats.ranks, stats.label_stats.present).nanmean()


@metric(
    baseline=lambda stats: stats.label_stats.least_excess_coverage,
    outcomes=(AnyOf,),
    higher_is_better=False,
    perfect=0.0,
    range=POSITIVE,
    at_every_validation=False,
)
def excess_coverage_error(stats: PredictionStats) -> Tensor:
    """Negative labels ranked above the lowest positive one, mean over examples.

    That is scikit-learn's coverage_error minus the mean number of positive labels. The baseline
    is that of the best fixed order, searched to the end for up to 20 labels that occur; of more,
    a good order's.
    """
    present = stats.label_stats.present
    lowest = stats.ranks.where(present, torch.inf).amin(dim=1, keepdim=True)
    covered = (stats.ranks >= lowest).sum(dim=1)
    return (covered - present.sum(dim=1)).double().mean()


METRICS = (macro_roc_auc_score, mean_average_precision_score, ranking_loss, excess_coverage_error)
