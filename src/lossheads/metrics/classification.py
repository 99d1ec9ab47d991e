"""Metrics of decisions and of scores cut at 1/2, for all outcomes."""

import base64

import numpy as np
import torch
from torch import Tensor

from lossheads.metrics.base import Metric
from lossheads.metrics.per_class import (
    always_positive_f1,
    f1_parts,
    precision_parts,
    recall_parts,
    recall_score,
)
from lossheads.metrics.stats import PredictionStats, share
from lossheads.outcomes import AnyOf, EachOneOf, OneOf
from lossheads.predictions import Predictions


def _fraction_correct(stats: PredictionStats) -> Tensor:
    return share(stats.correct)


def _most_frequent_class_share(stats: PredictionStats) -> Tensor:
    return stats.label_stats.by_group(stats.label_stats.prevalence).amax(dim=1).mean()


accuracy_score = Metric(
    name="accuracy_score",
    description="Share of decisions that name the true class; with several groups, share of groups right.",
    function=_fraction_correct,
    baseline_function=_most_frequent_class_share,
    outcomes=(OneOf, EachOneOf),
)


def _cells_correct(stats: PredictionStats) -> Tensor:
    return share(stats.scores_above_half == stats.label_stats.present)


def best_constant_cells(prevalence: Tensor) -> Tensor:
    """Cells that the best constant row of yes and no gets right: each column says its majority."""
    return torch.maximum(prevalence, 1 - prevalence).mean()


elementwise_accuracy_score = Metric(
    name="elementwise_accuracy_score",
    description="Share of cells (example × class) whose score is on the right side of ½; exactly ½ is no.",
    function=_cells_correct,
    baseline_function=lambda stats: best_constant_cells(stats.label_stats.prevalence),
)


def _all_correct(stats: PredictionStats) -> Tensor:
    return stats.correct.reshape(stats.n, -1).all(dim=1)


def correct_mask_bits(predictions: Predictions) -> str:
    """Which examples `exact_match_score` counts, as `results.CorrectMask.bits` holds them."""
    right = _all_correct(PredictionStats(predictions)).cpu().numpy()
    return base64.b64encode(np.packbits(right).tobytes()).decode("ascii")


def _fraction_all_correct(stats: PredictionStats) -> Tensor:
    return share(_all_correct(stats))


exact_match_score = Metric(
    name="exact_match_score",
    description="Share of examples with every decision right: the whole subset, or all groups.",
    function=_fraction_all_correct,
    baseline_function=lambda stats: stats.label_stats.most_frequent_share,
)


def _balanced_parts(stats: PredictionStats) -> Tensor:
    if not isinstance(stats.outcome, AnyOf):
        return pooled_recalls(stats)
    absent = stats.n - stats.label_stats.positives
    false_positives = stats.predicted_positives - stats.true_positives
    # A label that is always on (or never) has one recall only: undefined, not half right.
    return (recall_parts(stats) + (absent - false_positives) / absent) / 2


def pooled_recalls(stats: PredictionStats) -> Tensor:
    """(C,) or (M,): share recalled of each class, the groups counted together."""
    positives = stats.label_stats.by_group(stats.label_stats.positives).sum(dim=0)
    return stats.label_stats.by_group(stats.true_positives).sum(dim=0) / positives


def best_constant_recalls(stats: PredictionStats) -> Tensor:
    """Mean of pooled recalls when each group says the class of which it holds the largest part."""
    by_group = stats.label_stats.by_group(stats.label_stats.positives)
    seen = by_group.sum(dim=0)
    best = (by_group / seen.clamp(min=1)).amax(dim=1).sum()
    return best / (seen > 0).sum()


balanced_accuracy_score = Metric(
    name="balanced_accuracy_score",
    description="Mean over classes of the share recalled, groups counted together; for labels, mean of "
    "the shares of on and of off recalled.",
    function=_balanced_parts,
    baseline_function=lambda stats: (
        stats.label_stats.chance
        if isinstance(stats.outcome, AnyOf)
        else best_constant_recalls(stats)
    ),
)


def _uniform_baseline(stats: PredictionStats) -> Tensor:
    return (
        1 / (stats.label_stats.by_group(stats.label_stats.positives).sum(dim=0) > 0).sum().double()
    )


worst_recall_score = Metric(
    name="worst_recall_score",
    description="Share recalled of the class that is recalled least, groups counted together.",
    function=pooled_recalls,
    # Any one answer forgets the other classes; an even guess recalls 1/C of each.
    baseline_function=_uniform_baseline,
    outcomes=(OneOf, EachOneOf),
    reduction="min",
)


def _best_constant_f1(stats: PredictionStats) -> Tensor:
    if isinstance(stats.outcome, AnyOf):
        return always_positive_f1(stats)
    # Guessing classes with probabilities q gives F1 = 2qr / (q + r), concave in q: the mean is
    # largest at q = r, where each F1 is r and the prevalence of a group add up to 1.
    by_group = stats.label_stats.by_group(stats.label_stats.positives > 0)
    return len(by_group) / by_group.sum().double()


macro_f1_score = Metric(
    name="macro_f1_score",
    description="Mean over classes of F1, the harmonic mean of precision and recall of the decisions.",
    function=f1_parts,
    baseline_function=_best_constant_f1,
)

macro_precision_score = Metric(
    name="macro_precision_score",
    description="Mean of precision over the classes that are decided at all.",
    function=precision_parts,
    # Naming nothing but the commonest class is enough: precision alone can be had by silence.
    baseline_function=lambda stats: (
        stats.label_stats.prevalence.max()
        if isinstance(stats.outcome, AnyOf)
        else _most_frequent_class_share(stats)
    ),
)


def _fraction_wrong(stats: PredictionStats) -> Tensor:
    return 1 - _fraction_correct(stats)


hamming_loss = Metric(
    name="hamming_loss",
    description="Share of decisions that are wrong, label by label or set by set.",
    function=_fraction_wrong,
    baseline_function=lambda stats: (
        1 - best_constant_cells(stats.label_stats.prevalence)
        if isinstance(stats.outcome, AnyOf)
        else 1 - _most_frequent_class_share(stats)
    ),
    perfect=0.0,
    outcomes=(AnyOf, EachOneOf),
)

METRICS = (
    accuracy_score,
    elementwise_accuracy_score,
    exact_match_score,
    balanced_accuracy_score,
    worst_recall_score,
    macro_f1_score,
    macro_precision_score,
    hamming_loss,
)


def _micro_f1(stats: PredictionStats) -> Tensor:
    return (
        2
        * stats.true_positives.sum()
        / (stats.label_stats.positives.sum() + stats.predicted_positives.sum())
    )


def _best_constant_micro_f1(stats: PredictionStats) -> Tensor:
    # Some number of the commonest labels is always named; the best number is among them all.
    prevalence = stats.label_stats.prevalence.sort(descending=True).values
    named = torch.arange(1, len(prevalence) + 1, device=prevalence.device)
    best = (2 * prevalence.cumsum(dim=0) / (prevalence.sum() + named)).max()
    return torch.where(prevalence.sum() > 0, best, torch.nan)


micro_f1_score = Metric(
    name="micro_f1_score",
    description="F1 of all labels counted together: 2 hits / (labels present + labels decided).",
    function=_micro_f1,
    baseline_function=_best_constant_micro_f1,
    outcomes=(AnyOf,),
)

micro_precision_score = Metric(
    name="micro_precision_score",
    description="Of all labels decided to be on, the share that are.",
    function=lambda stats: stats.true_positives.sum() / stats.predicted_positives.sum(),
    baseline_function=lambda stats: stats.label_stats.prevalence.max(),
    outcomes=(AnyOf,),
)


def _always_positive_recall(stats: PredictionStats) -> Tensor:
    return torch.where(stats.label_stats.prevalence.sum() > 0, 1.0, torch.nan)


micro_recall_score = Metric(
    name="micro_recall_score",
    description="Of all labels that are on, the share decided to be; always saying yes recalls all.",
    function=lambda stats: stats.true_positives.sum() / stats.label_stats.positives.sum(),
    baseline_function=_always_positive_recall,
    outcomes=(AnyOf,),
)

macro_recall_score = Metric(
    name="macro_recall_score",
    description="Mean over labels of the share recalled; always saying yes recalls all.",
    function=recall_parts,
    baseline_function=recall_score.baseline_function,
    outcomes=(AnyOf,),
)

MULTILABEL_METRICS = (micro_f1_score, micro_precision_score, micro_recall_score, macro_recall_score)
