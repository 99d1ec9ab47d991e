"""Rulers of the order of scores: over examples for each class, or over labels for each example."""

import torch
from torch import Tensor

from lossheads.metrics.base import Ruler
from lossheads.metrics.per_class import average_precision_score, roc_auc_score
from lossheads.metrics.stats import Facts, misordered_pairs
from lossheads.outcomes import AnyOf

macro_roc_auc_score = Ruler(
    name="macro_roc_auc_score",
    says="Mean over classes of the area under the ROC curve, each class against the rest.",
    rule=roc_auc_score.rule,
    floor_rule=roc_auc_score.floor_rule,
    cheap=False,
)

mean_average_precision_score = Ruler(
    name="mean_average_precision_score",
    says="Mean over classes of average precision, each class against the rest.",
    rule=average_precision_score.rule,
    floor_rule=average_precision_score.floor_rule,
    cheap=False,
)


def _ranking(facts: Facts) -> Tensor:
    return misordered_pairs(facts.scores, facts.said.present).nanmean()


def _best_blind_ranking(facts: Facts) -> Tensor:
    # Putting label a before b costs each example y_b (1 - y_a) / pairs; the difference between
    # both orders is (y_b - y_a) / pairs, so sorting by the weighted rate of y is optimal.
    present = facts.said.present.double()
    positives = present.sum(dim=1)
    pairs = positives * (facts.outcome.n - positives)
    weights = torch.where(pairs > 0, 1 / pairs, 0)
    return misordered_pairs(_ranks(weights @ present, facts.n), facts.said.present).nanmean()


def _ranks(worth: Tensor, n: int) -> Tensor:
    """(L,) -> (n, L): the same strict order of labels for every example, the best highest."""
    return worth.argsort(stable=True).argsort().double().expand(n, -1)


ranking_loss = Ruler(
    name="ranking_loss",
    says="Share of pairs of a present and an absent label that are not in order (a tie is not), "
    "mean of the examples that have such pairs.",
    rule=_ranking,
    floor_rule=_best_blind_ranking,
    perfect=0.0,
    serves=(AnyOf,),
    cheap=False,
)


def _excess_coverage(scores: Tensor, present: Tensor) -> Tensor:
    lowest = scores.where(present, torch.inf).amin(dim=1, keepdim=True)
    read = (scores >= lowest).sum(dim=1)
    return (read - present.sum(dim=1)).double().mean()


excess_coverage_error = Ruler(
    name="excess_coverage_error",
    says="Labels read in vain when reading down the scores until all present ones are found: "
    "scikit-learn's coverage_error less the number of labels present.",
    rule=lambda facts: _excess_coverage(facts.scores, facts.said.present),
    # By falling base rate: a good blind order, not always the best one (that is a hard search).
    floor_rule=lambda facts: _excess_coverage(
        _ranks(facts.said.rates, facts.n), facts.said.present
    ),
    perfect=0.0,
    serves=(AnyOf,),
    cheap=False,
)

RULERS = (macro_roc_auc_score, mean_average_precision_score, ranking_loss, excess_coverage_error)
