"""Metrics of decisions and of scores thresholded at 1/2, for all outcomes."""

import base64

import numpy as np
import torch
from torch import Tensor

from lossheads.metrics.base import SHARE, metric
from lossheads.metrics.per_class import (
    always_positive_f1,
    f1_parts,
    precision_parts,
    recall_parts,
    recall_score,
)
from lossheads.metrics.stats import LabelStats, PredictionStats, share
from lossheads.outcomes import AnyOf, EachOneOf, OneOf
from lossheads.predictions import Predictions


def _most_frequent_class_share(stats: PredictionStats) -> Tensor:
    return stats.label_stats.by_group(stats.label_stats.prevalence).amax(dim=1).mean()


@metric(
    baseline=_most_frequent_class_share,
    outcomes=(OneOf, EachOneOf),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def accuracy_score(stats: PredictionStats) -> Tensor:
    """Share of correct decisions; with several groups, over all groups."""
    return share(stats.correct)


def best_constant_cells(prevalence: Tensor) -> Tensor:
    """Share of cells that the best constant row gets right: each column predicts its majority."""
    return torch.maximum(prevalence, 1 - prevalence).mean()


@metric(
    baseline=lambda stats: best_constant_cells(stats.label_stats.prevalence),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def elementwise_accuracy_score(stats: PredictionStats) -> Tensor:
    """Share of correct cells (example × class) when scores are thresholded at 0.5.

    Exactly 0.5 counts as negative.
    """
    return share(stats.scores_above_half == stats.label_stats.present)


def _all_correct(stats: PredictionStats) -> Tensor:
    return stats.correct.reshape(stats.n, -1).all(dim=1)


def correct_mask_bits(predictions: Predictions, label_stats: LabelStats | None = None) -> str:
    """Which examples `exact_match_score` counts, as `records.CorrectMask.bits` holds them."""
    correct = _all_correct(PredictionStats(predictions, label_stats)).cpu().numpy()
    return base64.b64encode(np.packbits(correct).tobytes()).decode("ascii")


@metric(
    baseline=lambda stats: stats.label_stats.most_frequent_share,
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def exact_match_score(stats: PredictionStats) -> Tensor:
    """Share of examples with every decision correct: the whole label subset, or all groups."""
    return share(_all_correct(stats))


def pooled_recalls(stats: PredictionStats) -> Tensor:
    """(C,) or (M,): recall of each class, groups pooled."""
    positives = stats.label_stats.by_group(stats.label_stats.positives).sum(dim=0)
    return stats.label_stats.by_group(stats.true_positives).sum(dim=0) / positives


def best_constant_recalls(stats: PredictionStats) -> Tensor:
    """Mean of pooled recalls if each group predicts the class of which it has the largest part."""
    by_group = stats.label_stats.by_group(stats.label_stats.positives)
    seen = by_group.sum(dim=0)
    best = (by_group / seen.clamp(min=1)).amax(dim=1).sum()
    return best / (seen > 0).sum()


@metric(
    baseline=lambda stats: (
        stats.label_stats.chance
        if isinstance(stats.outcome, AnyOf)
        else best_constant_recalls(stats)
    ),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def balanced_accuracy_score(stats: PredictionStats) -> Tensor:
    """Mean recall over classes, groups pooled; for AnyOf, the mean of sensitivity and specificity
    of each label, mean over labels.
    """
    if not isinstance(stats.outcome, AnyOf):
        return pooled_recalls(stats)
    absent = stats.n - stats.label_stats.positives
    false_positives = stats.predicted_positives - stats.true_positives
    # A label that is always present (or never) has one recall only: undefined, not half right.
    return (recall_parts(stats) + (absent - false_positives) / absent) / 2


def _uniform_baseline(stats: PredictionStats) -> Tensor:
    return (
        1 / (stats.label_stats.by_group(stats.label_stats.positives).sum(dim=0) > 0).sum().double()
    )


@metric(
    # A constant prediction has recall 0 for the other classes; a uniform guess has 1/C for each.
    baseline=_uniform_baseline,
    outcomes=(OneOf, EachOneOf),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
    reduction="min",
)
def worst_recall_score(stats: PredictionStats) -> Tensor:
    """Recall of the class with the lowest recall, groups pooled; baseline: a uniform guess."""
    return pooled_recalls(stats)


def _best_guessed_f1(stats: PredictionStats) -> Tensor:
    if isinstance(stats.outcome, AnyOf):
        return always_positive_f1(stats)
    # Guessing classes with probabilities q gives F1 = 2qr / (q + r), concave in q: the mean is
    # largest at q = r, where each F1 is r and the prevalences of a group add up to 1.
    by_group = stats.label_stats.by_group(stats.label_stats.positives > 0)
    return len(by_group) / by_group.sum().double()


@metric(baseline=_best_guessed_f1, higher_is_better=True, perfect=1.0, range=SHARE)
def macro_f1_score(stats: PredictionStats) -> Tensor:
    """Mean F1 over classes; classes that neither occur nor are predicted are left out.

    For EachOneOf a class of one group is a class of its own: groups are not pooled, as
    `balanced_accuracy_score` does. The baseline of exclusive classes is the best random guess.
    """
    return f1_parts(stats)


@metric(
    # Predicting only the most frequent class is enough: high precision alone is easy.
    baseline=lambda stats: (
        stats.label_stats.prevalence.max()
        if isinstance(stats.outcome, AnyOf)
        else _most_frequent_class_share(stats)
    ),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def macro_precision_score(stats: PredictionStats) -> Tensor:
    """Mean precision over the classes that are predicted at least once."""
    return precision_parts(stats)


@metric(
    baseline=lambda stats: (
        1 - best_constant_cells(stats.label_stats.prevalence)
        if isinstance(stats.outcome, AnyOf)
        else 1 - _most_frequent_class_share(stats)
    ),
    outcomes=(AnyOf, EachOneOf),
    higher_is_better=False,
    perfect=0.0,
    range=SHARE,
)
def hamming_loss(stats: PredictionStats) -> Tensor:
    """Share of wrong decisions, over all labels or groups.

    scikit-learn's hamming_loss: for AnyOf of the indicator matrices, for EachOneOf (which
    scikit-learn has no hamming_loss of) of all groups in one row. Soft labels are hardened first.
    """
    return 1 - share(stats.correct)


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


def _best_constant_micro_f1(stats: PredictionStats) -> Tensor:
    # The best constant prediction is some number of the most frequent labels: try all numbers.
    prevalence = stats.label_stats.prevalence.sort(descending=True).values
    predicted = torch.arange(1, len(prevalence) + 1, device=prevalence.device)
    best = (2 * prevalence.cumsum(dim=0) / (prevalence.sum() + predicted)).max()
    return torch.where(prevalence.sum() > 0, best, torch.nan)


@metric(
    baseline=_best_constant_micro_f1,
    outcomes=(AnyOf,),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def micro_f1_score(stats: PredictionStats) -> Tensor:
    """F1 over all labels pooled: 2 TP / (2 TP + FP + FN)."""
    return (
        2
        * stats.true_positives.sum()
        / (stats.label_stats.positives.sum() + stats.predicted_positives.sum())
    )


@metric(
    baseline=lambda stats: stats.label_stats.prevalence.max(),
    outcomes=(AnyOf,),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def micro_precision_score(stats: PredictionStats) -> Tensor:
    """Precision over all labels pooled: TP / (TP + FP)."""
    return stats.true_positives.sum() / stats.predicted_positives.sum()


@metric(
    baseline=lambda stats: torch.where(stats.label_stats.prevalence.sum() > 0, 1.0, torch.nan),
    outcomes=(AnyOf,),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def micro_recall_score(stats: PredictionStats) -> Tensor:
    """Recall over all labels pooled: TP / (TP + FN); predicting every label gives 1."""
    return stats.true_positives.sum() / stats.label_stats.positives.sum()


@metric(
    baseline=recall_score.baseline_function,
    outcomes=(AnyOf,),
    higher_is_better=True,
    perfect=1.0,
    range=SHARE,
)
def macro_recall_score(stats: PredictionStats) -> Tensor:
    """Mean recall over labels; predicting every label gives 1."""
    return recall_parts(stats)


MULTILABEL_METRICS = (micro_f1_score, micro_precision_score, micro_recall_score, macro_recall_score)
